//! Builds programs with Go, once for each combination of sources, Go version and flags.

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

/// A Go module with programs that are kept in the user's cache.
#[derive(Debug)]
pub(crate) struct GoModule {
    /// For people, with an article.
    pub(crate) what: &'static str,
    /// The directory below our own one in the cache.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// What is built.
    pub(crate) target: &'static str,
    /// Sources of our own.
    pub(crate) files: &'static [&'static str],
    /// How long the first build takes.
    pub(crate) seconds: u64,
    /// Brings files beside the programs, once they are built.
    pub(crate) complete: fn(&Path) -> Result<()>,
}

/// The module whose `tool` lines are the programs of a control plane.
pub(super) const CONTROL_PLANE: GoModule = GoModule {
    what: "the control plane",
    name: "control-plane",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/control-plane"),
    target: "tool",
    files: &[],
    seconds: 540,
    complete: |_| Ok(()),
};
const KUBERNETES: &str = "k8s.io/kubernetes";
/// No other toolchain is downloaded, and go.mod stays as it is.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] =
    [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
const OR_ASSETS: &str =
    ", or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kube-controller-manager";
const REPORT_EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);

/// The directory with the programs; builds them first if it is not there.
pub(crate) async fn cached(module: &GoModule, progress: &dyn Progress) -> Result<PathBuf> {
    let sources = Sources::read(module)?;
    let cache = cache_directory()?.join(module.name);
    let ready = cache.join(sources.key(&go_version(module)?));
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join("build.lock"), module.what, progress).await?;
    // Whoever held the lock may have built them.
    if !ready.is_dir() {
        build(module, &sources, &ready, progress).await?;
    }
    Ok(ready)
}

/// What decides what is built.
struct Sources {
    go_mod: String,
    go_sum: String,
    files: String,
    flags: String,
}

impl Sources {
    fn read(module: &GoModule) -> Result<Self> {
        let read = |name: &str| {
            let path = Path::new(module.path).join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let files = module.files.iter().copied().map(read).collect::<Result<_>>()?;
        // Only what has Kubernetes' own programs in it says which version they are.
        let flags = kubernetes_version(&go_mod).map_or_else(|| "-s -w".to_owned(), linker_flags);
        Ok(Self { go_mod, go_sum, files, flags })
    }

    fn key(&self, go_version: &str) -> String {
        let mut hash = Sha256::new();
        let parts = [&self.go_mod, &self.go_sum, &self.files, &self.flags, go_version];
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            // The length goes first, so that no two lists of parts run into the same bytes.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (prefix, _) = digest.split_at(8);
        prefix.iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}"))
    }
}

fn kubernetes_version(go_mod: &str) -> Option<&str> {
    go_mod.lines().find_map(|line| line.trim().strip_prefix(KUBERNETES)?.split(' ').nth(1))
}

/// Small binaries that know their version: kubectl cannot parse the one of an unmarked build.
fn linker_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    let sets = [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")];
    sets.iter().fold("-s -w".to_owned(), |flags, (name, value)| flags + &set(name, value))
}

fn go_version(module: &GoModule) -> Result<String> {
    let output = Command::new("go").arg("version").envs(ENVIRONMENT).output().with_context(|| {
        let or = if module.name == CONTROL_PLANE.name { OR_ASSETS } else { "" };
        format!(
            "{} is built with Go, and there is no `go` on PATH: install Go 1.26 or later (https://go.dev/dl){or}",
            module.what
        )
    })?;
    if !output.status.success() {
        bail!("`go version` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Held until it is dropped, also when the process ends in between.
async fn lock(path: &Path, what: &str, progress: &dyn Progress) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if told => {}
            Err(TryLockError::WouldBlock) => {
                progress.step(&format!("another process builds {what}; waiting for it"));
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
async fn build(module: &GoModule, sources: &Sources, ready: &Path, progress: &dyn Progress) -> Result<()> {
    let unfinished = ready.with_file_name("unfinished");
    if unfinished.exists() {
        // Of a build that was killed: the lock says that it does not run any more.
        fs::remove_dir_all(&unfinished).context("cannot remove what a killed build left")?;
    }
    fs::create_dir(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
    let workdir = Workdir::new("go-build")?;
    let command = go_build(module, &sources.flags, &unfinished, workdir.path());
    let process = ManagedProcess::start("go-build", command, &workdir)?;
    let started = Instant::now();
    let GoModule { what, seconds, .. } = module;
    let minutes = seconds.div_ceil(60);
    progress.step(&format!(
        "building {what} from Go modules; the first time takes about {minutes} minutes, once"
    ));
    follow(module, &process, started, progress).await?;
    (module.complete)(&unfinished)?;
    fs::rename(&unfinished, ready).with_context(|| format!("cannot create {}", ready.display()))?;
    progress.step(&format!("{what} built in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn go_build(module: &GoModule, flags: &str, output: &Path, scratch: &Path) -> Command {
    let mut command = Command::new("go");
    // -v names each package when it is compiled: the only sign of progress that Go gives. The slash says that the
    // output is a directory, also for a single program.
    let output = output.join("");
    command.args(["build", "-v", "-o"]).arg(output).args(["-ldflags", flags, module.target]);
    // Go removes its scratch files itself, unless it is killed.
    command.current_dir(module.path).envs(ENVIRONMENT).env("GOTMPDIR", scratch);
    command
}

async fn follow(
    module: &GoModule,
    process: &ManagedProcess,
    started: Instant,
    progress: &dyn Progress,
) -> Result<()> {
    let mut reported = started;
    let status = loop {
        if let Some(status) = process.exited() {
            break status;
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            progress.step(&report(module, process, started.elapsed().as_secs()));
        }
        tokio::time::sleep(POLL).await;
    };
    if !status.success() {
        let what = module.what;
        bail!("`go build` of {what} failed ({status}); it said:\n{}", process.log_tail(20));
    }
    Ok(())
}

fn report(module: &GoModule, process: &ManagedProcess, seconds: u64) -> String {
    let log = fs::read_to_string(process.log_path()).unwrap_or_default();
    let fetched = log.lines().filter(|line| line.starts_with("go: ")).count();
    let compiled = log.lines().count() - fetched;
    let (what, about) = (module.what, module.seconds);
    format!(
        "building {what}: {seconds} s of about {about}, {fetched} modules fetched, {compiled} packages compiled"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        let flags = linker_flags("v1.35.4");
        Sources { go_mod: "module x".into(), go_sum: "sum".into(), files: "package main".into(), flags }
    }

    #[test]
    fn the_key_changes_with_each_of_its_parts() {
        let key = |sources: &Sources| sources.key("go1.26");
        let changed = [
            Sources { go_mod: "module y".into(), ..sources() },
            Sources { go_sum: "other".into(), ..sources() },
            Sources { files: "package other".into(), ..sources() },
            Sources { flags: String::new(), ..sources() },
        ];
        assert_eq!(key(&sources()), key(&sources()));
        assert_eq!(key(&sources()).len(), 16);
        assert!(changed.iter().all(|other| key(other) != key(&sources())));
        assert_ne!(sources().key("go1.27"), key(&sources()));
    }

    #[test]
    fn the_programs_are_told_the_version_that_go_mod_names() {
        let sources = Sources::read(&CONTROL_PLANE).unwrap();
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
        let first = lock(&path, "it", &lines).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(500), lock(&path, "it", &lines)).await;
        assert!(second.is_err());
        assert_eq!(lines.0.lock().len(), 1);
        drop(first);
        // It may find the thread of the one that gave up before it.
        lock(&path, "it", &lines).await.unwrap();
    }
}
