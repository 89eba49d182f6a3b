//! Workers over a queue: each key is reconciled from what the caches say, never from the event that added it.

use std::{
    fmt::{Debug, Display},
    future::Future,
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use crate::{
    apply::WriteError,
    metrics::{Counters, Gauges, Histograms, Metrics},
    queue::WorkQueue,
    tasks::Tasks,
    telemetry::brief,
};

/// Conflicts that make a key wait this long are logged.
const LASTING: Duration = Duration::from_secs(5);
/// Delay of the requeue after a conflict, if no watch event comes first.
pub const AFTER_CONFLICT: Duration = Duration::from_millis(250);

/// The requeue of a key, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Not before something changes.
    AwaitChange,
    /// After a delay at the latest.
    RequeueAfter(Duration),
    /// When no other key waits.
    RequeueLast,
}

/// An error of a reconcile.
pub trait ReconcileFailure: std::error::Error {
    /// Returns `true` if somebody else wrote first. That is no failure: the key is requeued soon, and nothing is
    /// logged.
    fn is_conflict(&self) -> bool {
        false
    }
}

/// Something could not be read or written while a key was reconciled. A person's mistake is a condition or an Event.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {what}")]
pub struct ReconcileError {
    action: &'static str,
    what: String,
    #[source]
    source: Box<WriteError>,
}

impl ReconcileError {
    /// Reads as "failed to `action` `what`".
    pub fn new(action: &'static str, what: impl Display, source: impl Into<WriteError>) -> Self {
        Self { action, what: what.to_string(), source: Box::new(source.into()) }
    }
}

impl ReconcileFailure for ReconcileError {
    fn is_conflict(&self) -> bool {
        self.source.is_conflict()
    }
}

/// The metrics that controllers of one service share.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    reconciles: Counters,
    seconds: Histograms,
    wait: Histograms,
    depth: Gauges,
}

impl ControllerMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            reconciles: metrics.counters(
                "reconciles_total",
                "Reconciled keys by controller and result.",
                &["controller", "result"],
            ),
            seconds: metrics.latencies("reconcile_seconds", "Time to reconcile a key.", &["controller"]),
            wait: metrics.latencies(
                "queue_wait_seconds",
                "Time from an event to the worker that takes it up.",
                &["controller"],
            ),
            depth: metrics.gauges("queue_depth_keys", "Keys that wait for a worker.", &["controller"]),
        }
    }
}

/// Workers over a queue.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
///
/// use portolan_runtime::{
///     controller::{Action, Controller, ControllerMetrics, ReconcileError},
///     process::Process,
///     queue::WorkQueue,
/// };
///
/// struct Context {
///     queue: Arc<WorkQueue<String>>,
/// }
///
/// async fn reconcile(_context: Arc<Context>, _name: String) -> Result<Action, ReconcileError> {
///     // Observe, validate, plan, apply.
///     Ok(Action::AwaitChange)
/// }
///
/// fn start(process: &Process) {
///     let context = Arc::new(Context { queue: Arc::default() });
///     let metrics = ControllerMetrics::register(&process.metrics);
///     let controller = Controller { name: "greeting", workers: 4, queue: &context.queue, metrics: &metrics };
///     controller.run(&process.tasks, &context, reconcile);
///     context.queue.add("world".to_owned());
/// }
/// ```
#[derive(Debug)]
pub struct Controller<'a, K> {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// Number of keys that are reconciled at a time.
    pub workers: usize,
    /// The keys that are due.
    pub queue: &'a Arc<WorkQueue<K>>,
    /// Metrics of its work.
    pub metrics: &'a ControllerMetrics,
}

impl<K: Clone + Debug + Eq + Hash + Send + Sync + 'static> Controller<'_, K> {
    /// Starts the workers, which reconcile the keys of the queue until the tasks are cancelled.
    ///
    /// An `Err` is for IO that failed: the key is requeued with backoff. A user's mistake is not an error.
    pub fn run<C, E, F>(
        &self,
        tasks: &Tasks,
        context: &Arc<C>,
        reconcile: impl Fn(Arc<C>, K) -> F + Clone + Send + Sync + 'static,
    ) where
        C: Send + Sync + 'static,
        E: ReconcileFailure + Send + 'static,
        F: Future<Output = Result<Action, E>> + Send,
    {
        let name = self.name;
        self.queue.show_depth(&self.metrics.depth.with_label_values(&[name]));
        for _ in 0..self.workers {
            let (queue, metrics) = (Arc::clone(self.queue), self.metrics.clone());
            let (context, reconcile) = (Arc::clone(context), reconcile.clone());
            tasks.spawn(name, async move {
                loop {
                    let (key, waited) = queue.next_waited().await;
                    metrics.wait.with_label_values(&[name]).observe(waited.as_secs_f64());
                    let started = Instant::now();
                    let result = reconcile(Arc::clone(&context), key.clone()).await;
                    metrics.seconds.with_label_values(&[name]).observe(started.elapsed().as_secs_f64());
                    settle(name, &queue, &metrics, &key, result);
                }
            });
        }
    }
}

fn settle<K, E>(
    name: &str,
    queue: &WorkQueue<K>,
    metrics: &ControllerMetrics,
    key: &K,
    result: Result<Action, E>,
) where
    K: Clone + Debug + Eq + Hash,
    E: ReconcileFailure + 'static,
{
    let is_done = result.as_ref().map_or_else(ReconcileFailure::is_conflict, |_| true);
    let label = if is_done { "done" } else { "failed" };
    metrics.reconciles.with_label_values(&[name, label]).inc();
    match result {
        Ok(action) => {
            queue.done(key);
            match action {
                Action::AwaitChange => {}
                Action::RequeueAfter(delay) => queue.add_after(key.clone(), delay),
                Action::RequeueLast => queue.add_last(key.clone()),
            }
        }
        Err(error) => {
            let delay = queue.failed(key);
            if is_done && delay < LASTING {
                return;
            }
            warn!(controller = name, ?key, retry_ms = delay.as_millis(), "{}", brief(&error));
        }
    }
}
