//! Rotation: a fresh value under the old name, and the old value under another for a while.
//!
//! Both Secrets say for which request they were written. So wherever a rotation is interrupted, the next look goes on
//! from there, and the value that clients still use is never lost.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use portolan_core::api::devportal::{
    ANNOTATION_ROTATE_OVERLAP, PreviousSecretReference, SECRET_KEY, previous_secret_name,
};

use super::{
    approved,
    state::{RESYNC, SecretMarks, SecretState, SecretStep, WhichSecret},
    status::{KeyObstacle, PlanDraft},
};
use crate::{context::SecretMeta, lifetime, news::FactKind};

/// Annotation of a Secret: the request that it was written for.
pub(super) const ANNOTATION_REQUEST: &str = "devportal.kuadrant.io/rotated-for";

/// Rotates a key, or ends the time of its old value. Returns what keeps it from being rotated.
pub(super) fn plan(draft: &mut PlanDraft<'_>, secret: &SecretMeta) -> Option<KeyObstacle> {
    match draft.rotate_request() {
        Some(request) if draft.status.observed_rotate_request.as_ref() != Some(&request) => {
            let blocked = rotate(draft, secret, &request).err();
            // The time of the old value ends all the same.
            if blocked.is_some() && draft.status.previous_secret_ref.is_some() {
                end_overlap(draft);
            }
            blocked
        }
        _ => {
            end_overlap(draft);
            None
        }
    }
}

fn rotate(draft: &mut PlanDraft<'_>, secret: &SecretMeta, request: &str) -> Result<(), KeyObstacle> {
    let (is_renewed, overlap) = (is_for(secret, request), overlap(draft));
    if !is_renewed {
        keep_old(draft, request, overlap)?;
        let uid = secret.uid().unwrap_or_default();
        draft.step(SecretStep::Renew { uid, request: request.to_owned() });
    }
    draft.status.observed_rotate_request = Some(request.to_owned());
    let now = draft.seen.now;
    draft.status.previous_secret_ref = (!overlap.is_zero()).then(|| reference(draft, now, overlap));
    if let Some(previous) = &draft.status.previous_secret_ref {
        let end = previous.expires_at.0;
        draft.tell(false, "Rotated", format!("The key has a new value. The old one works until {end}"));
        draft.again_at(end);
    } else {
        draft.tell(false, "Rotated", "The key has a new value. The old one no longer works".to_owned());
    }
    draft.report(FactKind::Rotated, now);
    Ok(())
}

/// Keeps the old value under its other name, unless something stands in the way.
fn keep_old(draft: &mut PlanDraft<'_>, request: &str, overlap: SignedDuration) -> Result<(), KeyObstacle> {
    let keep = if overlap.is_zero() { None } else { Some(marks(draft, request)?) };
    match &draft.seen.previous {
        SecretState::Ours(previous) if keep.is_some() && is_for(previous, request) => return Ok(()),
        SecretState::Ours(previous) => draft.delete(WhichSecret::Previous, previous.uid()),
        SecretState::Foreign if keep.is_some() => {
            draft.again_within(RESYNC);
            let name = previous_secret_name(&draft.seen.key.name_any());
            let message = format!(
                "Secret {name} exists and does not belong to this key, so the key is not rotated: delete it"
            );
            return Err(("SecretConflict", message));
        }
        SecretState::Absent if keep.is_none() && draft.status.previous_secret_ref.is_some() => {
            draft.delete(WhichSecret::Previous, None);
        }
        SecretState::Former(_) | SecretState::Absent | SecretState::Foreign => {}
    }
    if let Some(marks) = keep {
        draft.step(SecretStep::Keep(marks));
    }
    Ok(())
}

/// Labels and annotations of the old value, which works only with those that the selector wants.
fn marks(draft: &mut PlanDraft<'_>, request: &str) -> Result<SecretMarks, KeyObstacle> {
    if let Some(mut marks) = approved::marks(draft) {
        marks.annotations.insert(ANNOTATION_REQUEST.to_owned(), request.to_owned());
        return Ok(marks);
    }
    draft.again_within(RESYNC);
    let (reason, why) =
        draft.obstacle().unwrap_or_else(|| ("AuthSchemeNotFound", "No labels are known".to_owned()));
    Err((reason, format!("{why}, so that the key is not rotated")))
}

/// Deletes the old value when its time is over.
fn end_overlap(draft: &mut PlanDraft<'_>) {
    let SecretState::Ours(previous) = &draft.seen.previous else {
        // The store may be behind a rotation of a moment ago.
        if let Some(known) = draft.status.previous_secret_ref.clone() {
            end_at(draft, known.expires_at.0, None);
        }
        return;
    };
    let previous = Arc::clone(previous);
    let end = draft.status.previous_secret_ref.as_ref().map_or(draft.seen.now, |known| known.expires_at.0);
    end_at(draft, end, previous.uid());
}

fn end_at(draft: &mut PlanDraft<'_>, end: Timestamp, uid: Option<String>) {
    if end > draft.seen.now {
        return draft.again_at(end);
    }
    // Without its label it is in no store, and it would still work.
    draft.delete(WhichSecret::Previous, uid);
    draft.status.previous_secret_ref = None;
}

fn reference(draft: &PlanDraft<'_>, now: Timestamp, overlap: SignedDuration) -> PreviousSecretReference {
    let name = previous_secret_name(&draft.seen.key.name_any());
    let expires_at = Time(now.checked_add(overlap).unwrap_or(now));
    PreviousSecretReference { name, key: SECRET_KEY.to_owned(), expires_at }
}

fn overlap(draft: &PlanDraft<'_>) -> SignedDuration {
    let asked = draft.seen.key.annotations().get(ANNOTATION_ROTATE_OVERLAP);
    let default = SignedDuration::try_from(draft.seen.overlap).unwrap_or(SignedDuration::ZERO);
    // Nobody gets more time than the operator gives.
    asked.and_then(|text| lifetime::parse(text)).map_or(default, |asked| asked.min(default))
}

fn is_for(secret: &SecretMeta, request: &str) -> bool {
    secret.annotations().get(ANNOTATION_REQUEST).is_some_and(|known| known == request)
}
