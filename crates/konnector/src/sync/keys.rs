//! Labels and annotations that go with an object to the provider. Pure.

use std::collections::BTreeMap;

use portolan_core::{api::kubebind::GROUP, pattern::matches};
use serde_json::{Map, Value};

/// Domain of keys that say something about this cluster, not about the object. Subdomains included.
const LOCAL_DOMAIN: &str = "kubernetes.io";
/// Prefixes of keys with which Argo CD and Helm find what is theirs on this cluster.
const TRACKING_PREFIXES: [&str; 3] = ["argocd.argoproj.io", "helm.sh", "meta.helm.sh"];

/// The rules of people about keys.
#[derive(Clone, Debug, Default)]
pub struct KeyRules {
    allow: Vec<String>,
    deny: Vec<String>,
}

impl KeyRules {
    /// Patterns, in which `*` stands for any text. What is denied stays, what is allowed goes, and otherwise
    /// everything goes but keys of the local domains.
    pub fn new(allow: &[String], deny: &[String]) -> Self {
        Self { allow: allow.to_vec(), deny: deny.to_vec() }
    }

    /// The entries that go.
    pub fn carried(&self, entries: Option<&BTreeMap<String, String>>) -> Map<String, Value> {
        let entries = entries.into_iter().flatten().filter(|(key, _)| self.carries(key));
        entries.map(|(key, value)| (key.clone(), value.as_str().into())).collect()
    }

    fn carries(&self, key: &str) -> bool {
        let named_in = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, key));
        // The marks of a copy are ours to set.
        !is_of(key, GROUP) && !named_in(&self.deny) && (named_in(&self.allow) || !is_local(key))
    }
}

fn is_local(key: &str) -> bool {
    let is_tracking = || key.split_once('/').is_some_and(|(prefix, _)| TRACKING_PREFIXES.contains(&prefix));
    is_of(key, LOCAL_DOMAIN) || is_tracking()
}

fn is_of(key: &str, domain: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return false };
    prefix.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_local_domains_stay_behind() {
        let rules = KeyRules::default();
        for (key, carried) in [
            ("kubernetes.io/x", false),
            ("app.kubernetes.io/instance", false),
            ("kubectl.kubernetes.io/last-applied-configuration", false),
            ("notkubernetes.io/x", true),
            ("kubernetes.io", true),
            ("kustomize.toolkit.fluxcd.io/name", true),
            ("field.cattle.io/projectId", true),
            ("workflows.argoproj.io/phase", true),
            ("argocd.argoproj.io/tracking-id", false),
            ("helm.sh/chart", false),
            ("charts.helm.sh/x", true),
            ("meta.helm.sh/release-name", false),
            ("kube-bind.io/consumer-uid", false),
            ("team", true),
        ] {
            assert_eq!(rules.carries(key), carried, "{key}");
        }
    }

    #[test]
    fn people_may_say_otherwise_but_not_about_our_marks() {
        let list = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let allow = list(&["app.kubernetes.io/*", "*.helm.sh/*", "kube-bind.io/*"]);
        let rules = KeyRules::new(&allow, &list(&["team", "app.kubernetes.io/instance", "*secret*"]));
        for (key, carried) in [
            ("app.kubernetes.io/name", true),
            ("app.kubernetes.io/instance", false),
            ("meta.helm.sh/release-name", true),
            ("other.kubernetes.io/name", false),
            ("team", false),
            ("team-b", true),
            ("my-secret-key", false),
            ("kube-bind.io/consumer-uid", false),
        ] {
            assert_eq!(rules.carries(key), carried, "{key}");
        }
    }
}
