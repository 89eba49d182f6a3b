//! Which policies routes have, as the controller chooses them.

use std::{collections::HashMap, sync::Arc};

use portolan_core::foreign::{
    AuthPolicyKind, Foreign, ForeignKind, HttpRouteKind, PlanPolicyKind, PolicyHead, TargetKind,
    select::{Candidates, Choice, auth_policy, plan_policy},
};

/// Kind, namespace and name of a target.
type PolicyTarget = (TargetKind, String, String);

/// Policies by what they target.
pub struct AttachedPolicies<K: ForeignKind>(HashMap<PolicyTarget, Vec<Arc<Foreign<K>>>>);

impl<K: ForeignKind> Default for AttachedPolicies<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: ForeignKind> AttachedPolicies<K> {
    fn new(policies: impl Iterator<Item = Arc<Foreign<K>>>, head: impl Fn(&K::Facts) -> &PolicyHead) -> Self {
        let mut all = Self::default();
        for policy in policies {
            if let Some(target) = &head(&policy.facts).target {
                let place = (target.kind, policy.namespace().to_owned(), target.name.clone());
                all.0.entry(place).or_default().push(policy);
            }
        }
        all
    }

    fn candidates(&self, route: &Foreign<HttpRouteKind>) -> Candidates<K> {
        Candidates::of(route, |kind, namespace, name| {
            self.0.get(&(kind, namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default()
        })
    }
}

impl AttachedPolicies<PlanPolicyKind> {
    pub fn plans(policies: impl Iterator<Item = Arc<Foreign<PlanPolicyKind>>>) -> Self {
        Self::new(policies, |facts| &facts.head)
    }

    /// The policy that gives a route its plans.
    pub fn of(&self, route: &Foreign<HttpRouteKind>) -> Option<Arc<Foreign<PlanPolicyKind>>> {
        found(plan_policy(route, self.candidates(route)))
    }
}

impl AttachedPolicies<AuthPolicyKind> {
    pub fn auths(policies: impl Iterator<Item = Arc<Foreign<AuthPolicyKind>>>) -> Self {
        Self::new(policies, |facts| &facts.head)
    }

    /// The policy that says who may call a route.
    pub fn of(&self, route: &Foreign<HttpRouteKind>) -> Option<Arc<Foreign<AuthPolicyKind>>> {
        found(auth_policy(route, self.candidates(route)))
    }
}

fn found<K: ForeignKind>(choice: Choice<K>) -> Option<Arc<Foreign<K>>> {
    match choice {
        Choice::Found(policy) => Some(policy),
        Choice::NotInEffect(_) | Choice::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn route() -> Foreign<HttpRouteKind> {
        let parents = json!([{"name": "g", "namespace": "gw", "sectionName": "https"}]);
        serde_json::from_value(
            json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"parentRefs": parents}}),
        )
        .unwrap()
    }

    fn policy(place: (&str, &str), target: &Value, accepted: &str) -> Arc<Foreign<PlanPolicyKind>> {
        let metadata = json!({"name": place.1, "namespace": place.0});
        let status = json!({"conditions": [{"type": "Accepted", "status": accepted}]});
        let policy = json!({"metadata": metadata, "spec": {"targetRef": target}, "status": status});
        Arc::new(serde_json::from_value(policy).unwrap())
    }

    #[test]
    fn the_policy_of_a_route_is_that_of_the_controller() {
        let on_route = json!({"kind": "HTTPRoute", "name": "r"});
        let on = |section: &str| json!({"kind": "Gateway", "name": "g", "sectionName": section});
        let on_another = json!({"kind": "HTTPRoute", "name": "s"});
        let own = || policy(("a", "own"), &on_route, "True");
        let refused = || policy(("a", "refused"), &on_route, "False");
        let elsewhere = || policy(("b", "elsewhere"), &on_route, "True");
        let above = || policy(("gw", "above"), &on("https"), "True");
        let beside = || policy(("gw", "beside"), &on("http"), "True");
        // Policies of one name, in other namespaces or of other targets.
        let namesake = |namespace: &str, target: &Value| policy((namespace, "refused"), target, "True");
        let strangers =
            || [namesake("b", &on_route), namesake("c", &on("https")), namesake("d", &on_another)];
        let among_strangers = |policy| strangers().into_iter().chain([policy]).collect::<Vec<_>>();
        for (policies, expected) in [
            (vec![above(), own()], Some(("a", "own"))),
            (vec![above(), refused()], Some(("gw", "above"))),
            (vec![refused(), namesake("gw", &on("https"))], Some(("gw", "refused"))),
            (vec![above(), beside(), elsewhere()], Some(("gw", "above"))),
            (vec![beside(), elsewhere()], None),
            (vec![refused()], None),
            (among_strangers(namesake("a", &on_route)), Some(("a", "refused"))),
            (among_strangers(namesake("gw", &on("https"))), Some(("gw", "refused"))),
            (strangers().to_vec(), None),
            (vec![policy(("a", "other"), &on_another, "True")], None),
        ] {
            let found = AttachedPolicies::plans(policies.into_iter()).of(&route());
            let found = found.as_ref().map(|policy| (policy.namespace(), policy.name()));
            assert_eq!(found, expected);
        }
    }
}
