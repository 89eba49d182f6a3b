//! Scope of a claim's watches: as little of each side as possible. Pure.

use std::collections::BTreeSet;

use kube::runtime::watcher;
use portolan_core::claims::{ResourceClaim, in_any};

use super::seen::{SeenObject, SelectionBasis};
use crate::sync::ObjectKey;

/// The scope of one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchScope {
    /// Every object.
    Everything,
    /// Objects with these labels, as the API server reads them.
    Labelled(String),
    /// Objects of this name, in one namespace or in all.
    Named { namespace: Option<String>, name: String },
}

impl WatchScope {
    /// The watches that a claim needs on the consumer. Who may be referred to is known only later.
    pub(super) fn on_consumer(claim: &ResourceClaim) -> Vec<Self> {
        if !claim.references.is_empty() {
            return vec![Self::Everything];
        }
        let named = claim.names.iter().map(|named| Self::Named {
            namespace: in_any(named).map(str::to_owned),
            name: named.name.clone(),
        });
        claim.labels.iter().map(|labels| Self::Labelled(labels.to_string())).chain(named).collect()
    }

    /// The watches that a claim needs in the provider's namespace for one of the consumer's. Copies are to be
    /// found there whatever their labels have become.
    pub(super) fn on_provider(claim: &ResourceClaim, namespace: &str) -> Vec<Self> {
        if claim.labels.is_some() || !claim.references.is_empty() {
            return vec![Self::Everything];
        }
        let here = claim.names.iter().filter(|named| in_any(named).is_none_or(|one| one == namespace));
        let names: BTreeSet<_> = here.map(|named| named.name.clone()).collect();
        names.into_iter().map(|name| Self::Named { namespace: None, name }).collect()
    }

    /// The namespace to watch in, where it is one.
    pub(super) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Named { namespace, .. } => namespace.as_deref(),
            Self::Everything | Self::Labelled(_) => None,
        }
    }

    pub(super) fn config(&self) -> watcher::Config {
        match self {
            Self::Everything => watcher::Config::default(),
            Self::Labelled(labels) => watcher::Config::default().labels(labels),
            Self::Named { name, .. } => watcher::Config::default().fields(&format!("metadata.name={name}")),
        }
    }

    /// Returns `true` if an object would be shown.
    pub(super) fn shows(&self, key: &ObjectKey, seen: &SeenObject) -> bool {
        match self {
            Self::Everything => true,
            Self::Labelled(_) => seen.choice == SelectionBasis::ByLabels,
            Self::Named { namespace, name } => {
                *name == key.name && namespace.as_ref().is_none_or(|one| *one == key.namespace)
            }
        }
    }

    /// Returns `true` if an object may exist that is not shown any more.
    pub(super) const fn may_lose_sight(&self) -> bool {
        matches!(self, Self::Labelled(_))
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{api::kubebind::Isolation, claims};
    use serde_json::{Value, json};

    use super::*;

    fn claim(selector: &Value) -> ResourceClaim {
        let claim = serde_json::from_value(json!({"resource": "secrets", "selector": selector})).unwrap();
        claims::read(&[claim], &[], Isolation::None).0.remove(0)
    }

    #[test]
    fn no_more_is_watched_than_a_selector_needs() {
        let labels = json!({"matchLabels": {"app": "a"}});
        let names = json!([{"name": "one", "namespace": "n"}, {"name": "any"}]);
        let reference = json!([{"resource": "x", "versions": ["v1"], "jsonPath": {"name": "spec.name"}}]);
        let name = |namespace: Option<&str>, name: &str| WatchScope::Named {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let labelled = WatchScope::Labelled("app=a".to_owned());
        let by_name = claim(&json!({"namedResources": names}));
        assert_eq!(WatchScope::on_consumer(&by_name), [name(Some("n"), "one"), name(None, "any")]);
        assert_eq!(WatchScope::on_provider(&by_name, "n"), [name(None, "any"), name(None, "one")]);
        assert_eq!(WatchScope::on_provider(&by_name, "m"), [name(None, "any")]);
        assert_eq!(
            WatchScope::on_consumer(&claim(&json!({"labelSelector": labels}))),
            std::slice::from_ref(&labelled)
        );
        let both = claim(&json!({"labelSelector": labels, "namedResources": [{"name": "any"}]}));
        assert_eq!(WatchScope::on_consumer(&both), [labelled, name(None, "any")]);
        assert_eq!(WatchScope::on_provider(&both, "n"), [WatchScope::Everything]);
        assert_eq!(
            WatchScope::on_consumer(&claim(&json!({"references": reference}))),
            [WatchScope::Everything]
        );
        assert_eq!(WatchScope::on_consumer(&claim(&json!({}))), []);
    }
}
