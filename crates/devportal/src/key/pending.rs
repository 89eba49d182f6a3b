//! A request that nobody has decided about yet.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_core::api::devportal::{ApprovalMode, KeyPhase, REVIEWER_SYSTEM};

use super::{
    approved,
    limits::{TOO_MANY, too_many},
    status::{Draft, READY},
};
use crate::news::FactKind;

pub(super) fn plan(draft: &mut Draft<'_>) {
    let is_new = draft.status.conditions.iter().all(|condition| condition.r#type != READY);
    // A Secret of ours without an approval is one that a crash has left behind.
    draft.withdraw();
    draft.status.expires_at = draft.seen.key.spec.expires_at.clone();
    if is_new {
        let now = draft.seen.now;
        draft.report(FactKind::Requested, now);
    }
    if let Some(at) = draft.status.expires_at.clone() {
        if at.0 <= draft.seen.now {
            return draft.expire(at.0);
        }
        draft.again_at(at.0);
    }
    if let Some((reason, message)) = draft.obstacle() {
        return draft.fails(reason, message);
    }
    if let Some(message) = too_many(draft) {
        return draft.fails(TOO_MANY, message);
    }
    match draft.seen.product.as_ref().map(|product| product.spec.approval_mode) {
        Some(ApprovalMode::Automatic) => approve(draft),
        _ => draft.fails("NotApproved", "Request awaiting manual approval".to_owned()),
    }
}

fn approve(draft: &mut Draft<'_>) {
    draft.status.phase = Some(KeyPhase::Approved);
    draft.status.reviewed_by = Some(REVIEWER_SYSTEM.to_owned());
    draft.status.reviewed_at = Some(Time(draft.seen.now));
    approved::grant(draft);
}
