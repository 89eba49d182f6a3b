//! Workers over a queue: each key is reconciled from what the caches say, never from the event that added it.

use std::{fmt::Debug, future::Future, hash::Hash, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::warn;

use crate::{
    metrics::{Counters, Gauges, Histograms, Metrics},
    queue::WorkQueue,
    tasks::Tasks,
    telemetry::brief,
};

/// When a key comes up again without news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not before something changes.
    OnChange,
    /// After a delay at the latest.
    After(Duration),
    /// When no other key waits.
    Last,
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

/// Starts `workers` workers that reconcile the keys of a queue until the tasks are cancelled.
///
/// An `Err` is for IO that failed: the key comes up again with backoff. A user's mistake is not an error.
pub fn run<K, E, F>(
    tasks: &Tasks,
    name: &'static str,
    workers: usize,
    queue: &Arc<WorkQueue<K>>,
    metrics: &ControllerMetrics,
    reconcile: impl Fn(K) -> F + Clone + Send + Sync + 'static,
) where
    K: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    E: std::error::Error + Send + 'static,
    F: Future<Output = Result<Next, E>> + Send,
{
    queue.show_depth(&metrics.depth.with_label_values(&[name]));
    for _ in 0..workers {
        let (queue, metrics, reconcile) = (Arc::clone(queue), metrics.clone(), reconcile.clone());
        tasks.spawn(name, async move {
            loop {
                let (key, waited) = queue.next_waited().await;
                metrics.wait.with_label_values(&[name]).observe(waited.as_secs_f64());
                let started = Instant::now();
                let result = reconcile(key.clone()).await;
                metrics.seconds.with_label_values(&[name]).observe(started.elapsed().as_secs_f64());
                settle(name, &queue, &metrics, &key, result);
            }
        });
    }
}

fn settle<K, E>(
    name: &str,
    queue: &WorkQueue<K>,
    metrics: &ControllerMetrics,
    key: &K,
    result: Result<Next, E>,
) where
    K: Clone + Debug + Eq + Hash,
    E: std::error::Error + 'static,
{
    let label = if result.is_ok() { "done" } else { "failed" };
    metrics.reconciles.with_label_values(&[name, label]).inc();
    match result {
        Ok(next) => {
            queue.done(key);
            match next {
                Next::OnChange => {}
                Next::After(delay) => queue.add_after(key.clone(), delay),
                Next::Last => queue.add_last(key.clone()),
            }
        }
        Err(error) => {
            let delay = queue.failed(key);
            warn!(controller = name, ?key, retry_ms = delay.as_millis(), "{}", brief(&error));
        }
    }
}
