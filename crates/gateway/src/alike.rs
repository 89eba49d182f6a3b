//! Which kinds may be shared between callers.

/// Groups whose kinds look alike to everybody who may list them. Other groups may be served by an aggregated API that
/// shows each caller something else.
const BUILT_IN: [&str; 22] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "extensions",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "storage.k8s.io",
];

/// Returns `true` for a group whose kinds look alike to everybody who may list them.
pub fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}
