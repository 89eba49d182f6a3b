//! Metrics of the konnector.

mod tally;

use kube::api::ApiResource;
use portolan_core::{
    claims::ClaimedResource,
    condition::{Condition, ConditionStatus},
};
use portolan_runtime::{
    controller::ControllerMetrics,
    metrics::{Counters, Gauge, Gauges, Histogram, Histograms, Metrics},
};

use self::tally::StateTally;

/// The state under which `Ready=True` is counted, and a binding without conditions.
const READY: &str = "Ready";
const UNKNOWN: &str = "Unknown";

/// The konnector's metrics.
#[derive(Clone, Debug)]
pub struct KonnectorMetrics {
    pub controllers: ControllerMetrics,
    objects: Gauges,
    orphans: Gauges,
    steps: Counters,
    problems: Counters,
    /// When each provider last answered, by the Secret of its kubeconfig.
    pub last_contact: Gauges,
    bundles: StateTally,
    bindings: StateTally,
    bundle_ready: Gauges,
    bundle_conflicts: Gauges,
    copy_latency: Histograms,
}

impl KonnectorMetrics {
    pub fn register(metrics: &Metrics) -> Self {
        let by_reason = |name, help| StateTally::new(metrics.gauges(name, help, &["reason"]));
        Self {
            controllers: ControllerMetrics::register(metrics),
            objects: metrics.gauges("bound_objects", "Consumer objects by bound resource.", &["resource"]),
            orphans: metrics.gauges(
                "orphaned_copies",
                "Copies on the provider whose objects are no longer on this cluster, by bound resource.",
                &["resource"],
            ),
            steps: metrics.counters("sync_steps_total", "Steps taken to sync objects.", &["step"]),
            problems: metrics.counters(
                "sync_problems_total",
                "Objects that could not be synced, by reason.",
                &["reason"],
            ),
            last_contact: metrics.gauges(
                "provider_last_contact_timestamp_seconds",
                "When a provider last answered, by the Secret that its kubeconfig comes from.",
                &["secret"],
            ),
            bundles: by_reason("bundles", "Bundles by the reason of their condition Ready; Ready where it holds."),
            bindings: by_reason("bindings", "Bindings by the reason of their condition Ready; Ready where it holds."),
            bundle_ready: metrics.gauges("bundle_ready", "1 where a bundle is Ready, otherwise 0.", &["bundle"]),
            bundle_conflicts: metrics.gauges(
                "bundle_conflicts",
                "Exports that a bundle cannot bind, because a binding or a CRD of that name belongs to somebody else.",
                &["bundle"],
            ),
            copy_latency: metrics.latencies(
                "copy_latency_seconds",
                "Time from a change of an object on the consumer until its copy was written, by bound resource.",
                &["resource"],
            ),
        }
    }

    /// The number of consumer objects of a bound resource.
    pub fn objects(&self, resource: &ApiResource) -> Gauge {
        self.objects.with_label_values(&[&label(resource)])
    }

    /// The number of copies without an origin of a bound resource.
    pub fn orphans(&self, resource: &ApiResource) -> Gauge {
        self.orphans.with_label_values(&[&label(resource)])
    }

    /// The number of copies of claimed objects whose originals went with a backup.
    pub fn claimed_orphans(&self, resource: ClaimedResource) -> Gauge {
        self.orphans.with_label_values(&[resource.plural()])
    }

    /// Histogram of the time that changes of a bound resource take to reach the provider.
    pub fn copy_latency(&self, resource: &ApiResource) -> Histogram {
        self.copy_latency.with_label_values(&[&label(resource)])
    }

    /// Removes what is counted of a resource that is no longer bound.
    pub fn forget(&self, resource: &ApiResource) {
        // It may have been removed before.
        let _ = self.objects.remove_label_values(&[&label(resource)]);
        let _ = self.orphans.remove_label_values(&[&label(resource)]);
        let _ = self.copy_latency.remove_label_values(&[&label(resource)]);
    }

    /// Takes in what a bundle says of itself.
    pub fn saw_bundle(&self, name: &str, ready: Option<&Condition>, conflicts: i32) {
        self.bundles.set(name, reason(ready));
        self.bundle_ready.with_label_values(&[name]).set(i64::from(reason(ready) == READY));
        self.bundle_conflicts.with_label_values(&[name]).set(i64::from(conflicts));
    }

    pub fn forget_bundle(&self, name: &str) {
        self.bundles.forget(name);
        // It may have been removed before.
        let _ = self.bundle_ready.remove_label_values(&[name]);
        let _ = self.bundle_conflicts.remove_label_values(&[name]);
    }

    /// Takes in what a binding says of itself.
    pub fn saw_binding(&self, name: &str, ready: Option<&Condition>) {
        self.bindings.set(name, reason(ready));
    }

    pub fn forget_binding(&self, name: &str) {
        self.bindings.forget(name);
    }

    pub fn step(&self, step: &str) {
        self.steps.with_label_values(&[step]).inc();
    }

    pub fn problem(&self, reason: &str) {
        self.problems.with_label_values(&[reason]).inc();
    }
}

/// Reasons are words of ours, but for those that a provider's request was refused with.
fn reason(ready: Option<&Condition>) -> &str {
    match ready {
        None => UNKNOWN,
        Some(ready) if ready.status == ConditionStatus::True => READY,
        Some(ready) if ready.reason.is_empty() => UNKNOWN,
        Some(ready) => &ready.reason,
    }
}

fn label(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use portolan_core::condition::{Verdict, find, set};

    use super::*;

    fn ready(verdict: Verdict) -> Vec<Condition> {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, verdict, Timestamp::UNIX_EPOCH);
        conditions
    }

    #[test]
    fn series_of_bundles_and_bindings_go_with_them() {
        let metrics = Metrics::new("konnector");
        let ours = KonnectorMetrics::register(&metrics);
        let (good, bad) = (ready(Verdict::holds()), ready(Verdict::error("BindingsNotReady", "")));
        ours.saw_bundle("prod", find(&bad, READY), 2);
        ours.saw_binding("a", find(&good, READY));
        ours.saw_binding("b", None);
        let text = metrics.render();
        for line in [
            "portolan_konnector_bundles{reason=\"BindingsNotReady\"} 1",
            "portolan_konnector_bundle_ready{bundle=\"prod\"} 0",
            "portolan_konnector_bundle_conflicts{bundle=\"prod\"} 2",
            "portolan_konnector_bindings{reason=\"Ready\"} 1",
            "portolan_konnector_bindings{reason=\"Unknown\"} 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        ours.saw_bundle("prod", find(&good, READY), 0);
        assert!(metrics.render().contains("portolan_konnector_bundle_ready{bundle=\"prod\"} 1"));
        assert!(!metrics.render().contains("BindingsNotReady"));
        ours.forget_bundle("prod");
        ours.forget_binding("a");
        ours.forget_binding("b");
        let text = metrics.render();
        for name in ["bundles{", "bundle_ready{", "bundle_conflicts{", "bindings{"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}
