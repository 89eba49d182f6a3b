//! An OCI archive, read as a node's runtime reads it.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// The facts of an archive about its image.
pub struct Archive {
    pub digest: String,
    config: Value,
}

/// Reads the archive, and unpacks the layers of its image into `files`.
pub fn unpack(archive: &Path, aside: &Path, files: &Path) -> Archive {
    fs::create_dir_all(files).unwrap();
    extract(archive, aside);
    let blob = |digest: &Value| aside.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let index = read(&aside.join("index.json"));
    let digest = &index["manifests"][0]["digest"];
    let manifest = read(&blob(digest));
    for layer in manifest["layers"].as_array().unwrap() {
        extract(&blob(&layer["digest"]), files);
    }
    let digest = digest.as_str().unwrap().to_owned();
    Archive { digest, config: read(&blob(&manifest["config"]["digest"])) }
}

impl Archive {
    /// Its user, its program and its labels are those of the service.
    pub fn is_as_promised(&self, name: &str) {
        let config = &self.config["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"][0], format!("/usr/bin/{name}"));
        let label = |key: &str| config["Labels"][format!("org.opencontainers.image.{key}")].as_str().unwrap();
        assert_eq!(label("title"), name);
        assert_eq!(label("created"), self.config["created"].as_str().unwrap());
        for key in ["description", "licenses", "revision", "vendor", "version"] {
            assert!(!label(key).is_empty(), "{key}");
        }
    }
}

/// The SBOM is of this image, and has crates and what comes from the distribution.
pub fn bill_is_of(file: &Path, digest: &str) {
    let bill = read(file);
    let content = &bill["metadata"]["component"]["hashes"][0]["content"];
    assert_eq!(format!("sha256:{}", content.as_str().unwrap()), digest);
    let has = |name: &str| bill["components"].as_array().unwrap().iter().any(|part| part["name"] == name);
    assert!(has("tokio") && has("libc6") && has("ca-certificates"), "{bill}");
}

fn read(file: &Path) -> Value {
    serde_json::from_reader(File::open(file).unwrap()).unwrap()
}

fn extract(archive: &Path, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let unpacked = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder).status().unwrap();
    assert!(unpacked.success(), "{}", archive.display());
}
