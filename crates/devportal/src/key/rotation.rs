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
    state::{RESYNC, SecretState, SecretStep, Which},
    status::Draft,
};
use crate::{context::SecretMeta, lifetime, news::FactKind};

/// Annotation of a Secret: the request that it was written for.
pub(super) const ANNOTATION_REQUEST: &str = "devportal.kuadrant.io/rotated-for";

pub(super) fn plan(draft: &mut Draft<'_>, secret: &SecretMeta) {
    match draft.rotate_request() {
        Some(request) if draft.status.observed_rotate_request.as_ref() != Some(&request) => {
            rotate(draft, secret, &request);
        }
        _ => end_overlap(draft),
    }
}

fn rotate(draft: &mut Draft<'_>, secret: &SecretMeta, request: &str) {
    let (is_renewed, overlap) = (is_for(secret, request), overlap(draft));
    if !is_renewed && !keep_old(draft, request, overlap) {
        return;
    }
    let uid = secret.uid().unwrap_or_default();
    if !is_renewed {
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
}

/// Keeps the old value under its other name. Returns `false` if something stands in the way.
fn keep_old(draft: &mut Draft<'_>, request: &str, overlap: SignedDuration) -> bool {
    match &draft.seen.previous {
        SecretState::Ours(previous) if !overlap.is_zero() && is_for(previous, request) => return true,
        SecretState::Ours(previous) => draft.delete(Which::Previous, previous.uid()),
        SecretState::Foreign if !overlap.is_zero() => {
            let name = previous_secret_name(&draft.seen.key.name_any());
            let note =
                format!("Secret {name} exists and is not of this key, so the key is not rotated: delete it");
            draft.tell(true, "SecretConflict", note);
            draft.again_within(RESYNC);
            return false;
        }
        SecretState::Former(_) | SecretState::Absent | SecretState::Foreign => {}
    }
    if overlap.is_zero() {
        return true;
    }
    let Some(mut marks) = approved::marks(draft) else {
        draft.again_within(RESYNC);
        return false;
    };
    marks.annotations.insert(ANNOTATION_REQUEST.to_owned(), request.to_owned());
    draft.step(SecretStep::Keep(marks));
    true
}

/// Deletes the old value when its time is over.
fn end_overlap(draft: &mut Draft<'_>) {
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

fn end_at(draft: &mut Draft<'_>, end: Timestamp, uid: Option<String>) {
    if end > draft.seen.now {
        return draft.again_at(end);
    }
    if uid.is_some() {
        draft.delete(Which::Previous, uid);
    }
    draft.status.previous_secret_ref = None;
}

fn reference(draft: &Draft<'_>, now: Timestamp, overlap: SignedDuration) -> PreviousSecretReference {
    let name = previous_secret_name(&draft.seen.key.name_any());
    let expires_at = Time(now.checked_add(overlap).unwrap_or(now));
    PreviousSecretReference { name, key: SECRET_KEY.to_owned(), expires_at }
}

fn overlap(draft: &Draft<'_>) -> SignedDuration {
    let asked = draft.seen.key.annotations().get(ANNOTATION_ROTATE_OVERLAP);
    let default = SignedDuration::try_from(draft.seen.overlap).unwrap_or(SignedDuration::ZERO);
    // Nobody gets more time than the operator gives.
    asked.and_then(|text| lifetime::parse(text)).map_or(default, |asked| asked.min(default))
}

fn is_for(secret: &SecretMeta, request: &str) -> bool {
    secret.annotations().get(ANNOTATION_REQUEST).is_some_and(|known| known == request)
}
