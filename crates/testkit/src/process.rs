//! A child process that cannot outlive us: logged to a file, killed and reaped on drop.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use portolan_control_plane::spawner;

use crate::workdir::Workdir;

const POLL: Duration = Duration::from_millis(10);
/// In what `/proc` counts processor time, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running child. It gets SIGKILL when this process ends, and is in a process group of its own, so
/// that Ctrl-C reaches it through us and in our order.
#[derive(Debug)]
pub struct ManagedProcess {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl ManagedProcess {
    /// Starts `command`; stdout and stderr are appended to `<name>.log` in `workdir`.
    pub fn start(name: &str, command: Command, workdir: &Workdir) -> Result<Self> {
        Self::start_with_stdout(name, command, workdir, None)
    }

    /// As [`Self::start`], with stdout in a file of its own.
    pub fn start_with_stdout(
        name: &str,
        command: Command,
        workdir: &Workdir,
        stdout: Option<File>,
    ) -> Result<Self> {
        let log = workdir.path().join(format!("{name}.log"));
        let child = spawn(name, &log, command, stdout)?;
        workdir.report_child(child.id())?;
        Ok(Self { name: name.to_owned(), log, child: Mutex::new(child) })
    }

    /// Starts `command` in its place once it has ended, with the same log.
    pub fn restart(&self, command: Command, workdir: &Workdir) -> Result<()> {
        self.kill();
        let child = spawn(&self.name, &self.log, command, None)?;
        workdir.report_child(child.id())?;
        *self.child.lock() = child;
        Ok(())
    }

    /// Name that it was given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// The file with its output.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Status with which it ended, if it has.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().ok().flatten()
    }

    /// Ends it at once, with SIGKILL, and reaps it.
    pub fn kill(&self) {
        let mut child = self.child.lock();
        // Both fail only for a child that is gone already, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Asks it to end with SIGTERM and waits; after `timeout` it is killed, and that is an error.
    pub async fn terminate(&self, timeout: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        let ended = self.wait_exit(timeout).await;
        if ended.is_err() {
            self.kill();
        }
        ended.with_context(|| format!("{} did not end on SIGTERM and was killed", self.name))
    }

    /// Waits until it has ended by itself.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited() {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} still runs after {timeout:?}; its log ends with:\n{}",
                    self.name,
                    self.log_tail(20)
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Freezes it with SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// The last `lines` lines that it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }

    /// Resident memory in MiB, as the kernel counts it.
    pub fn rss_mb(&self) -> Result<f64> {
        self.memory_mb("VmRSS:")
    }

    /// The most that was ever resident, in MiB.
    pub fn peak_rss_mb(&self) -> Result<f64> {
        self.memory_mb("VmHWM:")
    }

    fn memory_mb(&self, row: &str) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("{} has ended", self.name))?;
        let kib = status.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next());
        let kib: f64 = kib.with_context(|| format!("{path} has no {row}"))?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Processor time that it has used so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = fs::read_to_string(&path).with_context(|| format!("{} has ended", self.name))?;
        // The name in parentheses may have blanks; user and system time are the 12th and 13th word after it.
        let words = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
        let ticks = words.into_iter().flatten().skip(11).take(2).map(str::parse::<f64>);
        let ticks: Vec<_> = ticks.collect::<Result<_, _>>().with_context(|| format!("{path}: {stat}"))?;
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    #[expect(unsafe_code, reason = "the standard library only sends SIGKILL")]
    fn signal(&self, signal: libc::c_int) {
        let mut child = self.child.lock();
        // A child that was not reaped keeps its process id, so the signal cannot reach anybody else.
        if child.try_wait().is_ok_and(|status| status.is_none()) {
            // SAFETY: a plain system call without pointers.
            unsafe { libc::kill(child.id().cast_signed(), signal) };
        }
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(name: &str, log: &Path, mut command: Command, stdout: Option<File>) -> Result<Child> {
    let stderr = File::options().create(true).append(true).open(log).context("cannot open the log")?;
    let stdout = stdout.map_or_else(|| stderr.try_clone(), Ok).context("cannot share the log")?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
    let program = command.get_program().display().to_string();
    spawner::spawn(command).with_context(|| format!("cannot start {name} ({program})"))
}

fn log_tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(workdir: &Workdir, script: &str) -> ManagedProcess {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        ManagedProcess::start("child", command, workdir).unwrap()
    }

    #[tokio::test]
    async fn output_is_logged_and_the_exit_code_seen() {
        let workdir = Workdir::new("unit").unwrap();
        let child = sh(&workdir, "echo one; echo two >&2; echo three; exit 7");
        let status = child.wait_exit(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(child.log_tail(2), "two\nthree");
    }

    #[tokio::test]
    async fn a_child_that_ignores_sigterm_is_killed() {
        let workdir = Workdir::new("unit").unwrap();
        let child = sh(&workdir, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        while child.log_tail(1) != "ready" {
            tokio::time::sleep(POLL).await;
        }
        assert!(child.terminate(Duration::from_millis(200)).await.is_err());
        assert!(child.exited().is_some());
    }

    #[tokio::test]
    async fn processor_time_is_counted() {
        let workdir = Workdir::new("unit").unwrap();
        let child = sh(&workdir, "while :; do :; done");
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.cpu_seconds().unwrap() < 0.1 {
            assert!(Instant::now() < deadline, "{:?}", child.cpu_seconds());
            tokio::time::sleep(POLL).await;
        }
    }

    #[test]
    fn dropping_ends_the_child() {
        let workdir = Workdir::new("unit").unwrap();
        let child = sh(&workdir, "sleep 60");
        let proc = PathBuf::from(format!("/proc/{}", child.pid()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists());
    }
}
