//! The one thread that starts every child process.
//!
//! A child's parent-death signal fires when the *thread* that forked it ends, not when the process does.
//! Tests and tokio's workers come and go, so all forks happen on a thread that lives as long as the process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Starts `command` as a child that the kernel kills when this process ends, however it ends.
///
/// # Errors
/// When it does not start.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let (answer, result) = sync_channel(1);
    let job: Job = Box::new(move || {
        die_with_parent(&mut command);
        // The receiver waits below, so this cannot fail before it has been answered.
        let _ = answer.send(command.spawn());
    });
    let ended = || io::Error::other("the thread that starts processes has ended");
    jobs().send(job).map_err(|_| ended())?;
    result.recv().map_err(|_| ended())?
}

fn jobs() -> &'static Sender<Job> {
    static JOBS: OnceLock<Sender<Job>> = OnceLock::new();
    JOBS.get_or_init(|| {
        let (sender, receiver) = channel::<Job>();
        thread::spawn(move || receiver.into_iter().for_each(|job| job()));
        sender
    })
}

/// Has the kernel end this process when the one that started it ends.
#[expect(unsafe_code, reason = "the standard library has no word for it")]
pub fn end_with_parent() {
    // SAFETY: a plain system call without pointers. It fails for no signal that exists.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

#[expect(unsafe_code, reason = "the parent-death signal can only be set between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set_signal = move || {
        // SAFETY: both are plain system calls without pointers, and async-signal-safe.
        let (status, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the signal was asked for; then it would never come.
        if now.cast_unsigned() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: the closure neither allocates nor locks, which is what may be done after a fork.
    unsafe { command.pre_exec(set_signal) };
}
