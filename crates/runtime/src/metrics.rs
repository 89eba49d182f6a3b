//! Metrics: the only module that knows which metrics library is used.
//!
//! Names are `portolan_<service>_<noun>_<unit>`. Label values come from closed sets, or from configured and
//! bound objects, and are removed with them.

use std::sync::Arc;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Counters by label values.
pub type Counters = IntCounterVec;
/// One gauge.
pub type Gauge = prometheus::IntGauge;
/// Gauges by label values.
pub type Gauges = IntGaugeVec;
/// One histogram.
pub type Histogram = prometheus::Histogram;
/// Histograms by label values, in seconds.
pub type Histograms = HistogramVec;

/// Bounds of latency histograms, in seconds: a millisecond to a minute.
const LATENCY_SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

/// The same from 10 microseconds to 5 seconds.
const SHORT_LATENCY_SECONDS: [f64; 14] =
    [0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0];

/// The metrics of one service.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    service: String,
}

impl Metrics {
    /// An empty set for a service.
    pub fn new(service: &str) -> Self {
        Self { registry: Arc::new(Registry::new()), service: service.replace('-', "_") }
    }

    /// Registers counters. `name` ends in `_total`.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Counters {
        let counters = IntCounterVec::new(Opts::new(self.full(name), help), labels);
        let counters = counters.expect("metric names and labels are constants");
        self.register(Box::new(counters.clone()));
        counters
    }

    /// Registers gauges.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Gauges {
        let gauges = IntGaugeVec::new(Opts::new(self.full(name), help), labels);
        let gauges = gauges.expect("metric names and labels are constants");
        self.register(Box::new(gauges.clone()));
        gauges
    }

    /// Registers latency histograms. `name` ends in `_seconds`.
    pub fn latencies(&self, name: &str, help: &str, labels: &[&str]) -> Histograms {
        self.histograms(name, help, labels, &LATENCY_SECONDS)
    }

    /// The same for what often takes no more than microseconds.
    pub fn short_latencies(&self, name: &str, help: &str, labels: &[&str]) -> Histograms {
        self.histograms(name, help, labels, &SHORT_LATENCY_SECONDS)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Histograms {
        let options = HistogramOpts::new(self.full(name), help).buckets(bounds.to_vec());
        let histograms = HistogramVec::new(options, labels).expect("metric names and labels are constants");
        self.register(Box::new(histograms.clone()));
        histograms
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding fails only for metrics without values, which are left out of the families.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn full(&self, name: &str) -> String {
        format!("portolan_{}_{name}", self.service)
    }

    fn register(&self, collector: Box<dyn prometheus::core::Collector>) {
        self.registry.register(collector).expect("each metric is registered once, when the service starts");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_service() {
        let metrics = Metrics::new("token-service");
        metrics.counters("reviews_total", "Reviews.", &["result"]).with_label_values(&["allowed"]).inc();
        assert!(metrics.render().contains("portolan_token_service_reviews_total{result=\"allowed\"} 1"));
    }
}
