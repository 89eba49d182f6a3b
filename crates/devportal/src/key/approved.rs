//! A request that was granted: there is to be a Secret with a key, for as long as nothing revokes it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};
use portolan_core::{
    api::devportal::{
        ANNOTATION_PLAN_ID, ANNOTATION_USER_ID, KeyPhase, SECRET_KEY, SecretKeyReference, secret_name,
    },
    standard_condition::{Judgement, StandardCondition, find},
};
use serde_json::{Value, json};

use super::{
    expiring,
    limits::{TOO_MANY, too_many},
    rotation,
    secret::ANNOTATION_KEY,
    state::{RESYNC, SecretMarks, SecretState, SecretStep, WhichSecret},
    status::{KeyObstacle, PlanDraft, READY, UP_TO_DATE},
};
use crate::{context::SecretMeta, news::FactKind, scheme};

/// Reason of a key that was made again because its Secret was deleted.
const RECREATED: &str = "SecretRecreated";
/// Distance from the clock within which the time of a decision is believed.
const BELIEVED: SignedDuration = SignedDuration::from_mins(5);
/// Annotation of a Secret with the labels that the selector wants, so that they can be removed again.
pub(super) const ANNOTATION_LABELS: &str = "devportal.kuadrant.io/labels";

pub(super) fn plan(draft: &mut PlanDraft<'_>) {
    match (&draft.status.approved_snapshot, draft.snapshot()) {
        (None, _) => first(draft),
        (Some(_), _) if draft.seen.is_orphan => orphaned(draft),
        (Some(approved), Some(now)) if *approved != now => outdated(draft),
        (Some(_), _) => uphold(draft),
    }
}

/// A person has approved it, and nothing was done about that yet.
fn first(draft: &mut PlanDraft<'_>) {
    draft.status.secret_ref = None;
    // Before all else: the stamp is already that of the product which is there now.
    if draft.is_about_another() {
        return outdated(draft);
    }
    if let Some((reason, message)) = draft.obstacle() {
        return draft.fails(reason, message);
    }
    if let Some(message) = too_many(draft) {
        return draft.fails(TOO_MANY, message);
    }
    grant(draft);
}

/// Fixes what was approved, and gives the key.
pub(super) fn grant(draft: &mut PlanDraft<'_>) {
    let since = settle_time(draft);
    draft.status.expires_at = draft.first_end(since).map(Time);
    draft.status.approved_snapshot = draft.snapshot();
    // What was asked for before there was a key is no rotation.
    draft.status.observed_rotate_request = draft.rotate_request();
    draft.report(FactKind::Approved, since);
    uphold(draft);
}

/// The time of the decision, as it is written from now on: whoever decides may write any, and the life of the key counts
/// from it.
fn settle_time(draft: &mut PlanDraft<'_>) -> Timestamp {
    let now = draft.seen.now;
    let said = draft.status.reviewed_at.as_ref().map(|time| time.0);
    let said = said.filter(|said| said.duration_since(now).abs() <= BELIEVED);
    let time = said.unwrap_or(now);
    draft.status.reviewed_at = Some(Time(time));
    time.min(now)
}

/// Takes the key back, because the object differs from what was approved: it needs another approval.
fn outdated(draft: &mut PlanDraft<'_>) {
    draft.status.phase = Some(KeyPhase::Pending);
    draft.withdraw();
    draft.status.reviewed_by = None;
    draft.status.reviewed_at = None;
    draft.status.reason = None;
    let message = "The request is not the one that was approved: its product, tier or requester has changed";
    draft.fails("ApprovalOutdated", message.to_owned());
}

/// Takes a key back whose product is gone. If one of that name comes, somebody has to approve that again.
fn orphaned(draft: &mut PlanDraft<'_>) {
    draft.withdraw();
    if let Some((reason, message)) = draft.obstacle() {
        draft.fails(reason, message);
    }
}

/// Keeps a key that was given, whatever becomes of the policies meanwhile.
fn uphold(draft: &mut PlanDraft<'_>) {
    if let Some(at) = draft.end() {
        draft.status.expires_at = Some(Time(at));
        if at <= draft.seen.now {
            return draft.expire(at);
        }
        expiring::warn(draft, at);
    }
    let obstacle = draft.obstacle();
    match &draft.seen.secret {
        SecretState::Ours(secret) => {
            let secret = std::sync::Arc::clone(secret);
            let blocked = present(draft, &secret, obstacle.is_none());
            warn(draft, blocked.or(obstacle));
        }
        SecretState::Absent => match obstacle {
            Some((reason, message)) => {
                draft.status.secret_ref = None;
                draft.fails(reason, message);
            }
            None => create(draft),
        },
        SecretState::Former(_) => {
            draft.status.secret_ref = None;
            draft.fails(
                "AwaitingSecret",
                "The Secret of a former key of this name is being deleted".to_owned(),
            );
        }
        SecretState::Foreign => {
            draft.status.secret_ref = None;
            let name = secret_name(&draft.seen.key.name_any());
            draft.fails(
                "SecretConflict",
                format!("Secret {name} exists and does not belong to this key: delete it"),
            );
            draft.again_within(RESYNC);
        }
    }
}

fn create(draft: &mut PlanDraft<'_>) {
    let Some(marks) = marks(draft) else { return };
    draft.step(SecretStep::Create(marks));
    // What was deleted with the Secret had a value that nobody knows any more.
    match &draft.seen.previous {
        SecretState::Ours(previous) => draft.delete(WhichSecret::Previous, previous.uid()),
        // Without its label it is in no store, and it would still work.
        SecretState::Absent if draft.status.previous_secret_ref.is_some() => {
            draft.delete(WhichSecret::Previous, None);
        }
        SecretState::Absent | SecretState::Former(_) | SecretState::Foreign => {}
    }
    draft.status.previous_secret_ref = None;
    let was_there = draft.status.secret_ref.is_some();
    refer(draft);
    if was_there {
        let note = "The Secret of the key was deleted, so there is a new one with another value";
        draft.tell(true, RECREATED, note.to_owned());
        draft.holds(RECREATED, note.to_owned());
    } else {
        draft.holds("SecretCreated", "API key secret has been created successfully".to_owned());
    }
}

fn refer(draft: &mut PlanDraft<'_>) {
    let name = secret_name(&draft.seen.key.name_any());
    draft.status.secret_ref = Some(SecretKeyReference { name, key: SECRET_KEY.to_owned() });
}

/// Keeps the Secret up to date. Returns what keeps the key from being rotated.
fn present(draft: &mut PlanDraft<'_>, secret: &SecretMeta, can_be_given: bool) -> Option<KeyObstacle> {
    refer(draft);
    let was_recreated = find(&draft.status.conditions, READY).is_some_and(|ready| ready.reason == RECREATED);
    if !was_recreated {
        draft.holds("SecretCreated", "API key secret has been created successfully".to_owned());
    }
    if can_be_given {
        mark(draft, WhichSecret::Current, secret);
        if let SecretState::Ours(previous) = &draft.seen.previous {
            let previous = std::sync::Arc::clone(previous);
            mark(draft, WhichSecret::Previous, &previous);
        }
    }
    rotation::plan(draft, secret)
}

/// Tells that a key works which would not be given any more, or is not rotated.
fn warn(draft: &mut PlanDraft<'_>, obstacle: Option<KeyObstacle>) {
    let Some((reason, message)) = obstacle else { return draft.unset(UP_TO_DATE) };
    let message = format!("{message}. The key is kept as it is");
    let is_known = |known: &StandardCondition| known.reason == reason && known.message == message;
    let is_news = !find(&draft.status.conditions, UP_TO_DATE).is_some_and(is_known);
    if is_news {
        draft.tell(true, reason, message.clone());
    }
    draft.set(UP_TO_DATE, Judgement::fails(reason, message));
}

/// The labels and annotations of the key's Secrets.
pub(super) fn marks(draft: &PlanDraft<'_>) -> Option<SecretMarks> {
    let product = draft.seen.product.as_ref()?;
    let scheme = product.status.as_ref()?.discovered_auth_scheme.as_ref()?;
    let labels = scheme::api_key(scheme)?.labels(&product.name_any()).ok()?;
    let spec = &draft.seen.key.spec;
    let names: Vec<_> = labels.keys().map(String::as_str).collect();
    let annotations = [
        (ANNOTATION_PLAN_ID, spec.plan_tier.clone()),
        (ANNOTATION_USER_ID, spec.requested_by.user_id.clone()),
        (ANNOTATION_LABELS, names.join(",")),
        (ANNOTATION_KEY, draft.seen.key.uid().unwrap_or_default()),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value)).into();
    Some(SecretMarks { labels, annotations })
}

/// Brings labels and annotations up to date.
fn mark(draft: &mut PlanDraft<'_>, which: WhichSecret, secret: &SecretMeta) {
    let Some(wanted) = marks(draft) else { return };
    let ours = secret.annotations().get(ANNOTATION_LABELS).cloned().unwrap_or_default();
    let stale = ours.split(',').filter(|name| !name.is_empty() && !wanted.labels.contains_key(*name));
    let stale = stale.filter(|name| secret.labels().contains_key(*name)).map(|name| (name.to_owned(), None));
    let mut labels: BTreeMap<_, _> = stale.collect();
    labels.extend(differing(&wanted.labels, secret.labels()));
    let annotations: BTreeMap<_, _> = differing(&wanted.annotations, secret.annotations()).collect();
    let owners = lost_owner(draft, secret);
    if !labels.is_empty() || !annotations.is_empty() || owners.is_some() {
        let uid = secret.uid().unwrap_or_default();
        draft.step(SecretStep::Mark { which, uid, labels, annotations, owners });
    }
}

/// The owners that a Secret is to have, if its key is not among them: without it, the Secret would outlive the key.
fn lost_owner(draft: &PlanDraft<'_>, secret: &SecretMeta) -> Option<Value> {
    let (key, owners) = (&draft.seen.key, secret.owner_references());
    let ours = key.owner_ref(&())?;
    let is_owned = owners.iter().any(|owner| owner.uid == ours.uid);
    (!is_owned).then(|| owners.iter().cloned().chain([ours]).map(|owner| json!(owner)).collect())
}

fn differing<'a>(
    wanted: &'a BTreeMap<String, String>,
    present: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let differs = |(name, value): &(&String, &String)| present.get(*name) != Some(*value);
    wanted.iter().filter(differs).map(|(name, value)| (name.clone(), Some(value.clone())))
}
