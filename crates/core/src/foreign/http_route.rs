//! The facts of an HTTPRoute: its parents, whether one has accepted it, and its host names.

use kube::api::ObjectMeta;
use serde_json::Value;

use super::kind::{ForeignKind, GATEWAY_GROUP, condition, text};

/// HTTPRoute of the Gateway API.
#[derive(Clone, Debug)]
pub struct HttpRouteKind;

/// A parent that a route names, with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    /// Its API group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; that of the route by default.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// A listener of it.
    pub section: Option<String>,
    /// A port of it.
    pub port: Option<i64>,
}

/// The verdict of the parents on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// One that the route still names has accepted it as it is.
    Accepted,
    /// Nobody has, but one has yet to look at the latest change.
    Outdated,
    /// Nobody has.
    NotAccepted,
}

/// The facts of an HTTPRoute.
#[derive(Clone, Debug)]
pub struct RouteFacts {
    /// The parents that it names.
    pub parents: Vec<Parent>,
    /// Its host names.
    pub hostnames: Vec<String>,
    /// The verdict of its parents.
    pub acceptance: Acceptance,
}

impl ForeignKind for HttpRouteKind {
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "HTTPRoute";
    const PLURAL: &'static str = "httproutes";
    type Facts = RouteFacts;

    fn read(metadata: &ObjectMeta, spec: &Value, status: &Value) -> RouteFacts {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let parents: Vec<_> = list(&spec["parentRefs"]).map(|value| parent(value, namespace)).collect();
        let acceptance = acceptance(metadata.generation, namespace, &parents, &status["parents"]);
        let hostnames = list(&spec["hostnames"]).filter_map(Value::as_str).map(str::to_owned).collect();
        RouteFacts { parents, hostnames, acceptance }
    }
}

impl Parent {
    /// Returns `true` if it is a Gateway.
    pub fn is_gateway(&self) -> bool {
        self.group == GATEWAY_GROUP && self.kind == "Gateway"
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn parent(reference: &Value, namespace: &str) -> Parent {
    let or = |member: &str, default: &str| {
        reference.get(member).and_then(Value::as_str).unwrap_or(default).to_owned()
    };
    Parent {
        group: or("group", GATEWAY_GROUP),
        kind: or("kind", "Gateway"),
        namespace: or("namespace", namespace),
        name: text(reference, "name"),
        section: reference["sectionName"].as_str().map(str::to_owned),
        port: reference["port"].as_i64(),
    }
}

/// Gateway controllers leave entries of former parents behind, so only those count that the route still names.
fn acceptance(generation: Option<i64>, namespace: &str, parents: &[Parent], entries: &Value) -> Acceptance {
    let mut found = Acceptance::NotAccepted;
    for entry in list(entries).filter(|entry| parents.contains(&parent(&entry["parentRef"], namespace))) {
        let accepted =
            condition(&entry["conditions"], "Accepted").is_some_and(|(status, _)| status == "True");
        let seen = list(&entry["conditions"])
            .find(|condition| condition["type"] == "Accepted")
            .and_then(|condition| condition["observedGeneration"].as_i64());
        let is_current = seen.is_none_or(|seen| generation.is_none_or(|generation| seen >= generation));
        match (is_current, accepted) {
            (true, true) => return Acceptance::Accepted,
            (false, _) => found = Acceptance::Outdated,
            (true, false) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::foreign::{Route, tests::object};

    fn entry(parent: &Value, status: &str, generation: Option<i64>) -> Value {
        let mut condition = json!({"type": "Accepted", "status": status});
        if let Some(generation) = generation {
            condition["observedGeneration"] = generation.into();
        }
        json!({"parentRef": parent, "conditions": [condition]})
    }

    #[test]
    fn only_parents_that_the_route_still_names_count() {
        let named = json!({"name": "new"});
        let full = json!({"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": "a", "name": "new"});
        let old = json!({"name": "old"});
        let elsewhere = json!({"name": "new", "namespace": "b"});
        let table = [
            (json!([named]), json!([]), Acceptance::NotAccepted),
            (json!([named]), json!([entry(&old, "True", Some(1))]), Acceptance::NotAccepted),
            (json!([named]), json!([entry(&full, "True", Some(1))]), Acceptance::Accepted),
            (json!([named]), json!([entry(&elsewhere, "True", None)]), Acceptance::NotAccepted),
            (json!([named]), json!([entry(&named, "True", Some(0))]), Acceptance::Outdated),
            (json!([named]), json!([entry(&named, "True", None)]), Acceptance::Accepted),
            (json!([named]), json!([entry(&named, "False", Some(1))]), Acceptance::NotAccepted),
            (json!([]), json!([entry(&named, "True", Some(1))]), Acceptance::NotAccepted),
            (
                json!([old, named]),
                json!([entry(&old, "False", Some(1)), entry(&named, "True", Some(1))]),
                Acceptance::Accepted,
            ),
        ];
        for (parents, entries, expected) in table {
            let (spec, status) = (json!({"parentRefs": parents}), json!({"parents": entries}));
            let route: Route = object(("a", "r"), 1, &spec, &status);
            assert_eq!(route.facts.acceptance, expected, "{spec} {status}");
        }
    }
}
