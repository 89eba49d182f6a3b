//! The portal's metrics. Labels are routes of the table and codes, never names of users or objects.

use std::time::Duration;

use http::StatusCode;
use portolan_runtime::metrics::{Counters, Gauges, Histograms, Metrics};

/// All metrics.
#[derive(Clone, Debug)]
pub struct PortalMetrics {
    requests: Counters,
    latencies: Histograms,
    logins: Counters,
    reveals: Counters,
    streams: Gauges,
}

impl PortalMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "requests_total",
                "Requests by method, route and status code.",
                &["method", "route", "code"],
            ),
            latencies: metrics.latencies(
                "request_seconds",
                "Time to answer a request, by method and route.",
                &["method", "route"],
            ),
            logins: metrics.counters("logins_total", "Logins by result: ok, failed.", &["result"]),
            reveals: metrics.counters("reveals_total", "Revealed keys by result: ok, refused.", &["result"]),
            streams: metrics.gauges("event_streams_count", "Open event streams.", &[]),
        }
    }

    pub fn answered(&self, method: &str, route: &str, code: StatusCode, took: Duration) {
        self.requests.with_label_values(&[method, route, code.as_str()]).inc();
        self.latencies.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    pub fn login(&self, is_good: bool) {
        self.logins.with_label_values(&[if is_good { "ok" } else { "failed" }]).inc();
    }

    pub fn reveal(&self, is_good: bool) {
        self.reveals.with_label_values(&[if is_good { "ok" } else { "refused" }]).inc();
    }

    pub fn stream_opened(&self) {
        self.streams.with_label_values::<&str>(&[]).inc();
    }

    pub fn stream_closed(&self) {
        self.streams.with_label_values::<&str>(&[]).dec();
    }
}
