//! What the konnector counts.

use kube::api::ApiResource;
use portolan_runtime::{
    controller::ControllerMetrics,
    metrics::{Counters, Gauge, Gauges, Metrics},
};

/// The konnector's metrics.
#[derive(Clone, Debug)]
pub(crate) struct KonnectorMetrics {
    pub(crate) controllers: ControllerMetrics,
    objects: Gauges,
    orphans: Gauges,
    steps: Counters,
    problems: Counters,
    /// When each provider last answered, by the Secret of its kubeconfig.
    pub(crate) last_contact: Gauges,
}

impl KonnectorMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            controllers: ControllerMetrics::register(metrics),
            objects: metrics.gauges("bound_objects", "Consumer objects by bound resource.", &["resource"]),
            orphans: metrics.gauges(
                "orphaned_copies",
                "Copies on the provider whose objects are not on this cluster any more, by bound resource.",
                &["resource"],
            ),
            steps: metrics.counters("sync_steps_total", "Steps taken to bring objects in sync.", &["step"]),
            problems: metrics.counters(
                "sync_problems_total",
                "Objects that could not be brought in sync, by reason.",
                &["reason"],
            ),
            last_contact: metrics.gauges(
                "provider_last_contact_timestamp_seconds",
                "When a provider last answered, by the Secret that its kubeconfig comes from.",
                &["secret"],
            ),
        }
    }

    /// The number of consumer objects of a bound resource.
    pub(crate) fn objects(&self, resource: &ApiResource) -> Gauge {
        self.objects.with_label_values(&[&label(resource)])
    }

    /// The number of copies without an origin of a bound resource.
    pub(crate) fn orphans(&self, resource: &ApiResource) -> Gauge {
        self.orphans.with_label_values(&[&label(resource)])
    }

    /// Removes what is counted of a resource that is no longer bound.
    pub(crate) fn forget(&self, resource: &ApiResource) {
        // It may have been removed before.
        let _ = self.objects.remove_label_values(&[&label(resource)]);
        let _ = self.orphans.remove_label_values(&[&label(resource)]);
    }

    pub(crate) fn step(&self, step: &str) {
        self.steps.with_label_values(&[step]).inc();
    }

    pub(crate) fn problem(&self, reason: &str) {
        self.problems.with_label_values(&[reason]).inc();
    }
}

fn label(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}
