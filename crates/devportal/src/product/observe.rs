//! Everything that bears on a product, from the stores.

use jiff::Timestamp;
use portolan_core::foreign::{
    Acceptance, AuthPolicyKind, Foreign, ForeignKind, PlanPolicyKind, Route,
    select::{Candidates, Choice, auth_policy, plan_policy},
};
use portolan_runtime::clock;
use tokio::time::Instant;

use super::discover::ObservedProduct;
use crate::{
    changes::TargetName, context::Context, index::GroupIndex, names::ObjectName, scope::ScopedCache,
};

/// `None` if there is nothing to say about it.
pub(super) fn observe(context: &Context, name: &ObjectName) -> Option<ObservedProduct> {
    let product = context.products.get(&name.namespace, &name.name)?;
    if product.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let route = context.routes.get(&name.namespace, &product.spec.target_ref.name);
    if route.is_none() {
        // One that comes again has its time anew.
        context.outdated.lock().remove(&ObjectName::new(&name.namespace, &product.spec.target_ref.name));
    }
    let (plan, auth) = match &route {
        None => (Choice::Nothing, Choice::Nothing),
        Some(route) => (
            plan_policy(route, candidates::<PlanPolicyKind>(route, &context.plans, &context.indexes.plans)),
            auth_policy(route, candidates::<AuthPolicyKind>(route, &context.auths, &context.indexes.auths)),
        ),
    };
    let outdated_for = route.as_ref().and_then(|route| outdated_for(context, route));
    Some(ObservedProduct { product, route, outdated_for, plan, auth, now: now() })
}

fn now() -> Timestamp {
    clock::now()
}

/// The time for which the parents of a route have not looked at its latest change.
fn outdated_for(context: &Context, route: &Route) -> Option<std::time::Duration> {
    let name = ObjectName::of(route);
    let mut outdated = context.outdated.lock();
    if route.facts.acceptance == Acceptance::Outdated {
        Some(outdated.entry(name).or_insert_with(Instant::now).elapsed())
    } else {
        outdated.remove(&name);
        None
    }
}

fn candidates<K: ForeignKind>(
    route: &Route,
    policies: &ScopedCache<Foreign<K>>,
    index: &GroupIndex<TargetName, ObjectName>,
) -> Candidates<K> {
    Candidates::of(route, |kind, namespace, name| {
        let named = index.of(&(kind, ObjectName::new(namespace, name))).into_iter();
        named.filter_map(|policy| policies.get(&policy.namespace, &policy.name)).collect()
    })
}
