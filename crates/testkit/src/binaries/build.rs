//! Builds the programs with Go, once for each combination of sources, Go version and flags.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::cache_directory;
use crate::process::ManagedProcess;
use crate::progress::Progress;
use crate::workdir::Workdir;

/// The Go module whose `tool` lines are the programs.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/control-plane");
const KUBERNETES: &str = "k8s.io/kubernetes";
/// No other toolchain is downloaded, and go.mod stays as it is.
const ENVIRONMENT: [(&str, &str); 3] =
    [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
const REPORT_EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);

/// The directory with the programs; builds them first if it is not there.
pub(super) async fn cached(progress: &dyn Progress) -> Result<PathBuf> {
    let sources = Sources::read(Path::new(MODULE))?;
    let cache = cache_directory()?;
    let ready = cache.join(sources.key(&go_version()?));
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join("build.lock"), progress).await?;
    // Whoever held the lock may have built them.
    if !ready.is_dir() {
        build(&sources, &cache, &ready, progress).await?;
    }
    Ok(ready)
}

/// What decides what is built.
struct Sources {
    go_mod: String,
    go_sum: String,
    flags: String,
}

impl Sources {
    fn read(module: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = module.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let flags = linker_flags(kubernetes_version(&go_mod)?);
        Ok(Self { go_mod, go_sum, flags })
    }

    fn key(&self, go_version: &str) -> String {
        let mut hash = Sha256::new();
        for part in [&self.go_mod, &self.go_sum, &self.flags, go_version] {
            // The length goes first, so that no two lists of parts run into the same bytes.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (prefix, _) = digest.split_at(8);
        prefix.iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}"))
    }
}

fn kubernetes_version(go_mod: &str) -> Result<&str> {
    let version = go_mod.lines().find_map(|line| line.trim().strip_prefix(KUBERNETES)?.split(' ').nth(1));
    version.with_context(|| format!("go.mod does not say which {KUBERNETES} is meant"))
}

/// Small binaries that know their version: kubectl cannot parse the one of an unmarked build.
fn linker_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    let sets = [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")];
    sets.iter().fold("-s -w".to_owned(), |flags, (name, value)| flags + &set(name, value))
}

fn go_version() -> Result<String> {
    let output = Command::new("go").arg("version").envs(ENVIRONMENT).output().context(
        "the control plane is built with Go, and there is no `go` on PATH: install Go 1.26 or later \
         (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and \
         kube-controller-manager",
    )?;
    if !output.status.success() {
        bail!("`go version` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Held until it is dropped, also when the process ends in between.
async fn lock(path: &Path, progress: &dyn Progress) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if told => {}
            Err(TryLockError::WouldBlock) => {
                progress.step("another process builds the control plane; waiting for it");
                told = true;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Builds beside the final place and renames, so that a half-built directory is never used.
async fn build(sources: &Sources, cache: &Path, ready: &Path, progress: &dyn Progress) -> Result<()> {
    let unfinished = cache.join("unfinished");
    if unfinished.exists() {
        // Of a build that was killed: the lock says that it does not run any more.
        fs::remove_dir_all(&unfinished).context("cannot remove what a killed build left")?;
    }
    fs::create_dir(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
    let workdir = Workdir::new("go-build")?;
    let process =
        ManagedProcess::start("go-build", go_build(&sources.flags, &unfinished, workdir.path()), &workdir)?;
    let started = Instant::now();
    progress.step("building the control plane from Go modules; the first time takes about 9 minutes, once");
    follow(&process, started, progress).await?;
    fs::rename(&unfinished, ready).with_context(|| format!("cannot create {}", ready.display()))?;
    progress.step(&format!("control plane built in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn go_build(flags: &str, output: &Path, scratch: &Path) -> Command {
    let mut command = Command::new("go");
    // -v names each package when it is compiled: the only sign of progress that Go gives.
    command.args(["build", "-v", "-o"]).arg(output).args(["-ldflags", flags, "tool"]);
    // Go removes its scratch files itself, unless it is killed.
    command.current_dir(MODULE).envs(ENVIRONMENT).env("GOTMPDIR", scratch);
    command
}

async fn follow(process: &ManagedProcess, started: Instant, progress: &dyn Progress) -> Result<()> {
    let mut reported = started;
    let status = loop {
        if let Some(status) = process.exited() {
            break status;
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            progress.step(&report(process, started.elapsed().as_secs()));
        }
        tokio::time::sleep(POLL).await;
    };
    if !status.success() {
        bail!("`go build` of the control plane failed ({status}); it said:\n{}", process.log_tail(20));
    }
    Ok(())
}

fn report(process: &ManagedProcess, seconds: u64) -> String {
    let log = fs::read_to_string(process.log_path()).unwrap_or_default();
    let fetched = log.lines().filter(|line| line.starts_with("go: ")).count();
    let compiled = log.lines().count() - fetched;
    format!(
        "building the control plane: {seconds} s of about 540, {fetched} modules fetched, {compiled} packages compiled"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources { go_mod: "module x".into(), go_sum: "sum".into(), flags: linker_flags("v1.35.4") }
    }

    #[test]
    fn the_key_changes_with_each_of_its_parts() {
        let key = |sources: &Sources| sources.key("go1.26");
        let changed = [
            Sources { go_mod: "module y".into(), ..sources() },
            Sources { go_sum: "other".into(), ..sources() },
            Sources { flags: String::new(), ..sources() },
        ];
        assert_eq!(key(&sources()), key(&sources()));
        assert_eq!(key(&sources()).len(), 16);
        assert!(changed.iter().all(|other| key(other) != key(&sources())));
        assert_ne!(sources().key("go1.27"), key(&sources()));
    }

    #[test]
    fn the_programs_are_told_the_version_that_go_mod_names() {
        let sources = Sources::read(Path::new(MODULE)).unwrap();
        let version = kubernetes_version(&sources.go_mod).unwrap();
        assert!(version.starts_with("v1."), "{version}");
        assert!(sources.flags.contains(&format!("version.gitVersion={version} ")), "{}", sources.flags);
        assert!(linker_flags("v1.35.4").contains("gitMajor=1 -X k8s.io/component-base/version.gitMinor=35 "));
    }

    #[tokio::test]
    async fn the_second_builder_waits_and_says_so() {
        struct Lines(parking_lot::Mutex<Vec<String>>);
        impl Progress for Lines {
            fn step(&self, text: &str) {
                self.0.lock().push(text.to_owned());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("build.lock");
        let lines = Lines(parking_lot::Mutex::default());
        let first = lock(&path, &lines).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(500), lock(&path, &lines)).await;
        assert!(second.is_err());
        assert_eq!(lines.0.lock().len(), 1);
        drop(first);
        // It may find the thread of the one that gave up before it.
        lock(&path, &lines).await.unwrap();
    }
}
