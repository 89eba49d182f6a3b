//! Which policies are in effect for a route. Of several that are alike the oldest counts, then the first by name.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    AuthPolicy, AuthPolicyKind, Foreign, ForeignKind, Parent, PlanPolicy, PlanPolicyKind, PolicyHead, Route,
    TargetKind,
};

/// The policy of one kind that counts.
#[derive(Clone, Debug)]
pub enum Choice<K: ForeignKind> {
    /// There is none.
    Nothing,
    /// There is one, but it is not in effect.
    NotInEffect(Arc<Foreign<K>>),
    /// This one.
    Found(Arc<Foreign<K>>),
}

/// The candidates for a route: policies that target it, and those that target its gateways.
#[derive(Clone, Debug)]
pub struct Candidates<K: ForeignKind> {
    /// Those that target the route.
    pub on_route: Vec<Arc<Foreign<K>>>,
    /// Those that target a gateway above it.
    pub on_gateways: Vec<Arc<Foreign<K>>>,
}

impl<K: ForeignKind> Candidates<K> {
    /// The candidates for a route. `on` has the policies by what they target: its kind, namespace and name.
    pub fn of(route: &Route, on: impl Fn(TargetKind, &str, &str) -> Vec<Arc<Foreign<K>>>) -> Self {
        let parents = route.facts.parents.iter().filter(|parent| parent.is_gateway());
        let gateways: BTreeSet<_> = parents.map(|parent| (&*parent.namespace, &*parent.name)).collect();
        let above = |(namespace, name)| on(TargetKind::Gateway, namespace, name);
        Self {
            on_route: on(TargetKind::Route, route.namespace(), route.name()),
            on_gateways: gateways.into_iter().flat_map(above).collect(),
        }
    }

    fn sorted(mut self, route: &Route, head: impl Fn(&K::Facts) -> &PolicyHead) -> Self {
        let section = |policy: &Foreign<K>| {
            head(&policy.facts).target.as_ref().and_then(|target| target.section.clone())
        };
        self.on_gateways.retain(|policy| {
            let section = section(policy);
            route
                .facts
                .parents
                .iter()
                .any(|parent| is_on(parent, policy, head(&policy.facts), section.as_deref()))
        });
        // What targets a part comes after what targets all of it.
        let order = |policy: &Arc<Foreign<K>>| {
            let metadata = &policy.metadata;
            let born = metadata.creation_timestamp.as_ref().map(|time| time.0);
            (section(policy).is_some(), born, metadata.namespace.clone(), metadata.name.clone())
        };
        self.on_route.sort_by_cached_key(order);
        self.on_gateways.sort_by_cached_key(order);
        self
    }
}

fn is_on<K: ForeignKind>(
    parent: &Parent,
    policy: &Foreign<K>,
    head: &PolicyHead,
    section: Option<&str>,
) -> bool {
    let Some(target) = &head.target else { return false };
    let same_section = match (section, &parent.section) {
        (Some(wanted), Some(named)) => wanted == named,
        _ => true,
    };
    parent.is_gateway()
        && parent.name == target.name
        && policy.metadata.namespace.as_deref() == Some(&parent.namespace)
        && same_section
}

/// The PlanPolicy of a route: its own, else that of a gateway. One that was refused does not count.
pub fn plan_policy(route: &Route, candidates: Candidates<PlanPolicyKind>) -> Choice<PlanPolicyKind> {
    let candidates = candidates.sorted(route, |facts| &facts.head);
    let all = || candidates.on_route.iter().chain(&candidates.on_gateways);
    let is_offered = |policy: &&Arc<PlanPolicy>| policy.facts.head.accepted != Some(false);
    if let Some(found) = all().find(is_offered) {
        return Choice::Found(Arc::clone(found));
    }
    all().next().map_or(Choice::Nothing, |refused| Choice::NotInEffect(Arc::clone(refused)))
}

/// The AuthPolicy of a route: one of a gateway that overrides it, else its own, else that of a gateway.
pub fn auth_policy(route: &Route, candidates: Candidates<AuthPolicyKind>) -> Choice<AuthPolicyKind> {
    let candidates = candidates.sorted(route, |facts| &facts.head);
    let in_force = |policy: &&Arc<AuthPolicy>| policy.facts.head.is_in_force();
    let overriding = candidates.on_gateways.iter().filter(|policy| policy.facts.overrides).find(in_force);
    // One that another policy overrides is healthy, and says nothing.
    let own = candidates.on_route.iter().filter(|policy| !policy.facts.is_overridden);
    let above = candidates.on_gateways.iter().filter(|policy| !policy.facts.is_overridden);
    if let Some(found) = overriding.or_else(|| own.clone().find(in_force)) {
        return Choice::Found(Arc::clone(found));
    }
    // The route's own policy may come into effect at any moment: the gateway's is not taken for it meanwhile.
    if let Some(waiting) = own.clone().next() {
        return Choice::NotInEffect(Arc::clone(waiting));
    }
    if let Some(found) = above.clone().find(in_force) {
        return Choice::Found(Arc::clone(found));
    }
    let rest = above.chain(&candidates.on_route).chain(&candidates.on_gateways).next();
    rest.map_or(Choice::Nothing, |waiting| Choice::NotInEffect(Arc::clone(waiting)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::foreign::tests::object;

    fn route() -> Route {
        let parents =
            json!([{"name": "own"}, {"name": "external", "namespace": "gateways", "sectionName": "https"}]);
        object(("toystore", "toystore"), 1, &json!({"parentRefs": parents}), &json!({}))
    }

    fn target(kind: &str, name: &str) -> Value {
        json!({"targetRef": {"group": "gateway.networking.k8s.io", "kind": kind, "name": name}})
    }

    fn says(accepted: &str, enforced: &str) -> Value {
        json!({"conditions": [
            {"type": "Accepted", "status": accepted, "reason": "R"},
            {"type": "Enforced", "status": enforced, "reason": if enforced == "False" { "Overridden" } else { "Enforced" }},
        ]})
    }

    fn plan(
        place: (&str, &str),
        age: i64,
        kind: &str,
        name: &str,
        accepted: Option<&str>,
    ) -> Arc<PlanPolicy> {
        let status = accepted.map_or_else(|| json!({}), |accepted| says(accepted, "True"));
        Arc::new(object(place, age, &target(kind, name), &status))
    }

    fn named<K: ForeignKind>(choice: &Choice<K>) -> (bool, &str) {
        match choice {
            Choice::Nothing => (false, ""),
            Choice::NotInEffect(policy) => (false, policy.metadata.name.as_deref().unwrap()),
            Choice::Found(policy) => (true, policy.metadata.name.as_deref().unwrap()),
        }
    }

    #[test]
    fn plans_come_from_the_route_else_from_a_gateway() {
        let on = |place, age, accepted| plan(place, age, "HTTPRoute", "toystore", accepted);
        let above = |place, age, name, accepted| plan(place, age, "Gateway", name, accepted);
        let yes = Some("True");
        let table = [
            (vec![], vec![], (false, "")),
            (vec![on(("toystore", "b"), 5, None), on(("toystore", "c"), 4, yes)], vec![], (true, "c")),
            (vec![on(("toystore", "b"), 5, None), on(("toystore", "a"), 5, yes)], vec![], (true, "a")),
            (
                vec![on(("toystore", "r"), 5, yes)],
                vec![above(("gateways", "g"), 1, "external", yes)],
                (true, "r"),
            ),
            (
                vec![on(("toystore", "r"), 5, Some("False"))],
                vec![above(("gateways", "g"), 1, "external", yes)],
                (true, "g"),
            ),
            (vec![], vec![above(("gateways", "g"), 1, "external", Some("False"))], (false, "g")),
            (vec![on(("toystore", "r"), 5, Some("Unknown"))], vec![], (true, "r")),
            // Without a namespace a parent is of the route's own.
            (vec![], vec![above(("gateways", "g"), 1, "own", yes)], (false, "")),
            (vec![], vec![above(("toystore", "g"), 1, "external", yes)], (false, "")),
            (vec![], vec![above(("toystore", "g"), 1, "own", None)], (true, "g")),
            (
                vec![],
                vec![above(("toystore", "y"), 2, "own", yes), above(("gateways", "o"), 1, "external", yes)],
                (true, "o"),
            ),
        ];
        for (index, (on_route, on_gateways, expected)) in table.into_iter().enumerate() {
            let choice = plan_policy(&route(), Candidates::<PlanPolicyKind> { on_route, on_gateways });
            assert_eq!(named(&choice), expected, "row {index}");
        }
    }

    #[test]
    fn a_policy_of_another_listener_does_not_count() {
        let of_section = |section: &str| {
            let mut spec = target("Gateway", "external");
            spec["targetRef"]["sectionName"] = section.into();
            Arc::new(object(("gateways", "g"), 1, &spec, &json!({})))
        };
        for (section, expected) in [("https", true), ("http", false)] {
            let candidates =
                Candidates::<PlanPolicyKind> { on_route: vec![], on_gateways: vec![of_section(section)] };
            assert_eq!(named(&plan_policy(&route(), candidates)).0, expected, "{section}");
        }
    }

    #[test]
    fn an_overriding_gateway_beats_the_route() {
        let auth = |place, age, kind, name, part: &str, accepted, enforced| -> Arc<AuthPolicy> {
            let mut spec = target(kind, name);
            let rules = json!({"authentication": {}});
            spec[part] = if part == "rules" { rules } else { json!({"rules": rules}) };
            Arc::new(object(place, age, &spec, &says(accepted, enforced)))
        };
        let on = |accepted, enforced| {
            auth(("toystore", "r"), 5, "HTTPRoute", "toystore", "rules", accepted, enforced)
        };
        let above =
            |part, enforced| auth(("gateways", "g"), 1, "Gateway", "external", part, "True", enforced);
        let table = [
            (vec![on("True", "True")], vec![above("rules", "False")], (true, "r")),
            (vec![on("True", "False")], vec![above("overrides", "True")], (true, "g")),
            (vec![on("True", "True")], vec![above("overrides", "True")], (true, "g")),
            (vec![], vec![above("defaults", "True")], (true, "g")),
            (vec![on("True", "Unknown")], vec![above("defaults", "True")], (false, "r")),
            (vec![on("False", "Unknown")], vec![], (false, "r")),
            (vec![], vec![above("rules", "False")], (false, "g")),
            (vec![], vec![], (false, "")),
        ];
        for (index, (on_route, on_gateways, expected)) in table.into_iter().enumerate() {
            let choice = auth_policy(&route(), Candidates::<AuthPolicyKind> { on_route, on_gateways });
            assert_eq!(named(&choice), expected, "row {index}");
        }
    }
}
