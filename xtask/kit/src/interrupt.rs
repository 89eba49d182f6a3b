//! Ctrl-C and SIGTERM: what is under way is dropped, so that processes and directories go with it.

use anyhow::{Context as _, Result};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

/// Exit code of a command that Ctrl-C ended, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The signals that ask this process to end. Once made, they no longer end it by themselves.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let on = |kind| signal(kind).context("listening for signals");
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Resolves when this process is asked to end.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Does the work, or drops it when this process is asked to end.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.next() => None,
        }
    }
}

/// Runs `work` on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_multi_thread().enable_all().build().context("starting the async runtime")?.block_on(work)
}
