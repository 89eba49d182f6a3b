//! Builds programs with Go, once for each combination of sources, Go version and flags.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{spawner, user_cache};

/// A Go module with programs that are kept in the user's cache.
#[derive(Debug)]
pub struct GoModule {
    /// For people, with an article.
    pub what: &'static str,
    /// The directory below our own one in the cache.
    pub name: &'static str,
    /// Path of its sources.
    pub path: &'static str,
    /// The program or package that is built.
    pub target: &'static str,
    /// Sources of our own.
    pub files: &'static [&'static str],
    /// Whether C may be linked in. If false, programs are static.
    pub cgo: bool,
    /// Estimated time of the first build.
    pub seconds: u64,
    /// Brings files beside the programs, once they are built.
    pub complete: fn(&Path) -> Result<()>,
}

/// The module whose `tool` lines are the programs of a control plane.
const CONTROL_PLANE: GoModule = GoModule {
    what: "the control plane",
    name: "control-plane",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/control-plane"),
    target: "tool",
    files: &[],
    cgo: true,
    seconds: 540,
    complete: |_| Ok(()),
};
const OR_ASSETS: &str =
    ", or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kube-controller-manager";
const KUBERNETES: &str = "k8s.io/kubernetes";
/// No other toolchain is downloaded, and go.mod stays as it is.
pub const ENVIRONMENT: [(&str, &str); 3] =
    [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Number of lines of Go's output to show when it fails.
const TAIL: usize = 20;

/// Time to wait between two steps of a [`Build`].
pub const PAUSE: Duration = Duration::from_millis(200);

/// A directory with the programs, on its way. Dropping it ends Go.
#[derive(Debug)]
pub struct Build {
    module: &'static GoModule,
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
    module: &'static GoModule,
    go: Child,
    log: PathBuf,
    started: Instant,
    reported: Instant,
    // Held until Go has ended, also when this process ends in between.
    _lock: File,
}

impl Build {
    /// Looks at the sources of the control plane. Nothing is built before the first [`step`](Self::step).
    ///
    /// # Errors
    /// When there is no Go, or no place to keep the programs.
    pub fn begin() -> Result<Self> {
        Self::of(&CONTROL_PLANE)
    }

    /// The same for other programs.
    ///
    /// # Errors
    /// When there is no Go, or no place to keep the programs.
    pub fn of(module: &'static GoModule) -> Result<Self> {
        let (sources, cache) = (Sources::read(module)?, user_cache(module.name)?);
        let ready = cache.join(sources.key(&go_version(module)?));
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let path = cache.join("build.lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { module, sources, cache, ready, state: State::Waiting { lock, told: false } })
    }

    /// Goes on, without waiting for anything. The directory once it is there; until then, come again after [`PAUSE`].
    ///
    /// # Errors
    /// When Go cannot build them.
    pub fn step(&mut self, say: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>> {
        if self.ready.is_dir() {
            return Ok(Some(self.ready.clone()));
        }
        let GoModule { what, seconds, .. } = self.module;
        match &mut self.state {
            State::Waiting { lock, told } => {
                if is_free(lock, what, told, say)? {
                    let lock = lock.try_clone().context("cannot hold the lock")?;
                    // Whoever held it may have built them.
                    if !self.ready.is_dir() {
                        self.state = State::Running(self.start(lock)?);
                        let minutes = seconds.div_ceil(60);
                        say(&format!(
                            "building {what} from Go modules; the first time takes about {minutes} minutes, once"
                        ));
                    }
                }
            }
            State::Running(running) => {
                if running.has_ended(say)? {
                    let unfinished = self.cache.join(UNFINISHED);
                    remove(&unfinished.join(SCRATCH))?;
                    (self.module.complete)(&unfinished)?;
                    // Beside the final place and renamed, so that a half-built directory is never used.
                    fs::rename(unfinished, &self.ready)
                        .with_context(|| format!("cannot create {}", self.ready.display()))?;
                    say(&format!("{what} built in {} s", running.started.elapsed().as_secs()));
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
        let mut command = go_build(self.module, &self.sources.flags, &unfinished, &scratch);
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (go, now) = (spawner::spawn(command).context("cannot start go")?, Instant::now());
        Ok(Running { module: self.module, go, log, started: now, reported: now, _lock: lock })
    }
}

/// Name of the directory for a build under way, beside those that are done.
const UNFINISHED: &str = "unfinished";
/// Go's own temporary files, in there.
const SCRATCH: &str = "scratch";

fn remove(directory: &Path) -> Result<()> {
    let removed = if directory.exists() { fs::remove_dir_all(directory) } else { Ok(()) };
    removed.with_context(|| format!("cannot remove {}", directory.display()))
}

/// Takes the lock if nobody else builds.
fn is_free(lock: &File, what: &str, told: &mut bool, say: &mut dyn FnMut(&str)) -> Result<bool> {
    match lock.try_lock() {
        Ok(()) => return Ok(true),
        Err(TryLockError::WouldBlock) if *told => {}
        Err(TryLockError::WouldBlock) => say(&format!("another process builds {what}; waiting for it")),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache of programs"),
    }
    *told = true;
    Ok(false)
}

impl Running {
    fn has_ended(&mut self, say: &mut dyn FnMut(&str)) -> Result<bool> {
        if let Some(status) = self.go.try_wait()? {
            if !status.success() {
                let what = self.module.what;
                bail!("`go build` of {what} failed ({status}); it said:\n{}", self.tail());
            }
            return Ok(true);
        }
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            say(&report(self.module, &self.text(), self.started.elapsed().as_secs()));
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

/// The inputs that decide what is built.
#[derive(Debug)]
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

fn go_build(module: &GoModule, flags: &str, output: &Path, scratch: &Path) -> Command {
    let mut command = Command::new("go");
    // -v names each package when it is compiled: the only sign of progress that Go gives. The slash says that the
    // output is a directory, also for a single program.
    let output = output.join("");
    command.args(["build", "-v", "-o"]).arg(output).args(["-ldflags", flags, module.target]);
    // Go removes its scratch files itself, unless it is killed.
    command.current_dir(module.path).envs(ENVIRONMENT).env("GOTMPDIR", scratch);
    if !module.cgo {
        command.env("CGO_ENABLED", "0");
    }
    command
}

fn report(module: &GoModule, log: &str, seconds: u64) -> String {
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

    #[test]
    fn the_second_builder_waits_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("build.lock")).unwrap();
        let (first, second, mut lines) = (open(), open(), Vec::new());
        let (mut told, mut say) = (false, |text: &str| lines.push(text.to_owned()));
        assert!(is_free(&first, "it", &mut told, &mut say).unwrap());
        assert!(!is_free(&second, "it", &mut told, &mut say).unwrap());
        assert!(!is_free(&second, "it", &mut told, &mut say).unwrap());
        drop(first);
        assert!(is_free(&second, "it", &mut told, &mut say).unwrap());
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn a_report_counts_what_go_has_said() {
        let log = "go: downloading k8s.io/api v0.35.4\ninternal/abi\nruntime\n";
        assert!(
            report(&CONTROL_PLANE, log, 7)
                .ends_with("7 s of about 540, 1 modules fetched, 2 packages compiled")
        );
    }
}
