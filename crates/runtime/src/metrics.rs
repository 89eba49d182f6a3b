//! Metrics: the only module that knows which metrics library is used.
//!
//! Names are `portolan_<service>_<noun>_<unit>`. Label values come from closed sets, or from configured and
//! bound objects, and are removed with them.

use std::{collections::HashMap, sync::Arc};

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::{Collector as _, MetricVec, MetricVecBuilder},
    proto::MetricFamily,
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
///
/// # Examples
///
/// ```
/// use portolan_runtime::metrics::Metrics;
///
/// let metrics = Metrics::new("hello");
/// let greetings = metrics.counters("greetings_total", "Greetings by language.", &["language"]);
/// greetings.with_label_values(&["en"]).inc();
/// assert!(metrics.render().contains(r#"portolan_hello_greetings_total{language="en"} 1"#));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    service: String,
}

/// Removes series with a label value that is gone, such as the name of a cluster that is not configured any longer.
pub fn retain<B: MetricVecBuilder>(metrics: &MetricVec<B>, label: &str, keep: impl Fn(&str) -> bool) {
    let families = metrics.collect();
    for metric in families.iter().flat_map(MetricFamily::get_metric) {
        let labels: HashMap<&str, &str> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.get(label).is_some_and(|value| !keep(value)) {
            // Somebody else may have removed it just now.
            let _ = metrics.remove(&labels);
        }
    }
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
    fn what_is_no_more_is_not_counted() {
        let metrics = Metrics::new("x");
        let counters = metrics.counters("a_total", "A.", &["cluster", "result"]);
        let histograms = metrics.latencies("a_seconds", "A.", &["cluster"]);
        for cluster in ["gone", "here", ""] {
            counters.with_label_values(&[cluster, "ok"]).inc();
            counters.with_label_values(&[cluster, "failed"]).inc();
            histograms.with_label_values(&[cluster]).observe(1.0);
        }
        retain(&counters, "cluster", |cluster| cluster != "gone");
        retain(&histograms, "cluster", |cluster| cluster != "gone");
        let text = metrics.render();
        assert!(!text.contains("gone"), "{text}");
        assert!(text.contains("x_a_total{cluster=\"here\",result=\"failed\"} 1"), "{text}");
        assert!(text.contains("x_a_seconds_count{cluster=\"\"} 1"), "{text}");
    }

    #[test]
    fn names_carry_the_service() {
        let metrics = Metrics::new("token-service");
        metrics.counters("reviews_total", "Reviews.", &["result"]).with_label_values(&["allowed"]).inc();
        assert!(metrics.render().contains("portolan_token_service_reviews_total{result=\"allowed\"} 1"));
    }
}
