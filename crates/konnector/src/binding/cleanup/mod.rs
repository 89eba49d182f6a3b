//! The end of a binding, in order: objects, then their CRDs, then what claims have brought, then the binding.
//!
//! Who ends it decides what goes. Where the consumer unbinds, the copies on the provider go too. Where the
//! provider has withdrawn the export, they stay, with their marks, for a consumer that binds again.

mod apply;
mod drain;
mod observe;
mod orphan;
mod plan;
mod served;

use portolan_runtime::{apply::WriteError, controller::Action};

use super::observe::ObservedBinding;
use crate::context::KonnectorContext;

/// Takes the next step towards the end. `None` where the binding does not end, or stays for good.
pub(super) async fn clean_up(
    context: &KonnectorContext,
    observed: &ObservedBinding,
) -> Result<Option<Action>, WriteError> {
    let Some(facts) = observe::observe(context, observed) else { return Ok(None) };
    apply::apply(context, observed, &facts).await
}
