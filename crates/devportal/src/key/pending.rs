//! A request that nobody has decided about yet.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_core::api::devportal::{ApprovalMode, KeyPhase, REVIEWER_SYSTEM};

use super::{
    approved,
    limits::{TOO_MANY, too_many},
    state::SecretState,
    status::{KeyObstacle, PlanDraft, READY},
};
use crate::news::FactKind;

pub(super) fn plan(draft: &mut PlanDraft<'_>) {
    let is_new = draft.status.conditions.iter().all(|condition| condition.r#type != READY);
    // A Secret of ours without an approval is one that a crash has left behind.
    draft.withdraw();
    draft.status.expires_at = draft.wanted_end().map(Time);
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
    let Some((reason, message)) = reason_to_wait(draft) else { return approve(draft) };
    draft.ignore_rotation();
    draft.fails(reason, message);
}

/// What keeps the request from being approved by itself, if anything does.
fn reason_to_wait(draft: &PlanDraft<'_>) -> Option<KeyObstacle> {
    let obstacle = draft.obstacle().or_else(|| too_many(draft).map(|message| (TOO_MANY, message)));
    if obstacle.is_some() {
        return obstacle;
    }
    let mode = draft.seen.product.as_ref().map(|product| product.spec.approval_mode);
    if mode != Some(ApprovalMode::Automatic) {
        return Some(("NotApproved", "Request awaiting manual approval".to_owned()));
    }
    // It is deleted just now, and brings the request up again when it is gone.
    let is_left = matches!(draft.seen.secret, SecretState::Ours(_));
    is_left.then(|| ("AwaitingSecret", "A Secret that was left behind is being deleted".to_owned()))
}

fn approve(draft: &mut PlanDraft<'_>) {
    draft.status.phase = Some(KeyPhase::Approved);
    draft.status.reviewed_by = Some(REVIEWER_SYSTEM.to_owned());
    draft.status.reviewed_at = Some(Time(draft.seen.now));
    approved::grant(draft);
}
