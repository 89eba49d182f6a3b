//! Builds the programs with Go, once for each combination of sources, Go version and flags.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{cache_directory, spawner};

/// The Go module whose `tool` lines are the programs.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/control-plane");
const KUBERNETES: &str = "k8s.io/kubernetes";
/// No other toolchain is downloaded, and go.mod stays as it is.
const ENVIRONMENT: [(&str, &str); 3] =
    [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How many lines of what Go has said are shown when it fails.
const TAIL: usize = 20;

/// How long to wait between two steps of a [`Build`].
pub const PAUSE: Duration = Duration::from_millis(200);

/// A directory with the programs, on its way. Dropping it ends Go.
#[derive(Debug)]
pub struct Build {
    sources: Sources,
    cache: PathBuf,
    ready: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Somebody else may be at it.
    Waiting {
        lock: File,
        told: bool,
    },
    Running(Running),
}

#[derive(Debug)]
struct Running {
    go: Child,
    log: PathBuf,
    started: Instant,
    reported: Instant,
    // Held until Go has ended, also when this process ends in between.
    _lock: File,
}

impl Build {
    /// Looks at the sources. Nothing is built before the first [`step`](Self::step).
    ///
    /// # Errors
    /// When there is no Go, or no place to keep the programs.
    pub fn begin() -> Result<Self> {
        let (sources, cache) = (Sources::read(Path::new(MODULE))?, cache_directory()?);
        let ready = cache.join(sources.key(&go_version()?));
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let path = cache.join("build.lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { sources, cache, ready, state: State::Waiting { lock, told: false } })
    }

    /// Goes on, without waiting for anything. The directory once it is there; until then, come again after [`PAUSE`].
    ///
    /// # Errors
    /// When Go cannot build them.
    pub fn step(&mut self, say: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>> {
        if self.ready.is_dir() {
            return Ok(Some(self.ready.clone()));
        }
        match &mut self.state {
            State::Waiting { lock, told } => {
                if is_free(lock, told, say)? {
                    let lock = lock.try_clone().context("cannot hold the lock")?;
                    // Whoever held it may have built them.
                    if !self.ready.is_dir() {
                        self.state = State::Running(self.start(lock)?);
                        say(
                            "building the control plane from Go modules; the first time takes about 9 minutes, once",
                        );
                    }
                }
            }
            State::Running(running) => {
                if running.has_ended(say)? {
                    let unfinished = self.cache.join(UNFINISHED);
                    remove(&unfinished.join(SCRATCH))?;
                    // Beside the final place and renamed, so that a half-built directory is never used.
                    fs::rename(unfinished, &self.ready)
                        .with_context(|| format!("cannot create {}", self.ready.display()))?;
                    say(&format!("control plane built in {} s", running.started.elapsed().as_secs()));
                }
            }
        }
        Ok(None)
    }

    fn start(&self, lock: File) -> Result<Running> {
        let (unfinished, log) = (self.cache.join(UNFINISHED), self.cache.join("build.log"));
        // Of a build that was killed: the lock says that it does not run any more.
        remove(&unfinished)?;
        let scratch = unfinished.join(SCRATCH);
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let mut command = go_build(&self.sources.flags, &unfinished, &scratch);
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (go, now) = (spawner::spawn(command).context("cannot start go")?, Instant::now());
        Ok(Running { go, log, started: now, reported: now, _lock: lock })
    }
}

/// Where a build is under way, beside those that are done.
const UNFINISHED: &str = "unfinished";
/// Go's own temporary files, in there.
const SCRATCH: &str = "scratch";

fn remove(directory: &Path) -> Result<()> {
    let removed = if directory.exists() { fs::remove_dir_all(directory) } else { Ok(()) };
    removed.with_context(|| format!("cannot remove {}", directory.display()))
}

/// Whether nobody else builds: then we hold the lock.
fn is_free(lock: &File, told: &mut bool, say: &mut dyn FnMut(&str)) -> Result<bool> {
    match lock.try_lock() {
        Ok(()) => return Ok(true),
        Err(TryLockError::WouldBlock) if *told => {}
        Err(TryLockError::WouldBlock) => say("another process builds the control plane; waiting for it"),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache of programs"),
    }
    *told = true;
    Ok(false)
}

impl Running {
    fn has_ended(&mut self, say: &mut dyn FnMut(&str)) -> Result<bool> {
        if let Some(status) = self.go.try_wait()? {
            if !status.success() {
                bail!("`go build` of the control plane failed ({status}); it said:\n{}", self.tail());
            }
            return Ok(true);
        }
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            say(&report(&self.text(), self.started.elapsed().as_secs()));
        }
        Ok(false)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for one that has ended, which is what is wanted.
        let _ = self.go.kill();
        let _ = self.go.wait();
    }
}

/// What decides what is built.
#[derive(Debug)]
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

fn go_build(flags: &str, output: &Path, scratch: &Path) -> Command {
    let mut command = Command::new("go");
    // -v names each package when it is compiled: the only sign of progress that Go gives.
    command.args(["build", "-v", "-o"]).arg(output).args(["-ldflags", flags, "tool"]);
    // Go removes its scratch files itself, unless it is killed.
    command.current_dir(MODULE).envs(ENVIRONMENT).env("GOTMPDIR", scratch);
    command
}

fn report(log: &str, seconds: u64) -> String {
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

    #[test]
    fn the_second_builder_waits_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("build.lock")).unwrap();
        let (first, second, mut lines) = (open(), open(), Vec::new());
        let (mut told, mut say) = (false, |text: &str| lines.push(text.to_owned()));
        assert!(is_free(&first, &mut told, &mut say).unwrap());
        assert!(!is_free(&second, &mut told, &mut say).unwrap());
        assert!(!is_free(&second, &mut told, &mut say).unwrap());
        drop(first);
        assert!(is_free(&second, &mut told, &mut say).unwrap());
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn a_report_counts_what_go_has_said() {
        let log = "go: downloading k8s.io/api v0.35.4\ninternal/abi\nruntime\n";
        assert!(report(log, 7).ends_with("7 s of about 540, 1 modules fetched, 2 packages compiled"));
    }
}
