//! The directory of a cluster, and the record of the cluster that runs, if one does.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// Short, since the paths of the sockets in it may have 107 bytes.
pub(super) const DEFAULT: &str = "/var/lib/portolan-cluster";
const RECORD: &str = "cluster.json";
const LOCK: &str = "lock";
/// Limit for the kernel to clean up after the last process.
const CLEARED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A process, identified by its id and its start time, since ids are reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    id: u32,
    began: String,
}

impl Who {
    pub(super) fn of(id: u32) -> Option<Self> {
        Some(Self { id, began: stat(id)?.1 })
    }

    /// Returns `true` while it runs. A zombie does not.
    fn lives(&self) -> bool {
        stat(self.id).is_some_and(|(state, began)| began == self.began && !matches!(state, 'Z' | 'X'))
    }

    fn kill(&self) {
        if self.lives() {
            let _ = std::process::Command::new("kill").args(["-KILL", &self.id.to_string()]).status();
        }
    }
}

/// State and start time, the third and the 22nd field of the line.
fn stat(id: u32) -> Option<(char, String)> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut words = line.rsplit_once(") ")?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.nth(18)?.to_owned()))
}

/// The record of a cluster, written before it starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) before: Machine,
    /// The first process within the namespaces, and its parent outside.
    pub(super) processes: Vec<Who>,
}

/// The directory, locked for one command at a time.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    lock: File,
}

impl Drop for Home {
    fn drop(&mut self) {
        // Closing is not enough: a child that was started just now has the file open until it becomes its program.
        let _ = self.lock.unlock();
    }
}

impl Home {
    /// Locks the directory, or says who has it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let path = path.canonicalize()?;
        let is_new = fs::read_dir(&path)?.next().is_none();
        // Its content will be removed.
        ensure!(is_new || path.join(LOCK).is_file(), "{} is not empty and not ours", path.display());
        let lock = File::create(path.join(LOCK)).context("cannot create the lock")?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another `cargo xtask cluster` works on {}", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the directory"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn record(&self) -> Result<Option<Record>> {
        let Ok(text) = fs::read_to_string(self.file(RECORD)) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| self.file(RECORD).display().to_string())
    }

    pub(super) fn write(&self, record: &Record) -> Result<()> {
        let aside = self.file("cluster.json.new");
        fs::write(&aside, serde_json::to_vec_pretty(record)?)?;
        fs::rename(aside, self.file(RECORD)).context("writing down what runs")
    }

    /// Ends a cluster, whoever started it, and returns what it has left. None if there was none.
    pub(super) fn clear(&self) -> Result<Option<Vec<String>>> {
        let Some(record) = self.record()? else { return self.empty().map(|()| None) };
        record.processes.iter().for_each(Who::kill);
        let deadline = Instant::now() + CLEARED_WITHIN;
        while record.processes.iter().any(Who::lives) {
            ensure!(Instant::now() < deadline, "processes of the cluster do not end: {:?}", record.processes);
            sleep(POLL);
        }
        // The kernel removes devices and cgroups a moment after the last process.
        let left = loop {
            record.before.restore();
            let left = Machine::look(&self.path)?.since(&record.before);
            if left.is_empty() || Instant::now() >= deadline {
                break left;
            }
            sleep(POLL);
        };
        if left.is_empty() {
            self.empty()?;
        }
        Ok(Some(left))
    }

    /// Removes everything but the lock.
    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path)?.flatten().filter(|entry| entry.file_name() != LOCK) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_at_a_time() {
        let folder = std::env::temp_dir().join(format!("portolan-home-{}", std::process::id()));
        let home = Home::open(&folder).unwrap();
        let refused = Home::open(&folder).unwrap_err().to_string();
        assert!(refused.starts_with("another `cargo xtask cluster` works on "), "{refused}");
        drop(home);
        let home = Home::open(&folder).unwrap();
        fs::write(home.file("old"), "x").unwrap();
        assert_eq!(home.clear().unwrap(), None);
        assert!(!home.file("old").exists());
        drop(home);
        fs::remove_file(folder.join(LOCK)).unwrap();
        fs::write(folder.join("own"), "x").unwrap();
        assert!(Home::open(&folder).unwrap_err().to_string().ends_with("is not empty and not ours"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_process_is_not_taken_for_another_with_its_id() {
        let who = Who::of(std::process::id()).unwrap();
        assert!(who.lives());
        assert!(!Who { began: "1".to_owned(), ..who.clone() }.lives());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let who = Who::of(child.id()).unwrap();
        who.kill();
        let deadline = Instant::now() + CLEARED_WITHIN;
        while who.lives() {
            assert!(Instant::now() < deadline);
            sleep(POLL);
        }
        child.wait().unwrap();
    }
}
