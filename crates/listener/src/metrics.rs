//! The listener's metrics. Those of a cluster disappear with its ClusterAccess.

use std::{collections::BTreeMap, time::Duration};

use portolan_runtime::metrics::{Counters, Gauges, Histograms, Metrics, retain};

use crate::documents::DocumentSnapshot;

/// All metrics.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    documents: Gauges,
    bytes: Gauges,
    age: Gauges,
    seconds: Histograms,
    failures: Counters,
    streams: Gauges,
    refused: Counters,
}

impl ListenerMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let cluster = &["cluster"];
        Self {
            documents: metrics.gauges("documents_count", "Documents that are served.", &[]),
            bytes: metrics.gauges("document_bytes", "Size of a document's parts together.", cluster),
            age: metrics.gauges(
                "document_age_seconds",
                "Time since the cluster was last looked at with success.",
                cluster,
            ),
            seconds: metrics.latencies("discovery_seconds", "Time of a whole look at a cluster.", cluster),
            failures: metrics.counters(
                "discovery_failures_total",
                "Looks at a cluster that failed, by the reason that its ClusterAccess shows.",
                &["cluster", "reason"],
            ),
            streams: metrics.gauges("streams_count", "Gateways that follow the documents.", &[]),
            refused: metrics.counters(
                "stream_refusals_total",
                "Requests for documents that were refused, by status code.",
                &["code"],
            ),
        }
    }

    /// Counts a look, with the reason if it failed.
    pub fn looked(&self, cluster: &str, took: Duration, failed: Option<&str>) {
        self.seconds.with_label_values(&[cluster]).observe(took.as_secs_f64());
        if let Some(reason) = failed {
            self.failures.with_label_values(&[cluster, reason]).inc();
        }
    }

    /// Sets number and sizes of the documents.
    pub fn documents(&self, snapshot: &DocumentSnapshot) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.documents.with_label_values::<&str>(&[]).set(count(snapshot.documents.len()));
        for (path, document) in &snapshot.documents {
            self.bytes.with_label_values(&[path]).set(count(document.bytes()));
        }
        self.retain(&snapshot.paths);
    }

    /// Sets the time since the last successful look at a cluster.
    pub fn age(&self, cluster: &str, age: Duration) {
        self.age.with_label_values(&[cluster]).set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts a stream that begins (1) or ends (-1).
    pub fn streams(&self, change: i64) {
        self.streams.with_label_values::<&str>(&[]).add(change);
    }

    /// Counts a refused request.
    pub fn refused(&self, code: u16) {
        self.refused.with_label_values(&[&code.to_string()]).inc();
    }

    fn retain(&self, paths: &BTreeMap<String, String>) {
        let keep = |path: &str| paths.contains_key(path);
        retain(&self.bytes, "cluster", keep);
        retain(&self.age, "cluster", keep);
        retain(&self.seconds, "cluster", keep);
        retain(&self.failures, "cluster", keep);
    }
}
