//! Facts that bear on the end of a binding.

use kube::ResourceExt as _;

use super::{
    super::{
        claims,
        marks::FINALIZER,
        observe::{BindingView, ObservedBinding, ProviderSide},
        termination::mode,
    },
    plan::{CleanupFacts, EndReason, ProviderReach},
};
use crate::{
    args::OnWithdraw,
    context::KonnectorContext,
    crd, policy,
    provider::{ANOTHER_CONTRACT, ProviderContact},
    sync::EngineMode,
};

/// `None` where the binding does not end.
pub(super) fn observe(context: &KonnectorContext, observed: &ObservedBinding) -> Option<CleanupFacts> {
    let binding = &observed.binding;
    // Of a stray, the garbage collector has decided, and no person.
    let (is_elsewhere, is_stray) = (observed.is_in_use_elsewhere(), context.is_stray(binding));
    Some(CleanupFacts {
        occasion: occasion(observed)?,
        reach: reach(observed),
        has_crds: observed.crds.values().any(|crd| crd::is_owned_by(&**crd, binding)),
        keeps_copies: context.keeps_copies(binding) || is_elsewhere || is_stray,
        keeps_objects: keeps_objects(context, observed) || is_stray,
        claims: claims::are_met(binding).then(|| match &observed.provider {
            ProviderSide::Session(view) if !is_elsewhere && !is_stray => {
                claims::last_mode(context, binding, view)
            }
            _ => EngineMode::Withdraw,
        }),
    })
}

fn occasion(observed: &ObservedBinding) -> Option<EndReason> {
    let binding = &observed.binding;
    if binding.metadata.deletion_timestamp.is_none() {
        let ProviderSide::Session(view) = &observed.provider else { return None };
        let is_withdrawn = view.withdrawing.is_some() && view.contact == ProviderContact::Up;
        return (is_withdrawn && policy::bundle_of(binding).is_none()).then_some(EndReason::Withdrawn);
    }
    if !binding.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Some(EndReason::Released);
    }
    let is_orphaned = policy::is_being_orphaned(&**binding);
    Some(if is_orphaned { EndReason::Orphaned } else { EndReason::Deleted })
}

/// Returns `true` if the provider has ended the binding, as far as anybody can tell.
fn keeps_objects(context: &KonnectorContext, observed: &ObservedBinding) -> bool {
    let binding = &observed.binding;
    let knows = |view: &BindingView| {
        view.contact == ProviderContact::Up && (view.listed || view.withdrawing.is_some())
    };
    match &observed.provider {
        ProviderSide::Session(view) if knows(view) => mode(context, binding, view) == EngineMode::Withdraw,
        _ => policy::is_withdrawn(binding) && context.on_withdraw(binding) == OnWithdraw::Keep,
    }
}

fn reach(observed: &ObservedBinding) -> ProviderReach {
    let ProviderSide::Session(view) = &observed.provider else { return ProviderReach::NoSession };
    match &view.contact {
        ProviderContact::Up if view.listed => ProviderReach::Up,
        ProviderContact::Up | ProviderContact::Pending => ProviderReach::Unheard,
        ProviderContact::Closed(verdict) if verdict.reason == ANOTHER_CONTRACT => {
            ProviderReach::AnotherContract
        }
        ProviderContact::Closed(_) => ProviderReach::Doubtful,
        ProviderContact::Down { .. } | ProviderContact::Refused { .. } => ProviderReach::Silent,
    }
}
