//! The status of a product, from the route and the policies that concern it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt as _;
use portolan_core::{
    api::devportal::{APIProduct, APIProductStatus, DiscoveredAuthScheme},
    condition::ConditionStatus,
    foreign::{
        Acceptance, AuthPolicyKind, Foreign, ForeignKind, PlanPolicyKind, PolicyHead, Route, TargetKind,
        select::Choice,
    },
    standard_condition::{self, Judgement, find},
};

use crate::{annotations, names::ObjectName, scheme};

/// Time for which the last verdict of a route's parents stands while they have yet to look at a change.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// Number of products that a message names.
pub const NAMED: usize = 3;

pub(super) const READY: &str = "Ready";
pub(super) const PLAN_POLICY: &str = "PlanPolicyDiscovered";
pub(super) const AUTH_POLICY: &str = "AuthPolicyDiscovered";
/// Whether keys can work: a warning about the selector of the AuthPolicy.
pub(super) const SELECTOR: &str = "KeySelectorUsable";

/// Set if an annotation of the product makes no sense.
pub(super) const ANNOTATIONS: &str = "AnnotationsValid";

/// Reason of a selector by which keys of other products are found, too.
pub(super) const SHARED: &str = "SelectorShared";

/// Everything that bears on a product.
#[derive(Clone, Debug)]
pub struct ObservedProduct {
    pub product: Arc<APIProduct>,
    pub route: Option<Arc<Route>>,
    /// Time for which the route's parents have not looked at its latest change.
    pub outdated_for: Option<Duration>,
    pub plan: Choice<PlanPolicyKind>,
    pub auth: Choice<AuthPolicyKind>,
    pub now: Timestamp,
}

/// The scheme that a product has. A policy that is not in effect at the moment leaves the last one in place.
pub(super) fn scheme(observed: &ObservedProduct) -> Option<DiscoveredAuthScheme> {
    match &observed.auth {
        Choice::Nothing => None,
        Choice::NotInEffect(_) => observed.product.status.as_ref()?.discovered_auth_scheme.clone(),
        Choice::Found(policy) => {
            Some(DiscoveredAuthScheme { authentication: policy.facts.authentication.clone() })
        }
    }
}

/// The status that a product should have. `sharing` are other products with the same selector, the first ones.
pub(super) fn status(
    observed: &ObservedProduct,
    scheme: Option<DiscoveredAuthScheme>,
    sharing: &[ObjectName],
) -> APIProductStatus {
    let product = &observed.product;
    let before = product.status.clone().unwrap_or_default();
    let generation = product.metadata.generation;
    let mut conditions = before.conditions;
    let last = find(&conditions, READY).map(|ready| ready.status);
    let mut set = |r#type, judgement: Option<Judgement>| match judgement {
        Some(judgement) => {
            standard_condition::set(&mut conditions, r#type, judgement, generation, observed.now);
        }
        None => standard_condition::remove(&mut conditions, r#type),
    };
    set(READY, Some(ready(observed, last)));
    set(PLAN_POLICY, Some(plan_policy(&observed.plan)));
    set(AUTH_POLICY, Some(auth_policy(&observed.auth)));
    set(SELECTOR, scheme.as_ref().and_then(|scheme| selector(scheme, &product.name_any(), sharing)));
    set(ANNOTATIONS, mistakes(product));
    let discovered_plans = match &observed.plan {
        Choice::Found(policy) => policy.facts.plans.clone(),
        Choice::Nothing | Choice::NotInEffect(_) => Vec::new(),
    };
    let api_hostname = observed.route.as_ref().and_then(|route| route.facts.hostnames.first().cloned());
    APIProductStatus {
        observed_generation: generation,
        discovered_plans,
        discovered_auth_scheme: scheme,
        oidc_discovery: before.oidc_discovery,
        openapi: before.openapi,
        api_hostname,
        conditions,
    }
}

fn ready(observed: &ObservedProduct, last: Option<ConditionStatus>) -> Judgement {
    let namespace = observed.product.namespace().unwrap_or_default();
    let name = ObjectName::new(namespace, &observed.product.spec.target_ref.name);
    let Some(route) = &observed.route else {
        return Judgement::fails("HTTPRouteNotFound", format!("HTTPRoute {name} not found"));
    };
    let stands =
        last == Some(ConditionStatus::True) && observed.outdated_for.is_some_and(|time| time < GRACE);
    let is_accepted = match route.facts.acceptance {
        Acceptance::Accepted => true,
        Acceptance::Outdated => stands,
        Acceptance::NotAccepted => false,
    };
    if is_accepted {
        Judgement::holds("HTTPRouteAccepted", format!("HTTPRoute {name} accepted"))
    } else {
        Judgement::fails("HTTPRouteNotAccepted", format!("HTTPRoute {name} not accepted"))
    }
}

fn plan_policy(choice: &Choice<PlanPolicyKind>) -> Judgement {
    match choice {
        Choice::Nothing => Judgement::fails("NotFound", "PlanPolicy not found"),
        Choice::NotInEffect(policy) => {
            let name = policy.name_any();
            Judgement::fails(
                "PlanPolicyNotAccepted",
                format!("PlanPolicy {name} not accepted: its plans are not offered"),
            )
        }
        Choice::Found(policy) => found(&**policy, &policy.facts.head),
    }
}

fn auth_policy(choice: &Choice<AuthPolicyKind>) -> Judgement {
    match choice {
        Choice::Nothing => Judgement::fails("NotFound", "AuthPolicy not found"),
        Choice::NotInEffect(_) => {
            Judgement::fails("AuthPolicyNotReady", "AuthPolicy not accepted or not enforced")
        }
        Choice::Found(policy) => found(&**policy, &policy.facts.head),
    }
}

fn found<K: ForeignKind>(policy: &Foreign<K>, head: &PolicyHead) -> Judgement {
    let (kind, name) = match &head.target {
        Some(target) if target.kind == TargetKind::Gateway => ("Gateway", target.name.as_str()),
        Some(target) => ("HTTPRoute", target.name.as_str()),
        None => ("HTTPRoute", ""),
    };
    Judgement::holds("Found", format!("Discovered {} {} targeting {kind} {name}", K::KIND, policy.name_any()))
}

/// The condition about annotations that are invalid, and so ignored.
fn mistakes(product: &APIProduct) -> Option<Judgement> {
    let mistakes = annotations::mistakes(product.annotations());
    (!mistakes.is_empty()).then(|| Judgement::fails("AnnotationInvalid", mistakes.join("; ")))
}

/// Warnings about the selector by which keys are found.
fn selector(scheme: &DiscoveredAuthScheme, product: &str, sharing: &[ObjectName]) -> Option<Judgement> {
    let method = scheme::api_key(scheme)?;
    if let Err(why) = method.labels(product) {
        return Some(Judgement::fails(
            "SelectorCannotMatch",
            format!("No Secret can match the AuthPolicy's selector: {why}"),
        ));
    }
    if !method.all_namespaces() {
        return Some(Judgement::fails(
            "AllNamespacesMissing",
            "The AuthPolicy's apiKey has no allNamespaces: true, so that keys in this namespace may not be found",
        ));
    }
    let others: Vec<_> = scheme::api_keys(scheme).skip(1).map(|method| method.name).collect();
    if !others.is_empty() {
        return Some(Judgement::fails(
            "SeveralKeyMethods",
            format!(
                "Keys are for method {}, the first by name of those that take API keys, and not for {}",
                method.name,
                others.join(", ")
            ),
        ));
    }
    if !sharing.is_empty() {
        let named: Vec<_> = sharing.iter().take(NAMED).map(ToString::to_string).collect();
        // Their number would change the message of each whenever one comes or goes.
        let more = if sharing.len() > NAMED { " and others" } else { "" };
        let named = named.join(", ");
        return Some(Judgement::fails(
            SHARED,
            format!(
                "Keys of this product also work for {named}{more}, since the AuthPolicies have the same selector"
            ),
        ));
    }
    Some(Judgement::holds(
        "SelectorMatches",
        "The AuthPolicy's selector finds the keys of this product, and no other product has the same one",
    ))
}

#[cfg(test)]
mod tests;
