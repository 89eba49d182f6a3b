//! Metrics of the exchange. Issuers are label values only where they are configured.

use std::time::Duration;

use portolan_runtime::metrics::{Counters, Gauges, Histograms, Metrics, retain};

use crate::{audit::CallerFacts, outcome::ExchangeDenial, state::ConfigSnapshot};

/// The metrics of the exchange.
#[derive(Clone, Debug)]
pub struct ExchangeMetrics {
    requests: Counters,
    latency: Histograms,
    keys: Gauges,
    invalid: Counters,
}

impl ExchangeMetrics {
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "requests_total",
                "Exchanges that were decided.",
                &["issuer", "result", "reason"],
            ),
            latency: metrics.latencies("request_seconds", "Time to a decision.", &["result"]),
            keys: metrics.gauges("issuer_keys", "Usable keys of an issuer.", &["issuer"]),
            invalid: metrics.counters("invalid_requests_total", "Requests that ask nothing.", &["status"]),
        }
    }

    /// An exchange that was decided.
    pub fn decided(
        &self,
        snapshot: &ConfigSnapshot,
        about: &CallerFacts,
        outcome: Result<(), &ExchangeDenial>,
        took: Duration,
    ) {
        let listed = about.issuer.as_deref().filter(|issuer| snapshot.issuers.contains_key(*issuer));
        let (result, reason) = match outcome {
            Ok(()) => ("exchanged", ""),
            Err(denied) => ("refused", denied.label()),
        };
        self.requests.with_label_values(&[listed.unwrap_or(""), result, reason]).inc();
        self.latency.with_label_values(&[result]).observe(took.as_secs_f64());
    }

    pub fn invalid(&self, status: u16) {
        self.invalid.with_label_values(&[status.to_string().as_str()]).inc();
    }

    /// Records the number of keys of each issuer; issuers that are gone are removed.
    pub fn issuers(&self, snapshot: &ConfigSnapshot) {
        for (name, issuer) in &snapshot.issuers {
            let keys = i64::try_from(issuer.jwks.status().keys).unwrap_or(i64::MAX);
            self.keys.with_label_values(&[name.as_str()]).set(keys);
        }
        let is_listed = |name: &str| snapshot.issuers.contains_key(name);
        retain(&self.keys, "issuer", is_listed);
        retain(&self.requests, "issuer", |name| name.is_empty() || is_listed(name));
    }
}
