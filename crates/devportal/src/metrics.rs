//! The controller's metrics. Their labels have few values, whatever users name their objects.

use portolan_core::api::devportal::{APIKey, KeyPhase};
use portolan_runtime::metrics::{Counters, Gauges, Metrics};

use crate::fetches::store::FetchTarget;

/// All metrics.
#[derive(Clone, Debug)]
pub struct PortalMetrics {
    products: Gauges,
    keys: Gauges,
    fetches: Counters,
    secrets: Counters,
    notices: Counters,
    waiting: Gauges,
}

impl PortalMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            products: metrics.gauges("products_count", "APIProducts by whether they are ready.", &["ready"]),
            keys: metrics.gauges("keys_count", "APIKeys by phase.", &["phase"]),
            fetches: metrics.counters(
                "fetches_total",
                "Fetched documents by kind (oidc, openapi) and result.",
                &["kind", "result"],
            ),
            secrets: metrics.counters(
                "secret_writes_total",
                "Writes of Secrets with keys: create, renew, delete, label.",
                &["action"],
            ),
            notices: metrics.counters(
                "notices_total",
                "Notices by result: delivered, retried, given_up, dropped.",
                &["result"],
            ),
            waiting: metrics.gauges("notices_waiting_count", "Notices that are yet to be delivered.", &[]),
        }
    }

    pub fn products(&self, ready: usize, not_ready: usize) {
        self.products.with_label_values(&["true"]).set(count(ready));
        self.products.with_label_values(&["false"]).set(count(not_ready));
    }

    pub fn keys<'a>(&self, keys: impl Iterator<Item = &'a APIKey>) {
        let mut phases = [("Pending", 0), ("Approved", 0), ("Rejected", 0), ("Expired", 0)];
        for key in keys {
            let place = match key.phase() {
                KeyPhase::Pending => 0,
                KeyPhase::Approved => 1,
                KeyPhase::Rejected => 2,
                KeyPhase::Expired => 3,
            };
            phases[place].1 += 1;
        }
        for (phase, number) in phases {
            self.keys.with_label_values(&[phase]).set(number);
        }
    }

    pub fn fetched(&self, target: &FetchTarget, is_good: bool) {
        let kind = match target {
            FetchTarget::Oidc(_) => "oidc",
            FetchTarget::OpenApi { .. } => "openapi",
        };
        self.fetches.with_label_values(&[kind, if is_good { "ok" } else { "failed" }]).inc();
    }

    pub fn wrote_secret(&self, action: &str) {
        self.secrets.with_label_values(&[action]).inc();
    }

    pub fn notice(&self, result: &str) {
        self.notices.with_label_values(&[result]).inc();
    }

    pub fn waiting(&self, number: usize) {
        self.waiting.with_label_values::<&str>(&[]).set(count(number));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
