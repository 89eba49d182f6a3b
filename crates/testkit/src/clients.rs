//! Programs of other people, such as clients that talk to our services: built once from their registries into the
//! user's cache, for each combination of sources and toolchain.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_control_plane::user_cache;
use sha2::{Digest as _, Sha256};

/// Directory of the sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients");

/// The toolchain that builds a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// A Go module; its packages that have a `main` become programs.
    Go,
    /// A Go module that names this package of another one as its tool.
    GoTool(&'static str),
    /// `requirements.txt`; the libraries are to be put on the path.
    Python,
    /// `package.json` and its lock file.
    Node,
    /// `pom.xml`; the libraries of its dependencies.
    Java,
}

impl Toolchain {
    /// The program that tells its version, and how it is asked.
    const fn version(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Go | Self::GoTool(..) => ("go", &["version"]),
            Self::Python => ("python3", &["--version"]),
            Self::Node => ("npm", &["--version"]),
            Self::Java => ("mvn", &["--version"]),
        }
    }

    /// The reason why a test is skipped without it, and the remedy.
    pub const fn absence(self) -> &'static str {
        match self {
            Self::Go | Self::GoTool(..) => "there is no Go: https://go.dev/dl",
            Self::Python => "there is no Python with pip: apt-get install python3-pip",
            Self::Node => "there is no npm: apt-get install npm",
            Self::Java => "there is no Maven with a JDK: apt-get install maven",
        }
    }

    fn commands(self, sources: &Path, into: &Path) -> Vec<Command> {
        let command = |program: &str, arguments: &[&OsStr]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(into);
            command
        };
        let text = OsStr::new;
        match self {
            Self::Go | Self::GoTool(..) => {
                let package = if let Self::GoTool(package) = self { package } else { "." };
                let mut build = command("go", &[text("build"), text("-o"), into.as_os_str(), text(package)]);
                // Nothing is downloaded but modules, and go.mod stays as it is. The tag is for promtool alone: without
                // service discovery, it has half of the size.
                let flags = "-mod=readonly -tags=remove_all_sd";
                build.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", flags), ("GOWORK", "off")]);
                build.current_dir(sources);
                vec![build]
            }
            Self::Python => {
                let list = sources.join("requirements.txt");
                let words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"].map(text);
                vec![command(
                    "python3",
                    &[&words[..], &[into.as_os_str(), text("-r"), list.as_os_str()]].concat(),
                )]
            }
            Self::Node => {
                vec![command("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"].map(text))]
            }
            Self::Java => {
                let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
                vec![command(
                    "mvn",
                    &["--batch-mode", "--quiet", goal, "-DoutputDirectory=libraries"].map(text),
                )]
            }
        }
    }
}

/// The directory of a program under `tests/clients`, built; it holds the sources, too. `None` without the toolchain.
///
/// # Errors
/// When it cannot be built.
pub fn build(name: &str, toolchain: Toolchain) -> Result<Option<PathBuf>> {
    build_from(&Path::new(SOURCES).join(name), name, toolchain)
}

/// The same for sources elsewhere, of which only the files in the folder itself count.
///
/// # Errors
/// When it cannot be built.
pub fn build_from(sources: &Path, name: &str, toolchain: Toolchain) -> Result<Option<PathBuf>> {
    let (program, arguments) = toolchain.version();
    let Ok(version) = Command::new(program).args(arguments).output() else { return Ok(None) };
    ensure!(version.status.success(), "{program} does not tell its version");
    let cache = user_cache("clients")?;
    let ready = cache.join(format!("{name}-{}", key(sources, &version.stdout)?));
    if ready.is_dir() {
        return Ok(Some(ready));
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    lock.lock().context("cannot lock the cache")?;
    // Whoever held the lock may have built it.
    if !ready.is_dir() {
        make(sources, toolchain, &cache.join(format!("{name}.unfinished")), &ready)?;
    }
    Ok(Some(ready))
}

/// The program Helm. `None` without Go.
///
/// # Errors
/// When it cannot be built.
pub fn helm() -> Result<Option<PathBuf>> {
    let folder = build("helm", Toolchain::GoTool("helm.sh/helm/v3/cmd/helm"))?;
    Ok(folder.map(|folder| folder.join("helm")))
}

/// The program Helm in its major version 4. `None` without Go.
///
/// # Errors
/// When it cannot be built.
pub fn helm4() -> Result<Option<PathBuf>> {
    let folder = build("helm4", Toolchain::GoTool("helm.sh/helm/v4/cmd/helm"))?;
    Ok(folder.map(|folder| folder.join("helm")))
}

/// The program promtool of Prometheus. `None` without Go.
///
/// # Errors
/// When it cannot be built.
pub fn promtool() -> Result<Option<PathBuf>> {
    let folder = build("promtool", Toolchain::GoTool("github.com/prometheus/prometheus/cmd/promtool"))?;
    Ok(folder.map(|folder| folder.join("promtool")))
}

fn key(sources: &Path, version: &[u8]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    };
    add(version);
    for (name, content) in files(sources)? {
        add(name.as_bytes());
        add(&content);
    }
    let digest: [u8; 32] = hash.finalize().into();
    Ok(digest.iter().take(8).fold(String::new(), |key, byte| format!("{key}{byte:02x}")))
}

/// The files of a client, in the order of their names.
fn files(sources: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sources).with_context(|| format!("cannot read {}", sources.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
        }
    }
    found.sort();
    Ok(found)
}

/// Builds beside the final place and renames, so that a half-built directory is never used.
fn make(sources: &Path, toolchain: Toolchain, unfinished: &Path, ready: &Path) -> Result<()> {
    if unfinished.exists() {
        fs::remove_dir_all(unfinished).context("cannot remove what a killed build left")?;
    }
    fs::create_dir(unfinished)?;
    for (name, content) in files(sources)? {
        fs::write(unfinished.join(name), content)?;
    }
    for mut command in toolchain.commands(sources, unfinished) {
        let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("{command:?} failed: {}", String::from_utf8_lossy(&said));
        }
    }
    fs::rename(unfinished, ready).with_context(|| format!("cannot create {}", ready.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_sources_and_toolchain() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        write("a", "1");
        let first = key(dir.path(), b"go1").unwrap();
        assert_eq!((first.len(), key(dir.path(), b"go1").unwrap()), (16, first.clone()));
        assert_ne!(key(dir.path(), b"go2").unwrap(), first);
        write("b", "");
        let second = key(dir.path(), b"go1").unwrap();
        write("a", "2");
        assert!(second != first && key(dir.path(), b"go1").unwrap() != second);
    }

    #[test]
    fn a_build_that_fails_leaves_nothing_that_looks_built() {
        let dir = tempfile::tempdir().unwrap();
        let (sources, ready) = (dir.path().join("sources"), dir.path().join("ready"));
        fs::create_dir(&sources).unwrap();
        fs::write(sources.join("go.mod"), "not a module").unwrap();
        let unfinished = dir.path().join("unfinished");
        for _ in 0..2 {
            // Without Go, it fails as well.
            assert!(make(&sources, Toolchain::Go, &unfinished, &ready).is_err());
            assert!(!ready.exists());
        }
    }
}
