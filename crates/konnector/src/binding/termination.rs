//! Progress of a terminating binding.

use kube::ResourceExt as _;
use portolan_core::api::kubebind::APIServiceBinding;

use super::{marks::ANNOTATION_EXPORT_UID, observe::BindingView};
use crate::{args::OnWithdraw, context::KonnectorContext, policy, sync::EngineMode};

/// The provider has withdrawn the export that was bound when it is gone, even where another has its name.
/// While it is terminating, the provider leaves us our rights.
pub(super) fn mode(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
) -> EngineMode {
    let is_withdrawn = view.withdrawing.is_some() || view.withdrawn || policy::is_withdrawn(binding);
    if is_withdrawn {
        return match context.on_withdraw(binding) {
            OnWithdraw::Delete => EngineMode::Drain,
            OnWithdraw::Keep => EngineMode::Withdraw,
        };
    }
    let bound = binding.annotations().get(ANNOTATION_EXPORT_UID);
    let exported = view.export.as_ref().and_then(|export| export.uid());
    // The Go konnector does not note which export is bound: it is the one of that name.
    let is_bound = exported.is_some() && (bound.is_none() || bound == exported.as_ref());
    if is_bound { EngineMode::Drain } else { EngineMode::Withdraw }
}
