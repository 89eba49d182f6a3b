//! One temporary directory that is gone when its owner is, even when the owner was killed with SIGKILL.
//!
//! A small shell in a session of its own, the warden, reads from a pipe whose only other end this process
//! holds. When the pipe ends, the warden waits until the children that were reported to it are gone, and
//! removes the directory.

use std::fs::{self, OpenOptions};
use std::io::{self, PipeWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tempfile::TempDir;

/// Waits for the end of stdin, then at most ten seconds for the children, then removes `$1`.
/// A zombie counts as gone: in a container, nobody may be there to reap it.
const WARDEN: &str = r#"
trap '' HUP INT TERM
gone() {
    read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
    [ "$state" = Z ] || [ "$state" = X ]
}
children=
while read -r pid; do children="$children $pid"; done
left=200
for pid in $children; do
    until gone "$pid" || [ "$left" -eq 0 ]; do
        left=$((left - 1))
        sleep 0.05
    done
done
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
"#;

/// A private temporary directory and its warden.
#[derive(Debug)]
pub struct Workdir {
    dir: Option<TempDir>,
    path: PathBuf,
    pipe: Mutex<Option<PipeWriter>>,
    warden: Child,
}

impl Workdir {
    /// Makes an empty directory whose name starts with `portolan-<name>-`.
    pub fn new(name: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("portolan-{name}-"))
            .tempdir()
            .context("cannot make a temporary directory; is TMPDIR writable?")?;
        let path = dir.path().to_owned();
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        let warden = start_warden(&path, reader.into()).context("cannot start `sh`, which cleans up")?;
        Ok(Self { dir: Some(dir), path, pipe: Mutex::new(Some(writer)), warden })
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the owner may read, and returns where it is.
    pub fn write_private(&self, name: &str, contents: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        write_private(&path, contents)?;
        Ok(path)
    }

    /// Reports a child to the warden, which does not remove the directory under a running process.
    pub(crate) fn report_child(&self, pid: u32) -> Result<()> {
        let mut pipe = self.pipe.lock();
        let pipe = pipe.as_mut().context("the directory is being removed")?;
        writeln!(pipe, "{pid}").context("the warden of the temporary directory is gone")
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        // Whatever cannot be removed here, the warden tries again; a drop has nobody to tell.
        drop(self.dir.take());
        drop(self.pipe.lock().take());
        let _ = self.warden.wait();
    }
}

/// Writes `contents` to `path` with mode 0600, replacing what is there.
pub(crate) fn write_private(path: &Path, contents: &str) -> Result<()> {
    let write = || {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(contents.as_bytes())?;
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[expect(unsafe_code, reason = "a new session keeps the terminal's signals away from the warden")]
fn start_warden(dir: &Path, stdin: Stdio) -> io::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", WARDEN, "warden"]).arg(dir).current_dir("/");
    command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    let new_session = || {
        // SAFETY: a plain system call without arguments, async-signal-safe.
        if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure neither allocates nor locks, which is what may be done after a fork.
    unsafe { command.pre_exec(new_session) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_for_its_owner_only_and_goes_with_the_directory() {
        let workdir = Workdir::new("unit").unwrap();
        let file = workdir.write_private("secret", "x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let path = workdir.path().to_owned();
        drop(workdir);
        assert!(!path.exists());
    }
}
