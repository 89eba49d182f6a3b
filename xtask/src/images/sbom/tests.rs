//! The bill of an image that nobody built: this workspace's own crates, and records of the distribution as it has them.

use portolan_testkit::workdir::Workdir;

use super::*;
use crate::workspace;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn bill() -> Value {
    let home = Workdir::new("sbom").unwrap();
    let root = home.path().join("konnector");
    fs::create_dir_all(root.join("var/lib/dpkg/status.d")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), "PRETTY_NAME=x\nVERSION_ID=\"12\"\nID=debian\n").unwrap();
    let record = "Package: libc6\nArchitecture: amd64\nVersion: 2.36-9+deb12u1\nDepends: libgcc-s1\n";
    fs::write(root.join("var/lib/dpkg/status.d/libc6"), record).unwrap();
    let origin = Origin { version: "0.1.0".into(), revision: "c0ffee".into(), seconds: 1_700_000_000 };
    let subject = Subject { name: "konnector", digest: DIGEST, origin: &origin, files: home.path() };
    write(&workspace::linked().unwrap(), &subject).unwrap()
}

fn named<'a>(bill: &'a Value, name: &str) -> Option<&'a Value> {
    bill["components"].as_array().unwrap().iter().find(|component| component["name"] == name)
}

#[test]
fn it_names_the_image_by_its_digest() {
    let bill = bill();
    assert_eq!(bill["specVersion"], "1.5");
    assert_eq!(bill["serialNumber"], "urn:uuid:01234567-89ab-8cde-af01-23456789abcd");
    let metadata = &bill["metadata"];
    assert_eq!(metadata["timestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(metadata["component"]["type"], "container");
    let digits = DIGEST.trim_start_matches("sha256:");
    assert_eq!(metadata["component"]["purl"], format!("pkg:oci/konnector@sha256%3A{digits}"));
}

#[test]
fn it_has_what_is_linked_and_nothing_else() {
    let bill = bill();
    let tokio = named(&bill, "tokio").unwrap();
    let version = tokio["version"].as_str().unwrap();
    assert_eq!(tokio["purl"], format!("pkg:cargo/tokio@{version}"));
    assert_eq!(tokio["licenses"][0]["expression"], "MIT");
    assert_eq!(tokio["hashes"][0]["content"].as_str().unwrap().len(), 64);
    let ours = named(&bill, "portolan-runtime").unwrap();
    assert!(ours.get("purl").is_none(), "{ours}");
    // Used by tests, by another service, by build scripts, by macros, and on other platforms.
    for name in ["tempfile", "portolan-testkit", "portolan-provider", "cc", "serde_derive", "windows-sys"] {
        assert_eq!(named(&bill, name), None);
    }
}

#[test]
fn it_has_the_packages_of_the_distribution() {
    let bill = bill();
    let libc = named(&bill, "libc6").unwrap();
    assert_eq!(libc["purl"], "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12");
    assert_eq!(libc["licenses"][0]["expression"], "LGPL-2.1-or-later");
}

#[test]
fn every_reference_leads_somewhere_and_two_bills_are_one() {
    let bill = bill();
    let components = bill["components"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut known: BTreeSet<_> = components.iter().map(|component| text(&component["bom-ref"])).collect();
    assert_eq!(known.len(), components.len());
    known.insert(text(&bill["metadata"]["component"]["bom-ref"]));
    for dependency in bill["dependencies"].as_array().unwrap() {
        assert!(known.contains(&text(&dependency["ref"])), "{dependency}");
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(known.contains(&text(on)), "{on} of {dependency}");
        }
    }
    assert_eq!(bill, self::bill());
}
