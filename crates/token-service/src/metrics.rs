//! Metrics of the token service. Clusters are label values only where they are configured.

use std::time::Duration;

use portolan_runtime::metrics::{Counters, Gauges, Histograms, Metrics, retain};

use crate::{cluster::Cluster, config::ServiceConfig, review::ReviewVerdict};

/// The caller's name where anybody may ask.
pub const ANONYMOUS: &str = "anonymous";

/// The token service's metrics.
#[derive(Clone, Debug)]
pub struct ServiceMetrics {
    reviews: Counters,
    cache_hits: Counters,
    latency: Histograms,
    cached: Gauges,
    keys: Gauges,
    shared_keys: Gauges,
    key_age: Gauges,
    refreshes: Gauges,
    credential_left: Gauges,
    stale_configuration: Gauges,
    v1: Counters,
    refused_requests: Counters,
}

impl ServiceMetrics {
    pub fn register(metrics: &Metrics) -> Self {
        let review = ["cluster", "result", "reason", "mode"];
        Self {
            reviews: metrics.counters("reviews_total", "Reviews that were answered.", &review),
            cache_hits: metrics.counters(
                "cache_hits_total",
                "Reviews that were answered from the cache.",
                &["cluster"],
            ),
            latency: metrics.short_latencies(
                "review_seconds",
                "Time to a decision; source: decided just now, or kept.",
                &["cluster", "mode", "source"],
            ),
            cached: metrics.gauges("cached_verdicts", "Verdicts in the cache.", &[]),
            keys: metrics.gauges("issuer_keys", "Usable keys of an issuer.", &["cluster"]),
            shared_keys: metrics.gauges(
                "issuer_keys_shared",
                "Keys that another cluster with the same issuer has, too: the automatic choice refuses their tokens.",
                &["cluster"],
            ),
            key_age: metrics.gauges("issuer_keys_age_seconds", "Age of the keys of an issuer.", &["cluster"]),
            refreshes: metrics.gauges(
                "issuer_refreshes",
                "Requests for the keys of an issuer since the start.",
                &["cluster", "result"],
            ),
            credential_left: metrics.gauges(
                "credential_expiry_seconds",
                "Time until the credential for a cluster expires.",
                &["cluster"],
            ),
            stale_configuration: metrics.gauges(
                "configuration_rejected",
                "1 while the configuration on disk cannot be used and the old one stays in use.",
                &[],
            ),
            v1: metrics.counters("deprecated_requests_total", "Requests of the old API.", &["caller"]),
            refused_requests: metrics.counters(
                "refused_requests_total",
                "Requests that were not reviewed.",
                &["reason"],
            ),
        }
    }

    /// A verdict that was found just now.
    pub fn decided(&self, verdict: &ReviewVerdict, took: Duration) {
        let (cluster, mode) = (verdict.cluster(), verdict.mode());
        self.reviews.with_label_values(&[cluster, verdict.label(), verdict.reason(), mode]).inc();
        self.latency.with_label_values(&[cluster, mode, "decided"]).observe(took.as_secs_f64());
    }

    /// A verdict from the cache.
    pub fn cached(&self, verdict: &ReviewVerdict, took: Duration) {
        let (cluster, mode) = (verdict.cluster(), verdict.mode());
        self.latency.with_label_values(&[cluster, mode, "kept"]).observe(took.as_secs_f64());
        self.reviews.with_label_values(&[cluster, verdict.label(), verdict.reason(), mode]).inc();
        self.cache_hits.with_label_values(&[cluster]).inc();
    }

    pub fn cache_size(&self, verdicts: u64) {
        self.cached.with_label_values::<&str>(&[]).set(whole(verdicts));
    }

    pub fn configuration_rejected(&self, rejected: bool) {
        self.stale_configuration.with_label_values::<&str>(&[]).set(i64::from(rejected));
    }

    pub fn v1(&self, caller: &str) {
        self.v1.with_label_values(&[caller]).inc();
    }

    pub fn refused_request(&self, reason: &str) {
        self.refused_requests.with_label_values(&[reason]).inc();
    }

    /// Records the state of a cluster at `now`.
    pub fn cluster(&self, cluster: &Cluster, now: jiff::Timestamp) {
        let (name, status) = (cluster.config.name.as_str(), cluster.jwks.status());
        self.keys.with_label_values(&[name]).set(i64::try_from(status.keys).unwrap_or(i64::MAX));
        if let Some(age) = status.age {
            self.key_age.with_label_values(&[name]).set(whole(age.as_secs()));
        }
        self.refreshes.with_label_values(&[name, "ok"]).set(whole(status.succeeded));
        self.refreshes.with_label_values(&[name, "failed"]).set(whole(status.failed));
        if let Some(end) = cluster.credential.about().and_then(|about| about.expires) {
            self.credential_left.with_label_values(&[name]).set(end.as_second() - now.as_second());
        }
    }

    /// Records how many keys of a cluster are those of another one.
    pub fn shared_keys(&self, cluster: &str, count: usize) {
        self.shared_keys.with_label_values(&[cluster]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Forgets clusters and callers that are no longer configured. A question that was under way when they went may
    /// bring them back once, so this is done again and again.
    pub fn retain(&self, config: &ServiceConfig) {
        let is_cluster = |name: &str| name.is_empty() || config.clusters.contains_key(name);
        for gauges in [&self.keys, &self.shared_keys, &self.key_age, &self.refreshes, &self.credential_left] {
            retain(gauges, "cluster", is_cluster);
        }
        for counters in [&self.reviews, &self.cache_hits] {
            retain(counters, "cluster", is_cluster);
        }
        retain(&self.latency, "cluster", is_cluster);
        let is_caller =
            |name: &str| name == ANONYMOUS || config.callers.iter().any(|caller| caller.name == name);
        retain(&self.v1, "caller", is_caller);
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
