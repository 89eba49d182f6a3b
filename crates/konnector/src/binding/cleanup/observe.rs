//! What bears on the end of a binding.

use kube::ResourceExt as _;

use super::{
    super::{
        claims,
        ending::mode,
        marks::FINALIZER,
        observe::{ObservedBinding, Provider, View},
    },
    plan::{Facts, Occasion, Reach},
};
use crate::{
    args::OnWithdraw,
    context::Context,
    crd, policy,
    provider::{ANOTHER_CONTRACT, Contact},
    sync::Mode,
};

/// `None` where the binding does not end.
pub(super) fn observe(context: &Context, observed: &ObservedBinding) -> Option<Facts> {
    let binding = &observed.binding;
    let is_elsewhere = observed.is_in_use_elsewhere();
    Some(Facts {
        occasion: occasion(observed)?,
        reach: reach(observed),
        has_crds: observed.crds.values().any(|crd| crd::is_owned_by(&**crd, binding)),
        keeps_copies: context.keeps_copies(binding) || is_elsewhere,
        keeps_objects: keeps_objects(context, observed),
        claims: claims::are_met(binding).then(|| match &observed.provider {
            Provider::Session(view) if !is_elsewhere => claims::last_mode(context, binding, view),
            _ => Mode::Withdraw,
        }),
    })
}

fn occasion(observed: &ObservedBinding) -> Option<Occasion> {
    let binding = &observed.binding;
    if binding.metadata.deletion_timestamp.is_none() {
        let Provider::Session(view) = &observed.provider else { return None };
        let is_withdrawn = view.withdrawing.is_some() && view.contact == Contact::Up;
        return (is_withdrawn && policy::bundle_of(binding).is_none()).then_some(Occasion::Withdrawn);
    }
    if !binding.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Some(Occasion::Released);
    }
    let is_orphaned = policy::is_being_orphaned(&**binding);
    Some(if is_orphaned { Occasion::Orphaned } else { Occasion::Deleted })
}

/// Whether the provider has ended the binding, as far as anybody can tell.
fn keeps_objects(context: &Context, observed: &ObservedBinding) -> bool {
    let binding = &observed.binding;
    let knows = |view: &View| view.contact == Contact::Up && (view.listed || view.withdrawing.is_some());
    match &observed.provider {
        Provider::Session(view) if knows(view) => mode(context, binding, view) == Mode::Withdraw,
        _ => policy::is_withdrawn(binding) && context.on_withdraw(binding) == OnWithdraw::Keep,
    }
}

fn reach(observed: &ObservedBinding) -> Reach {
    let Provider::Session(view) = &observed.provider else { return Reach::NoSession };
    match &view.contact {
        Contact::Up if view.listed => Reach::Up,
        Contact::Up | Contact::Pending => Reach::Unheard,
        Contact::Closed(verdict) if verdict.reason == ANOTHER_CONTRACT => Reach::AnotherContract,
        Contact::Closed(_) => Reach::Doubtful,
        Contact::Down { .. } | Contact::Refused { .. } => Reach::Silent,
    }
}
