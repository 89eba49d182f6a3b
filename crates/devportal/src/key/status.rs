//! A plan in the making, and what all phases have in common.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource as _, ResourceExt as _};
use portolan_core::{
    api::devportal::{
        ANNOTATION_OWNER, ANNOTATION_ROTATE, APIKey, APIKeyStatus, APIProduct, AuthSchemeOfKey, KeyPhase,
    },
    digest::sha256_hex,
    standard_condition::{self, Judgement, find},
};

use super::{
    expiring,
    state::{KeyPlan, ObservedKey, PlannedEvent, SecretState, SecretStep, WhichSecret},
};
use crate::{
    annotations,
    names::ObjectName,
    news::{FactKind, KeyFact},
    scheme,
};

pub(super) const READY: &str = "Ready";
/// Whether a key that works would still be given as it is.
pub(super) const UP_TO_DATE: &str = "UpToDate";
/// Whether a key is about to expire.
pub(super) const EXPIRING_SOON: &str = "ExpiringSoon";

/// A plan in the making.
pub(super) struct PlanDraft<'a> {
    pub(super) seen: &'a ObservedKey,
    pub(super) status: APIKeyStatus,
    plan: KeyPlan,
}

/// A reason why a key cannot be given, and a message.
pub(super) type KeyObstacle = (&'static str, String);

impl<'a> PlanDraft<'a> {
    pub(super) fn of(seen: &'a ObservedKey) -> Self {
        let mut status = seen.key.status.clone().unwrap_or_default();
        status.observed_generation = seen.key.metadata.generation;
        status.phase = Some(seen.key.phase());
        if seen.key.phase() == KeyPhase::Pending {
            // A request may ask for something else by now, and a key that works keeps what it had.
            (status.limits, status.api_hostname, status.auth_scheme) = (None, None, None);
        }
        let mut draft = Self { seen, status, plan: KeyPlan::default() };
        match seen.product.as_deref().filter(|product| is_alive(product)) {
            Some(product) => draft.describe(product),
            // Nobody decides about a request for a product that may yet come, and be anybody's.
            None if draft.status.phase == Some(KeyPhase::Pending) => {
                draft.status.product_owner = None;
                draft.status.product_uid = None;
            }
            None => {}
        }
        // Whatever becomes of this key, that of a former one works no more.
        for (which, state) in [(WhichSecret::Current, &seen.secret), (WhichSecret::Previous, &seen.previous)]
        {
            if let SecretState::Former(secret) = state {
                draft.delete(which, secret.uid());
            }
        }
        draft
    }

    /// Copies from the product what the requester wants to know.
    fn describe(&mut self, product: &APIProduct) {
        let owned_by =
            |product: &APIProduct| product.annotations().get(ANNOTATION_OWNER).cloned().unwrap_or_default();
        self.status.product_owner = Some(owned_by(product));
        self.status.product_uid = product.uid();
        let known = product.status.as_ref();
        if let Some(plan) = known.and_then(|known| {
            known.discovered_plans.iter().find(|plan| plan.tier == self.seen.key.spec.plan_tier)
        }) {
            self.status.limits.clone_from(&plan.limits);
        }
        if let Some(known) = known {
            self.status.api_hostname.clone_from(&known.api_hostname);
        }
        let method = known.and_then(|known| known.discovered_auth_scheme.as_ref()).and_then(scheme::api_key);
        if let Some(method) = method {
            self.status.auth_scheme = Some(AuthSchemeOfKey {
                authentication_spec: method.spec.into(),
                credentials: method.credentials.into(),
            });
        }
        let uid = product.uid().unwrap_or_default();
        // No other product as well: with two owners, it would outlive either.
        let is_owned = self
            .seen
            .key
            .owner_references()
            .iter()
            .filter(|owner| is_product(owner))
            .map(|owner| &owner.uid)
            .eq([&uid]);
        if !is_owned && self.seen.key.phase() != KeyPhase::Rejected {
            self.plan.adopt = Some((product.name_any(), uid));
        }
    }

    /// The obstacle that keeps a key from being created, if there is one.
    pub(super) fn obstacle(&self) -> Option<KeyObstacle> {
        let (namespace, key) = (self.seen.key.namespace().unwrap_or_default(), &self.seen.key);
        let name = ObjectName::new(namespace, &key.spec.api_product_ref.name);
        let Some(product) = &self.seen.product else {
            return Some(("APIProductNotFound", format!("APIProduct {name} not found")));
        };
        if !is_alive(product) {
            return Some(("APIProductDeleting", format!("APIProduct {name} is being deleted")));
        }
        let known = product.status.as_ref();
        let tier = &key.spec.plan_tier;
        if !known.is_some_and(|known| known.discovered_plans.iter().any(|plan| plan.tier == *tier)) {
            let product = product.name_any();
            return Some((
                "PlanTierNotFound",
                format!("Plan tier {tier:?} not found in APIProduct {product}"),
            ));
        }
        let Some(discovered) = known.and_then(|known| known.discovered_auth_scheme.as_ref()) else {
            let message = format!("APIProduct {name} does not have a discovered authentication scheme");
            return Some(("AuthSchemeNotFound", message));
        };
        let Some(method) = scheme::api_key(discovered) else {
            let message =
                format!("APIProduct {name} does not have an API key authentication scheme configured");
            return Some(("APIKeyAuthSchemeNotFound", message));
        };
        method.labels(&product.name_any()).err().map(|why| ("SelectorCannotMatch", why))
    }

    /// Returns `true` if a person has decided about another product than the one that has its name now.
    pub(super) fn is_about_another(&self) -> bool {
        let product = self.seen.product.as_deref().filter(|product| is_alive(product));
        let decided = self.seen.key.status.as_ref().and_then(|status| status.product_uid.as_ref());
        product.is_some_and(|product| product.metadata.uid.as_ref() != decided)
    }

    /// The approved snapshot: the key of this product, this tier and this requester. The expiry time is fixed in the
    /// status, which can only come earlier.
    pub(super) fn snapshot(&self) -> Option<String> {
        Some(snapshot(&self.seen.key, &self.seen.product.as_ref()?.uid()?))
    }

    /// The time at which a key stops working that is given now, and was approved at a time.
    pub(super) fn first_end(&self, since: Timestamp) -> Option<Timestamp> {
        [self.wanted_end(), self.longest_life(since)].into_iter().flatten().min()
    }

    /// The time at which a key stops working that was given. It can only come earlier, and never as a surprise: a
    /// limit that is new leaves a day.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let reviewed = self.status.reviewed_at.as_ref().map_or(self.seen.now, |time| time.0);
        let capped = self.longest_life(reviewed.min(self.seen.now));
        let soonest = self.seen.now.checked_add(expiring::DAY).unwrap_or(self.seen.now);
        let capped = capped.map(|end| end.max(soonest));
        let fixed = self.status.expires_at.as_ref().map(|time| time.0);
        [self.wanted_end(), capped, fixed].into_iter().flatten().min()
    }

    /// The end that the requester asks for, in whole seconds: so it is written, and so it is read again.
    pub(super) fn wanted_end(&self) -> Option<Timestamp> {
        let wanted = self.seen.key.spec.expires_at.as_ref()?.0;
        Some(Timestamp::from_second(wanted.as_second()).unwrap_or(wanted))
    }

    /// The end that the product's limit puts to a life.
    fn longest_life(&self, since: Timestamp) -> Option<Timestamp> {
        let product = self.seen.product.as_deref().filter(|product| is_alive(product));
        since.checked_add(annotations::max_lifetime(product?)?).ok()
    }

    /// The request for a rotation that the key carries.
    pub(super) fn rotate_request(&self) -> Option<String> {
        self.seen.key.annotations().get(ANNOTATION_ROTATE).filter(|request| !request.is_empty()).cloned()
    }

    pub(super) fn set(&mut self, r#type: &str, judgement: Judgement) {
        let generation = self.seen.key.metadata.generation;
        standard_condition::set(&mut self.status.conditions, r#type, judgement, generation, self.seen.now);
    }

    pub(super) fn unset(&mut self, r#type: &str) {
        standard_condition::remove(&mut self.status.conditions, r#type);
    }

    pub(super) fn holds(&mut self, reason: &'static str, message: String) {
        self.set(READY, Judgement::holds(reason, message));
    }

    /// Sets `Ready` to false, and tells so if that is news.
    pub(super) fn fails(&mut self, reason: &'static str, message: String) {
        let is_news = find(&self.status.conditions, READY).is_none_or(|ready| ready.reason != reason);
        let is_quiet = matches!(reason, "NotApproved" | "AwaitingSecret");
        if is_news && !is_quiet {
            self.tell(true, reason, message.clone());
        }
        self.set(READY, Judgement::fails(reason, message));
    }

    pub(super) fn tell(&mut self, warns: bool, reason: &'static str, note: String) {
        self.plan.told.push(PlannedEvent { warns, reason, note });
    }

    pub(super) fn report(&mut self, kind: FactKind, at: Timestamp) {
        let reason = self.status.reason.clone();
        let until = self.status.expires_at.as_ref().map(|time| time.0);
        self.plan.facts.push(KeyFact { kind, at, reason, until });
    }

    /// Reports a rejection once.
    pub(super) fn report_rejection(&mut self) {
        let is_known = find(&self.status.conditions, READY).is_some_and(|ready| ready.reason == "Rejected");
        if !is_known {
            let at = self.status.reviewed_at.as_ref().map_or(self.seen.now, |time| time.0);
            self.report(FactKind::Rejected, at);
        }
    }

    pub(super) fn step(&mut self, step: SecretStep) {
        self.plan.steps.push(step);
    }

    pub(super) fn delete(&mut self, which: WhichSecret, uid: Option<String>) {
        self.step(SecretStep::Delete { which, uid });
    }

    pub(super) fn again_within(&mut self, time: Duration) {
        self.plan.again = Some(self.plan.again.map_or(time, |known| known.min(time)));
    }

    pub(super) fn again_at(&mut self, at: Timestamp) {
        let left = at.duration_since(self.seen.now);
        // One second more: the clock is in whole seconds.
        self.again_within(Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1));
    }

    /// Deletes both Secrets, and forgets what came with them.
    pub(super) fn withdraw(&mut self) {
        for (which, state) in
            [(WhichSecret::Current, &self.seen.secret), (WhichSecret::Previous, &self.seen.previous)]
        {
            let is_known = match which {
                // Trouble with policies may have taken the reference away from a key that was given.
                WhichSecret::Current => {
                    self.status.secret_ref.is_some() || self.status.approved_snapshot.is_some()
                }
                WhichSecret::Previous => self.status.previous_secret_ref.is_some(),
            };
            match state {
                SecretState::Ours(secret) => self.delete(which, secret.uid()),
                // Without its label it is in no store, and it would still work.
                SecretState::Absent if is_known => self.delete(which, None),
                SecretState::Absent | SecretState::Former(_) | SecretState::Foreign => {}
            }
        }
        self.status.secret_ref = None;
        self.status.previous_secret_ref = None;
        self.status.approved_snapshot = None;
        self.unset(UP_TO_DATE);
        self.unset(EXPIRING_SOON);
        if self.status.phase != Some(KeyPhase::Pending) {
            self.ignore_rotation();
        }
    }

    /// A key that does not work cannot be rotated.
    pub(super) fn ignore_rotation(&mut self) {
        let request = self.rotate_request();
        if request.is_some() && request != self.status.observed_rotate_request {
            let note = "only an approved key can be rotated: the request is ignored".to_owned();
            self.tell(true, "RotationIgnored", note);
            self.status.observed_rotate_request = request;
        }
    }

    /// Ends the life of a key.
    pub(super) fn expire(&mut self, at: Timestamp) {
        self.withdraw();
        self.status.phase = Some(KeyPhase::Expired);
        self.status.expires_at = Some(Time(at));
        self.report(FactKind::Expired, at);
        self.fails("KeyExpired", format!("API key expired at {at}"));
    }

    pub(super) fn finish(self) -> KeyPlan {
        KeyPlan { status: self.status, ..self.plan }
    }
}

/// A hash of what is approved.
pub(super) fn snapshot(key: &APIKey, product_uid: &str) -> String {
    let spec = &key.spec;
    let user = &spec.requested_by.user_id;
    let parts = serde_json::json!([product_uid, spec.api_product_ref.name, spec.plan_tier, user]);
    sha256_hex(parts.to_string().as_bytes())
}

/// Returns `true` if an owner is a product.
pub(super) fn is_product(owner: &OwnerReference) -> bool {
    owner.kind == APIProduct::kind(&()) && owner.api_version == APIProduct::api_version(&())
}

/// Returns `true` if a product is not being deleted.
fn is_alive(product: &APIProduct) -> bool {
    product.metadata.deletion_timestamp.is_none()
}
