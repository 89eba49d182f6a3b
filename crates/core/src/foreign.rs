//! Kinds of others, of which only a few facts are kept. Their CRDs may hold anything, so they are read tolerantly: what
//! makes no sense is a fact, too, and never a failed list.

mod auth_policy;
mod http_route;
mod kind;
mod plan_policy;
pub mod select;
mod target;

use std::{borrow::Cow, fmt::Debug};

use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, api::ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use self::{
    auth_policy::{AuthFacts, AuthPolicyKind},
    http_route::{Acceptance, HttpRouteKind, Parent, RouteFacts},
    kind::{ForeignKind, GATEWAY_GROUP},
    plan_policy::{PlanFacts, PlanPolicyKind},
    target::{PolicyHead, PolicyTarget, TargetKind},
};

/// An object of a foreign kind.
///
/// # Examples
///
/// ```
/// use portolan_core::foreign::Route;
/// use serde_json::json;
///
/// let route = json!({
///     "metadata": {"name": "toys", "namespace": "shop"},
///     "spec": {"hostnames": ["toys.example.com"], "parentRefs": "not a list"},
/// });
/// let route: Route = serde_json::from_value(route)?;
/// assert_eq!(route.facts.hostnames, ["toys.example.com"]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Foreign<K: ForeignKind> {
    /// As much of it as the kind keeps.
    pub metadata: ObjectMeta,
    /// The facts that the kind keeps of everything else.
    pub facts: K::Facts,
}

/// An HTTPRoute.
pub type Route = Foreign<HttpRouteKind>;
/// A PlanPolicy.
pub type PlanPolicy = Foreign<PlanPolicyKind>;
/// An AuthPolicy.
pub type AuthPolicy = Foreign<AuthPolicyKind>;

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl<'de, K: ForeignKind> Deserialize<'de> for Foreign<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, spec, status } = Raw::deserialize(deserializer)?;
        Ok(Self::of(metadata, &spec, &status))
    }
}

impl<K: ForeignKind> Foreign<K> {
    /// An object, read from its parts.
    pub fn of(metadata: ObjectMeta, spec: &Value, status: &Value) -> Self {
        let facts = K::read(&metadata, spec, status);
        Self { metadata: K::kept(metadata), facts }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

impl<K: ForeignKind> Resource for Foreign<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(&(): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group(&(): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version(&(): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    /// An object of a namespace, of an age in seconds since 1970.
    pub(crate) fn object<K: DeserializeOwned>(
        (namespace, name): (&str, &str),
        age: i64,
        spec: &Value,
        status: &Value,
    ) -> K {
        let born = jiff::Timestamp::from_second(age).unwrap().to_string();
        let metadata = json!({
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1, "creationTimestamp": born,
        });
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn nothing_that_a_foreign_crd_may_hold_fails_a_list() {
        let odd = [
            json!(null),
            json!(7),
            json!("text"),
            json!([]),
            json!({"targetRef": []}),
            json!({"plans": {}}),
            json!({"plans": [3, {"tier": 4}]}),
            json!({"rules": {"authentication": []}}),
            json!({"parentRefs": "x"}),
            json!({"targetRef": {"kind": 3, "name": {}}}),
        ];
        for value in odd {
            let _: Route = object(("a", "b"), 1, &value, &value);
            let _: PlanPolicy = object(("a", "b"), 1, &value, &value);
            let _: AuthPolicy = object(("a", "b"), 1, &value, &value);
        }
    }
}
