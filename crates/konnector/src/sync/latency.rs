//! Latency from a change on the consumer until the copy has it.

use std::collections::HashMap;

use parking_lot::Mutex;
use portolan_runtime::metrics::Histogram;
use tokio::time::Instant;

use super::{key::ObjectKey, plan::SyncStep};

/// When the changes began that have yet to reach the provider.
pub(super) struct CopyLatency {
    seconds: Histogram,
    began: Mutex<HashMap<ObjectKey, Instant>>,
}

impl CopyLatency {
    pub(super) fn new(seconds: Histogram) -> Self {
        Self { seconds, began: Mutex::default() }
    }

    /// An object has changed on the consumer, and this is the next step for it. A later change before the copy is
    /// written does not restart the time.
    pub(super) fn changed(&self, key: &ObjectKey, next: &SyncStep, now: Instant) {
        if matches!(
            next,
            SyncStep::RequestNamespace
                | SyncStep::AwaitNamespace
                | SyncStep::Wait
                | SyncStep::AddFinalizer
                | SyncStep::CreateCopy
                | SyncStep::UpdateCopy
        ) {
            self.began.lock().entry(key.clone()).or_insert(now);
        }
    }

    /// A step was taken.
    pub(super) fn took(&self, key: &ObjectKey, step: &SyncStep, now: Instant) {
        if matches!(step, SyncStep::CreateCopy | SyncStep::UpdateCopy)
            && let Some(began) = self.began.lock().remove(key)
        {
            self.seconds.observe(now.duration_since(began).as_secs_f64());
        }
    }

    /// Nothing of the object has to reach the provider any more.
    pub(super) fn rests(&self, key: &ObjectKey) {
        self.began.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portolan_runtime::metrics::Metrics;

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey { namespace: "west".to_owned(), name: "billy".to_owned() }
    }

    #[test]
    fn the_time_runs_from_the_first_change_to_the_write_of_the_copy() {
        let histograms = Metrics::new("x").latencies("y_seconds", "Y.", &["resource"]);
        let seconds = histograms.with_label_values(&["a"]);
        let (latency, start) = (CopyLatency::new(seconds.clone()), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        latency.changed(&key(), &SyncStep::AddFinalizer, at(0));
        latency.changed(&key(), &SyncStep::CreateCopy, at(1));
        latency.took(&key(), &SyncStep::AddFinalizer, at(1));
        assert_eq!(seconds.get_sample_count(), 0);
        latency.took(&key(), &SyncStep::CreateCopy, at(2));
        latency.took(&key(), &SyncStep::UpdateCopy, at(3));
        assert_eq!((seconds.get_sample_count(), seconds.get_sample_sum().round()), (1, 2.0));
        // A status that comes up is no change of the consumer's, and one that was taken back needs no write.
        latency.changed(&key(), &SyncStep::WriteStatus, at(4));
        latency.took(&key(), &SyncStep::UpdateCopy, at(5));
        latency.changed(&key(), &SyncStep::UpdateCopy, at(6));
        latency.rests(&key());
        latency.took(&key(), &SyncStep::UpdateCopy, at(7));
        assert_eq!(seconds.get_sample_count(), 1);
    }
}
