//! Tasks of a process: named, tracked, cancelled together. A panic in any of them ends the process
//! (see `process`), and so does the end of a critical one.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error};

/// Limit for last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The tasks of a process, or of one part of it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    last: TaskTracker,
    ended: CancellationToken,
}

impl Tasks {
    /// Tasks that end with these at the latest, and that can be ended before.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancel: self.cancel.child_token(), ..self.clone() }
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
                    error!(task = name, "a critical task has ended");
                    cancel.cancel();
                }
            }
        });
    }

    /// Runs a task that watches for cancellation itself, because it has something to finish.
    pub fn spawn_graceful(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.track(task);
    }

    /// Runs a task after all others have ended: what is to be said when nothing more can happen.
    pub fn spawn_last(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        let last = async move {
            ended.cancelled().await;
            task.await;
        };
        #[expect(clippy::disallowed_methods, reason = "tracked, as everything here")]
        tokio::spawn(self.last.track_future(last));
    }

    /// Ends every task.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Returns `true` if the tasks are to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves when the tasks are to end.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Waits until every task has ended, and lets the last ones run. False when some had not within `limit`.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.tracker.close();
        let in_time = timeout(limit, self.tracker.wait()).await.is_ok();
        self.last.close();
        self.ended.cancel();
        timeout(LAST_WORDS, self.last.wait()).await.is_ok() && in_time
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
    async fn last_words_come_when_all_others_have_ended() {
        let (tasks, (sender, mut said)) = (Tasks::default(), tokio::sync::mpsc::unbounded_channel());
        let last = sender.clone();
        tasks.spawn_last(async move { last.send("last").unwrap() });
        let all = tasks.clone();
        tasks.spawn_graceful(async move {
            all.cancelled().await;
            tokio::task::yield_now().await;
            sender.send("first").unwrap();
        });
        tasks.cancel();
        assert!(tasks.drained(Duration::from_secs(5)).await);
        assert_eq!((said.recv().await, said.recv().await), (Some("first"), Some("last")));
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
