//! Groups that the consumer's API server serves in another way than by a CRD, and kinds that therefore cannot be
//! bound. Pure.

use std::{borrow::Borrow, collections::BTreeMap};

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::ResourceExt as _;
use portolan_core::groups::is_own;

/// Label that the API server puts on APIServices of its own: `onstart` for what it serves itself, `true` for CRDs.
const LABEL_AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const SERVED_ITSELF: &str = "onstart";
const SERVED_BY_CRD: &str = "true";

/// Selects the APIServices that can stand in the way: not those that stand for CRDs.
pub fn selector() -> String {
    format!("{LABEL_AUTOMANAGED}!={SERVED_BY_CRD}")
}

/// Group and version, and how it is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedGroups(BTreeMap<(String, String), ServedBy>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ServedBy {
    Itself,
    /// The name of the APIService.
    Another(String),
}

impl ServedGroups {
    pub fn of<S: Borrow<APIService>>(services: &[S]) -> Self {
        Self(services.iter().filter_map(|service| entry(service.borrow())).collect())
    }

    /// The reason why kinds of this group and these versions cannot be bound, if they cannot.
    pub fn objection<'a>(&self, group: &str, versions: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if is_own(group) {
            return Some(format!("{group} is the group of bindings themselves"));
        }
        if group.is_empty() {
            return Some("no CustomResourceDefinition can be in the core group".to_owned());
        }
        let by = |version: &str| {
            self.0.get(&(group.to_owned(), version.to_owned())).map(|by| (version.to_owned(), by))
        };
        let (version, by) = versions.into_iter().find_map(by)?;
        Some(match by {
            ServedBy::Itself => format!("this cluster's API server serves {group}/{version} itself"),
            ServedBy::Another(name) => format!("APIService {name} serves {group}/{version} on this cluster"),
        })
    }
}

fn entry(service: &APIService) -> Option<((String, String), ServedBy)> {
    let spec = service.spec.as_ref()?;
    let key = (spec.group.clone().unwrap_or_default(), spec.version.clone()?);
    let label = service.labels().get(LABEL_AUTOMANAGED).map(String::as_str);
    if spec.service.is_some() {
        return Some((key, ServedBy::Another(service.name_any())));
    }
    (label == Some(SERVED_ITSELF)).then_some((key, ServedBy::Itself))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(group: &str, version: &str, label: &Value, service: &Value) -> APIService {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{version}.{group}"), "labels": {LABEL_AUTOMANAGED: label}},
            "spec": {
                "group": group, "version": version, "service": service,
                "groupPriorityMinimum": 1, "versionPriority": 1,
            },
        }))
        .unwrap()
    }

    fn served() -> ServedGroups {
        let metrics = json!({"name": "metrics-server", "namespace": "kube-system"});
        let unlabelled = |group, version, by: &Value| {
            let mut made = service(group, version, &json!(""), by);
            made.metadata.labels = None;
            made
        };
        ServedGroups::of(&[
            service("apps", "v1", &json!("onstart"), &json!(null)),
            service("", "v1", &json!("onstart"), &json!(null)),
            service("networking.k8s.io", "v1", &json!("onstart"), &json!(null)),
            service("rbac.authorization.k8s.io", "v1", &json!("onstart"), &json!(null)),
            service("gateway.networking.k8s.io", "v1", &json!("true"), &json!(null)),
            unlabelled("metrics.k8s.io", "v1beta1", &metrics),
            unlabelled("custom.example.org", "v1", &metrics),
            unlabelled("by-hand.example.org", "v1", &json!(null)),
        ])
    }

    #[test]
    fn what_is_served_in_another_way_cannot_be_bound() {
        for (group, versions, expected) in [
            ("kube-bind.io", vec!["v1alpha2"], Some("group of bindings")),
            ("kube-bind.io", vec![], Some("group of bindings")),
            ("", vec!["v1"], Some("core group")),
            ("", vec![], Some("core group")),
            ("apps", vec!["v1"], Some("serves apps/v1 itself")),
            ("rbac.authorization.k8s.io", vec!["v1"], Some("itself")),
            ("networking.k8s.io", vec!["v1alpha7", "v1"], Some("serves networking.k8s.io/v1 itself")),
            ("metrics.k8s.io", vec!["v1beta1"], Some("APIService v1beta1.metrics.k8s.io serves")),
            ("custom.example.org", vec!["v1"], Some("APIService v1.custom.example.org")),
            // These are free, whatever their group is called.
            ("networking.k8s.io", vec!["v1alpha7"], None),
            ("metrics.k8s.io", vec!["v1"], None),
            ("gateway.networking.k8s.io", vec!["v1", "v1beta1"], None),
            ("snapshot.storage.k8s.io", vec!["v1"], None),
            ("by-hand.example.org", vec!["v1"], None),
            ("x.kube-bind.io", vec!["v1"], None),
            ("wildwest.dev", vec!["v1"], None),
            ("wildwest.dev", vec![], None),
        ] {
            let found = served().objection(group, versions.iter().copied());
            match expected {
                Some(text) => {
                    assert!(found.as_ref().is_some_and(|why| why.contains(text)), "{group}: {found:?}");
                }
                None => assert_eq!(found, None, "{group} {versions:?}"),
            }
        }
    }

    #[test]
    fn our_own_group_is_known_before_anything_was_listed() {
        assert!(ServedGroups::default().objection("kube-bind.io", ["v1"]).is_some());
        assert_eq!(ServedGroups::default().objection("apps", ["v1"]), None);
    }
}
