//! Tasks of a process: named, tracked, cancelled together. A panic in any of them ends the process
//! (see `process`), and so does the end of a critical one.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error};

/// The tasks of a process, or of one part of it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    /// Tasks that end with these at the latest, and that can be ended before.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { tracker: self.tracker.clone(), cancel: self.cancel.child_token() }
    }

    /// Runs a task until it ends or everything is cancelled. Dropping the future must be safe at any await.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.track(async move {
            tokio::select! {
                () = cancel.cancelled() => debug!(task = name, "task was cancelled"),
                () = task => debug!(task = name, "task ended"),
            }
        });
    }

    /// Runs a task whose end, before everything is cancelled, ends everything.
    pub fn spawn_critical(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.track(async move {
            tokio::select! {
                () = cancel.cancelled() => debug!(task = name, "task was cancelled"),
                () = task => {
                    error!(task = name, "a task that the process cannot do without has ended");
                    cancel.cancel();
                }
            }
        });
    }

    /// Runs a task that watches for cancellation itself, because it has something to finish.
    pub fn spawn_graceful(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.track(task);
    }

    /// Ends every task.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether the tasks are to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves when the tasks are to end.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Waits until every task has ended. False when some had not within `limit`.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns: the tracker counts the task")]
    fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tracker.track_future(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_critical_task_ends_the_others() {
        let tasks = Tasks::default();
        tasks.spawn("waits", std::future::pending());
        tasks.spawn_critical("ends", async {});
        assert!(tasks.drained(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_child_ends_alone() {
        let tasks = Tasks::default();
        let child = tasks.child();
        child.cancel();
        assert!(!tasks.is_cancelled());
        tasks.cancel();
        assert!(tasks.child().is_cancelled());
    }
}
