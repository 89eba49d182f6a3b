//! The metrics of requests to several clusters.

use std::time::Duration;

use portolan_runtime::metrics::{Counters, Histograms, Metrics, retain};

/// Counts requests to several clusters, and the clusters of each.
#[derive(Debug)]
pub struct FleetMetrics {
    requests: Counters,
    seconds: Histograms,
    clusters: Counters,
}

impl FleetMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "fleet_requests_total",
                "GraphQL requests to several clusters, by result.",
                &["result"],
            ),
            seconds: metrics.latencies(
                "fleet_request_seconds",
                "How long GraphQL requests to several clusters take.",
                &[],
            ),
            clusters: metrics.counters(
                "fleet_clusters_total",
                "Clusters that were asked for requests to several, by cluster and result.",
                &["cluster", "result"],
            ),
        }
    }

    /// Counts an answered request.
    pub fn answered(&self, result: &str, took: Duration) {
        self.requests.with_label_values(&[result]).inc();
        self.seconds.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// Counts a cluster that was asked.
    pub fn asked(&self, cluster: &str, result: &str) {
        self.clusters.with_label_values(&[cluster, result]).inc();
    }

    pub(super) fn gone(&self, keep: impl Fn(&str) -> bool) {
        retain(&self.clusters, "cluster", keep);
    }
}
