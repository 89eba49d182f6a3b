//! Facts that bear on the end of a binding.

use kube::ResourceExt as _;

use super::{
    super::{
        claims,
        marks::FINALIZER,
        observe::{BindingView, ObservedBinding, ProviderSide},
        termination::mode,
    },
    plan::{CleanupFacts, Occasion, Reach},
};
use crate::{
    args::OnWithdraw,
    context::KonnectorContext,
    crd, policy,
    provider::{ANOTHER_CONTRACT, Contact},
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

fn occasion(observed: &ObservedBinding) -> Option<Occasion> {
    let binding = &observed.binding;
    if binding.metadata.deletion_timestamp.is_none() {
        let ProviderSide::Session(view) = &observed.provider else { return None };
        let is_withdrawn = view.withdrawing.is_some() && view.contact == Contact::Up;
        return (is_withdrawn && policy::bundle_of(binding).is_none()).then_some(Occasion::Withdrawn);
    }
    if !binding.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Some(Occasion::Released);
    }
    let is_orphaned = policy::is_being_orphaned(&**binding);
    Some(if is_orphaned { Occasion::Orphaned } else { Occasion::Deleted })
}

/// Returns `true` if the provider has ended the binding, as far as anybody can tell.
fn keeps_objects(context: &KonnectorContext, observed: &ObservedBinding) -> bool {
    let binding = &observed.binding;
    let knows =
        |view: &BindingView| view.contact == Contact::Up && (view.listed || view.withdrawing.is_some());
    match &observed.provider {
        ProviderSide::Session(view) if knows(view) => mode(context, binding, view) == EngineMode::Withdraw,
        _ => policy::is_withdrawn(binding) && context.on_withdraw(binding) == OnWithdraw::Keep,
    }
}

fn reach(observed: &ObservedBinding) -> Reach {
    let ProviderSide::Session(view) = &observed.provider else { return Reach::NoSession };
    match &view.contact {
        Contact::Up if view.listed => Reach::Up,
        Contact::Up | Contact::Pending => Reach::Unheard,
        Contact::Closed(verdict) if verdict.reason == ANOTHER_CONTRACT => Reach::AnotherContract,
        Contact::Closed(_) => Reach::Doubtful,
        Contact::Down { .. } | Contact::Refused { .. } => Reach::Silent,
    }
}
