//! The plan for a key: its Secrets, its status, and the Events and notices.

use portolan_core::api::devportal::{APIProduct, KeyPhase};

use super::{
    approved, is_granted, pending,
    state::{KeyPlan, ObservedKey, SecretStep},
    status::PlanDraft,
};

/// Returns `true` if a request waits for its product, which nobody has looked at yet. The product's status brings it
/// back.
pub fn awaits_product(observed: &ObservedKey) -> bool {
    let is_open = matches!(observed.key.phase(), KeyPhase::Pending | KeyPhase::Approved);
    let is_new = |product: &APIProduct| {
        product.metadata.deletion_timestamp.is_none()
            && product.status.as_ref().is_none_or(|status| status.observed_generation.is_none())
    };
    is_open && !is_granted(&observed.key) && observed.product.as_deref().is_some_and(is_new)
}

pub fn plan(observed: &ObservedKey) -> KeyPlan {
    let mut draft = PlanDraft::of(observed);
    match observed.key.phase() {
        KeyPhase::Pending => pending::plan(&mut draft),
        KeyPhase::Approved => approved::plan(&mut draft),
        KeyPhase::Rejected => {
            draft.withdraw();
            draft.report_rejection();
            draft.fails("Rejected", "API key request has been rejected".to_owned());
        }
        KeyPhase::Expired => {
            draft.withdraw();
            let at = draft.status.expires_at.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
            draft.fails("KeyExpired", format!("API key expired at {at}"));
        }
    }
    draft.finish()
}

/// The steps for a key that is being deleted, and that a finalizer may keep for as long as somebody likes: none of its
/// Secrets works any more. Nobody needs to be told, and its status stays as it is.
pub fn farewell(observed: &ObservedKey) -> Vec<SecretStep> {
    let mut draft = PlanDraft::of(observed);
    draft.withdraw();
    draft.finish().steps
}

#[cfg(test)]
mod tests;
