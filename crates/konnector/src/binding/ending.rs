//! How far the end of a binding goes.

use kube::ResourceExt as _;
use portolan_core::api::kubebind::APIServiceBinding;

use super::{marks::ANNOTATION_EXPORT_UID, observe::View};
use crate::{args::OnWithdraw, context::Context, policy, sync::Mode};

/// The provider has withdrawn the export that was bound when it is gone, even where another has its name.
/// While it is going, the provider leaves us our rights.
pub(super) fn mode(context: &Context, binding: &APIServiceBinding, view: &View) -> Mode {
    let is_withdrawn = view.withdrawing.is_some() || view.withdrawn || policy::is_withdrawn(binding);
    if is_withdrawn {
        return match context.on_withdraw(binding) {
            OnWithdraw::Delete => Mode::Drain,
            OnWithdraw::Keep => Mode::Withdraw,
        };
    }
    let bound = binding.annotations().get(ANNOTATION_EXPORT_UID);
    let exported = view.export.as_ref().and_then(|export| export.uid());
    // The Go konnector does not note which export is bound: it is the one of that name.
    let is_bound = exported.is_some() && (bound.is_none() || bound == exported.as_ref());
    if is_bound { Mode::Drain } else { Mode::Withdraw }
}
