//! The gateway's metrics.

mod fleet;

use std::time::Duration;

use portolan_runtime::metrics::{Counters, Gauges, Histograms, Metrics, retain};

use self::fleet::FleetMetrics;

/// The metrics of the gateway.
#[derive(Debug)]
pub struct GatewayMetrics {
    requests: Counters,
    seconds: Histograms,
    builds: Counters,
    build_seconds: Histograms,
    endpoints: Gauges,
    failing: Gauges,
    source_failing: Gauges,
    subscriptions: Gauges,
    calls: Counters,
    call_seconds: Histograms,
    memory_reads: Counters,
    memory_bytes: Gauges,
    /// Requests to several clusters.
    pub fleet: FleetMetrics,
}

/// The count of reads of one cluster that memory may answer.
#[derive(Clone, Debug)]
pub struct MemoryReads {
    cluster: String,
    count: Counters,
}

impl MemoryReads {
    /// Counts a read by where it was answered from: `memory` or `cluster`.
    pub fn count(&self, source: &'static str) {
        self.count.with_label_values(&[&*self.cluster, source]).inc();
    }
}

/// The count of calls of one API server.
#[derive(Clone, Debug)]
pub struct UpstreamCalls {
    cluster: String,
    count: Counters,
    seconds: Histograms,
}

impl UpstreamCalls {
    /// The cluster of the API server.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Counts a call by the time until its answer begins. Watches and logs begin when there is something to say, so
    /// their time means nothing.
    pub fn asked(&self, verb: &'static str, result: &'static str, took: Duration) {
        self.count.with_label_values(&[&*self.cluster, verb, result]).inc();
        if !matches!(verb, "watch" | "log") {
            self.seconds.with_label_values(&[&*self.cluster, verb]).observe(took.as_secs_f64());
        }
    }
}

impl GatewayMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "requests_total",
                "GraphQL requests by cluster and result.",
                &["cluster", "result"],
            ),
            seconds: metrics.latencies(
                "request_seconds",
                "How long GraphQL requests take, by cluster.",
                &["cluster"],
            ),
            builds: metrics.counters(
                "schema_builds_total",
                "Schemas built from documents, by result.",
                &["result"],
            ),
            build_seconds: metrics.latencies(
                "schema_build_seconds",
                "How long an endpoint takes from its document on.",
                &[],
            ),
            endpoints: metrics.gauges("endpoints_count", "Clusters that are served.", &[]),
            failing: metrics.gauges(
                "document_failing_state",
                "Whether the document of a cluster cannot be used.",
                &["cluster"],
            ),
            source_failing: metrics.gauges(
                "source_failing_state",
                "Whether the directory or the listener with the documents cannot be read.",
                &[],
            ),
            subscriptions: metrics.gauges(
                "subscriptions_count",
                "Subscriptions that are open, by cluster.",
                &["cluster"],
            ),
            calls: metrics.counters(
                "upstream_calls_total",
                "Calls of API servers by cluster, verb and result.",
                &["cluster", "verb", "result"],
            ),
            call_seconds: metrics.latencies(
                "upstream_call_seconds",
                "How long an API server takes to begin its answer, by cluster and verb.",
                &["cluster", "verb"],
            ),
            memory_reads: metrics.counters(
                "memory_reads_total",
                "Reads that memory may answer, by cluster and by where they were answered from.",
                &["cluster", "source"],
            ),
            memory_bytes: metrics.gauges("memory_bytes", "Bytes of objects in memory.", &[]),
            fleet: FleetMetrics::register(metrics),
        }
    }

    /// Counts an answered request of a known cluster.
    pub fn answered(&self, cluster: &str, result: &str, took: Duration) {
        self.requests.with_label_values(&[cluster, result]).inc();
        self.seconds.with_label_values(&[cluster]).observe(took.as_secs_f64());
    }

    /// Counts a document that was read.
    pub fn built(&self, is_good: bool, took: Duration) {
        self.builds.with_label_values(&[if is_good { "ok" } else { "failed" }]).inc();
        self.build_seconds.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// Sets the number of served clusters.
    pub fn endpoints(&self, count: usize) {
        self.endpoints.with_label_values::<&str>(&[]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether the document of a cluster is unusable.
    pub fn failing(&self, cluster: &str, is_failing: bool) {
        self.failing.with_label_values(&[cluster]).set(i64::from(is_failing));
    }

    /// Sets whether the source of the documents cannot be read.
    pub fn source_failing(&self, is_failing: bool) {
        self.source_failing.with_label_values::<&str>(&[]).set(i64::from(is_failing));
    }

    /// Counts a subscription that begins (1) or ends (-1).
    pub fn subscribed(&self, cluster: &str, change: i64) {
        self.subscriptions.with_label_values(&[cluster]).add(change);
    }

    /// The count of calls of a cluster.
    pub fn calls(&self, cluster: &str) -> UpstreamCalls {
        UpstreamCalls {
            cluster: cluster.to_owned(),
            count: self.calls.clone(),
            seconds: self.call_seconds.clone(),
        }
    }

    /// The count of reads of a cluster that memory may answer.
    pub fn memory_reads(&self, cluster: &str) -> MemoryReads {
        MemoryReads { cluster: cluster.to_owned(), count: self.memory_reads.clone() }
    }

    /// The gauge of what memory takes.
    pub fn memory_bytes(&self) -> Gauges {
        self.memory_bytes.clone()
    }

    /// Removes the series of a cluster.
    pub fn gone(&self, cluster: &str) {
        let keep = |name: &str| name != cluster;
        retain(&self.requests, "cluster", keep);
        retain(&self.seconds, "cluster", keep);
        retain(&self.failing, "cluster", keep);
        retain(&self.subscriptions, "cluster", keep);
        retain(&self.calls, "cluster", keep);
        retain(&self.call_seconds, "cluster", keep);
        retain(&self.memory_reads, "cluster", keep);
        self.fleet.gone(keep);
    }
}
