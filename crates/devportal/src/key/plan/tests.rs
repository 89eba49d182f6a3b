//! Tables over the plan of a key: the state machine, its Secrets, expiry, limits and rotation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_core::{
    api::devportal::{ANNOTATION_ROTATE, ANNOTATION_ROTATE_OVERLAP, APIKey, APIProduct},
    standard_condition::find,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    key::state::{SecretState, SecretStep, WhichSecret},
    news::FactKind,
};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn product(mode: &str) -> APIProduct {
    let method = json!({"apiKey": {"selector": {"matchLabels": {"app": "toystore"}}, "allNamespaces": true}, "credentials": {"authorizationHeader": {"prefix": "APIKEY"}}});
    serde_json::from_value(json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
        "metadata": {"name": "p", "namespace": "toystore", "uid": "product", "annotations": {"backstage.io/owner": "owner"}},
        "spec": {"displayName": "P", "approvalMode": mode, "targetRef": {"group": "g", "kind": "k", "name": "n"}},
        "status": {"discoveredPlans": [{"tier": "gold", "limits": {"daily": 100}}], "discoveredAuthScheme": {"authentication": {"keys": method}}, "apiHostname": "h"},
    }))
    .unwrap()
}

fn key(status: &Value) -> APIKey {
    serde_json::from_value(json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey",
        "metadata": {"name": "k1", "namespace": "toystore", "uid": "key", "generation": 1,
            "ownerReferences": [{"apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct", "name": "p", "uid": "product"}]},
        "spec": {"apiProductRef": {"name": "p"}, "planTier": "gold", "requestedBy": {"userId": "alice", "email": "a@example.com"}},
        "status": status,
    }))
    .unwrap()
}

fn secret(name: &str, annotations: &Value) -> SecretState {
    let labels = json!({"app": "toystore", "authorino.kuadrant.io/managed-by": "authorino", "devportal.kuadrant.io/apiproduct": "p"});
    let mut all = json!({"secret.kuadrant.io/plan-id": "gold", "secret.kuadrant.io/user-id": "alice", "devportal.kuadrant.io/apikey-uid": "key",
        "devportal.kuadrant.io/labels": "app,authorino.kuadrant.io/managed-by,devportal.kuadrant.io/apiproduct"});
    all.as_object_mut().unwrap().extend(annotations.as_object().unwrap().clone());
    let owner =
        json!({"apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey", "name": "k1", "uid": "key"});
    let metadata = json!({"name": name, "namespace": "toystore", "uid": format!("uid-{name}"), "labels": labels, "annotations": all, "ownerReferences": [owner]});
    SecretState::Ours(Arc::new(serde_json::from_value(json!({"metadata": metadata})).unwrap()))
}

fn seen(mode: &str, key: APIKey) -> ObservedKey {
    ObservedKey {
        key: Arc::new(key),
        product: Some(Arc::new(product(mode))),
        is_orphan: false,
        secret: SecretState::Absent,
        previous: SecretState::Absent,
        ahead: 0,
        max_keys: 10,
        overlap: Duration::from_secs(3600),
        now: at(NOW),
    }
}

/// A key that works, with its Secret.
fn granted() -> ObservedKey {
    let first = plan(&seen("automatic", key(&Value::Null)));
    let mut with = seen("automatic", key(&json!(first.status)));
    with.secret = secret("k1-apikey-secret", &json!({}));
    with
}

#[test]
fn requests_wait_for_a_product_that_nobody_has_looked_at() {
    let looked_at = json!({"observedGeneration": 1});
    let approved = json!({"phase": "Approved"});
    let works = json!({"phase": "Approved", "approvedSnapshot": "s"});
    for (status_of_product, status, waits) in [
        (Value::Null, Value::Null, true),
        (json!({"apiHostname": "h"}), Value::Null, true),
        (Value::Null, approved, true),
        (looked_at, Value::Null, false),
        (Value::Null, works, false),
        (Value::Null, json!({"phase": "Rejected"}), false),
    ] {
        let mut seen = seen("manual", key(&status));
        let product = Arc::make_mut(seen.product.as_mut().unwrap());
        product.status = serde_json::from_value(status_of_product.clone()).unwrap();
        assert_eq!(awaits_product(&seen), waits, "{status_of_product} {status}");
        product_goes(&mut seen);
        assert!(!awaits_product(&seen), "a product that goes is not waited for");
        seen.product = None;
        assert!(!awaits_product(&seen), "nor one that is missing");
    }
}

fn product_goes(seen: &mut ObservedKey) {
    let product = Arc::make_mut(seen.product.as_mut().unwrap());
    product.metadata.deletion_timestamp = Some(Time(at(NOW)));
}

fn changed(mut seen: ObservedKey, change: impl FnOnce(&mut APIKey)) -> ObservedKey {
    change(Arc::make_mut(&mut seen.key));
    seen
}

fn ready(plan: &KeyPlan) -> &str {
    &find(&plan.status.conditions, "Ready").unwrap().reason
}

fn deleted(plan: &KeyPlan) -> Vec<WhichSecret> {
    let steps = plan.steps.iter().filter_map(|step| match step {
        SecretStep::Delete { which, .. } => Some(*which),
        _ => None,
    });
    steps.collect()
}

fn facts(plan: &KeyPlan) -> Vec<FactKind> {
    plan.facts.iter().map(|fact| fact.kind).collect()
}

#[test]
fn a_request_is_judged_by_what_is_known_of_its_product() {
    type KeyChange = fn(&mut ObservedKey);
    let table: [(&str, KeyChange, &str, KeyPhase); 12] = [
        ("manual", |_| {}, "NotApproved", KeyPhase::Pending),
        ("automatic", |_| {}, "SecretCreated", KeyPhase::Approved),
        ("automatic", |seen| seen.product = None, "APIProductNotFound", KeyPhase::Pending),
        (
            "automatic",
            |seen| of(seen).metadata.deletion_timestamp = Some(Time(at(1))),
            "APIProductDeleting",
            KeyPhase::Pending,
        ),
        (
            "automatic",
            |seen| of(seen).status.as_mut().unwrap().discovered_plans.clear(),
            "PlanTierNotFound",
            KeyPhase::Pending,
        ),
        ("automatic", |seen| of(seen).status = None, "PlanTierNotFound", KeyPhase::Pending),
        (
            "automatic",
            |seen| of(seen).status.as_mut().unwrap().discovered_auth_scheme = None,
            "AuthSchemeNotFound",
            KeyPhase::Pending,
        ),
        (
            "automatic",
            |seen| {
                of(seen).status.as_mut().unwrap().discovered_auth_scheme =
                    Some(portolan_core::api::devportal::DiscoveredAuthScheme::default());
            },
            "APIKeyAuthSchemeNotFound",
            KeyPhase::Pending,
        ),
        ("automatic", |seen| seen.ahead = 10, "TooManyKeys", KeyPhase::Pending),
        ("manual", |seen| seen.ahead = 10, "TooManyKeys", KeyPhase::Pending),
        (
            "automatic",
            |seen| Arc::make_mut(&mut seen.key).spec.expires_at = Some(Time(at(NOW))),
            "KeyExpired",
            KeyPhase::Expired,
        ),
        ("automatic", |seen| seen.secret = SecretState::Foreign, "SecretConflict", KeyPhase::Approved),
    ];
    for (mode, change, reason, phase) in table {
        let mut seen = seen(mode, key(&Value::Null));
        change(&mut seen);
        let plan = plan(&seen);
        assert_eq!((ready(&plan), plan.status.phase), (reason, Some(phase)), "{mode}");
        let creates = plan.steps.iter().any(|step| matches!(step, SecretStep::Create(_)));
        assert_eq!(creates, reason == "SecretCreated", "{reason}");
        assert_eq!(plan.status.secret_ref.is_some(), creates, "{reason}");
    }
}

fn of(seen: &mut ObservedKey) -> &mut APIProduct {
    Arc::make_mut(seen.product.as_mut().unwrap())
}

#[test]
fn an_automatic_key_has_everything_at_once() {
    let plan = plan(&seen("automatic", key(&Value::Null)));
    let status = &plan.status;
    assert_eq!(
        (status.reviewed_by.as_deref(), status.product_owner.as_deref()),
        (Some("system"), Some("owner"))
    );
    assert_eq!(status.limits.as_ref().unwrap().daily, Some(100));
    assert_eq!(status.secret_ref.as_ref().unwrap().name, "k1-apikey-secret");
    assert_eq!(
        status.auth_scheme.as_ref().unwrap().credentials.value()["authorizationHeader"]["prefix"],
        "APIKEY"
    );
    let [SecretStep::Create(marks)] = &plan.steps[..] else { panic!("{:?}", plan.steps) };
    assert_eq!(marks.labels["app"], "toystore");
    assert_eq!(marks.annotations["secret.kuadrant.io/plan-id"], "gold");
    assert_eq!(facts(&plan), [FactKind::Requested, FactKind::Approved]);
}

#[test]
fn a_person_s_approval_is_acted_upon_once_it_can_be() {
    let approved = json!({"phase": "Approved", "reviewedBy": "owner", "reviewedAt": at(NOW - 5).to_string(), "productOwner": "owner", "productUID": "product",
        "conditions": [{"type": "Ready", "status": "False", "reason": "NotApproved", "message": "", "lastTransitionTime": at(NOW - 9).to_string()}]});
    let mut waiting = seen("manual", key(&approved));
    of(&mut waiting).status = None;
    let blocked = plan(&waiting);
    assert_eq!((ready(&blocked), blocked.status.phase), ("PlanTierNotFound", Some(KeyPhase::Approved)));
    let granted = plan(&seen("manual", key(&approved)));
    assert_eq!((ready(&granted), granted.status.reviewed_by.as_deref()), ("SecretCreated", Some("owner")));
    assert_eq!(facts(&granted), [FactKind::Approved]);
    let mut crowded = seen("manual", key(&approved));
    crowded.ahead = 10;
    assert_eq!(ready(&plan(&crowded)), "TooManyKeys");
}

/// An approved request that was not granted yet, stamped with a product.
fn decided(product: &Value) -> APIKey {
    key(
        &json!({"phase": "Approved", "reviewedBy": "owner", "reviewedAt": at(NOW - 5).to_string(), "productOwner": "owner", "productUID": product}),
    )
}

#[test]
fn an_approval_counts_for_the_product_that_it_was_about() {
    type KeyChange<'a> = &'a dyn Fn(&mut ObservedKey);
    let no_plans = |seen: &mut ObservedKey| of(seen).status = None;
    let gone = |seen: &mut ObservedKey| seen.product = None;
    let table: [(Value, KeyChange<'_>, &str); 7] = [
        (json!("product"), &|_| {}, "SecretCreated"),
        (json!("product"), &no_plans, "PlanTierNotFound"),
        (json!("product"), &product_goes, "APIProductDeleting"),
        (json!("product"), &gone, "APIProductNotFound"),
        (json!("former"), &|_| {}, "ApprovalOutdated"),
        (json!("former"), &no_plans, "ApprovalOutdated"),
        (Value::Null, &|_| {}, "ApprovalOutdated"),
    ];
    for (stamp, change, reason) in table {
        let mut seen = seen("manual", decided(&stamp));
        change(&mut seen);
        let plan = plan(&seen);
        assert_eq!(ready(&plan), reason, "{stamp}");
        let is_open = plan.status.phase == Some(KeyPhase::Pending);
        assert_eq!(is_open, reason == "ApprovalOutdated", "{stamp} {reason}");
        assert_eq!(plan.status.product_uid.as_deref(), Some("product"), "{stamp} {reason}");
    }
}

#[test]
fn a_request_is_stamped_with_its_product_and_with_nothing_when_there_is_none() {
    let stamp = |seen: &ObservedKey| {
        let status = plan(seen).status;
        (status.product_owner, status.product_uid)
    };
    let known = plan(&seen("manual", key(&Value::Null))).status;
    let both = (Some("owner".to_owned()), Some("product".to_owned()));
    let mut seen = seen("manual", key(&json!(known)));
    assert_eq!(stamp(&seen), both);
    product_goes(&mut seen);
    assert_eq!(stamp(&seen), (None, None));
    seen.product = None;
    assert_eq!(stamp(&seen), (None, None));
    let mut works = granted();
    works.product = None;
    assert_eq!(stamp(&works), both, "a key that works can still be revoked");
}

#[test]
fn nothing_is_written_when_nothing_has_changed() {
    let seen = granted();
    let again = plan(&seen);
    assert_eq!(Some(&again.status), seen.key.status.as_ref());
    assert!(
        again.steps.is_empty() && again.told.is_empty() && again.facts.is_empty() && again.adopt.is_none()
    );
}

#[test]
fn trouble_with_policies_never_takes_a_key_away() {
    type KeyChange = fn(&mut ObservedKey);
    let table: [(KeyChange, &str); 4] = [
        (|seen| seen.product = None, "APIProductNotFound"),
        (|seen| of(seen).status = None, "PlanTierNotFound"),
        (
            |seen| of(seen).status.as_mut().unwrap().discovered_plans[0].tier = "silver".to_owned(),
            "PlanTierNotFound",
        ),
        (|seen| of(seen).status.as_mut().unwrap().discovered_auth_scheme = None, "AuthSchemeNotFound"),
    ];
    for (change, reason) in table {
        let mut seen = granted();
        change(&mut seen);
        let plan = plan(&seen);
        assert_eq!((ready(&plan), plan.steps.len()), ("SecretCreated", 0), "{reason}");
        assert_eq!(find(&plan.status.conditions, "UpToDate").unwrap().reason, reason);
        assert_eq!(plan.told.len(), 1);
    }
}

#[test]
fn rejection_and_expiry_leave_no_secret() {
    let both = |mut seen: ObservedKey| {
        seen.previous = secret("k1-apikey-secret-previous", &json!({}));
        seen
    };
    let rejected =
        both(changed(granted(), |key| key.status.as_mut().unwrap().phase = Some(KeyPhase::Rejected)));
    let end = plan(&rejected);
    assert_eq!((ready(&end), deleted(&end)), ("Rejected", vec![WhichSecret::Current, WhichSecret::Previous]));
    assert_eq!((&end.status.secret_ref, &end.status.previous_secret_ref), (&None, &None));
    assert_eq!(facts(&end), [FactKind::Rejected]);
    let expired = both(changed(granted(), |key| key.spec.expires_at = Some(Time(at(NOW)))));
    let end = plan(&expired);
    assert_eq!(
        (ready(&end), deleted(&end)),
        ("KeyExpired", vec![WhichSecret::Current, WhichSecret::Previous])
    );
    assert_eq!(end.status.phase, Some(KeyPhase::Expired));
    // A Secret that has lost its label is in no store, and is deleted by its name.
    let mut hidden = rejected;
    (hidden.secret, hidden.previous) = (SecretState::Absent, SecretState::Absent);
    assert_eq!(deleted(&plan(&hidden)), [WhichSecret::Current]);
}

#[test]
fn a_key_that_is_being_deleted_leaves_no_secret_whatever_its_phase() {
    for phase in [KeyPhase::Approved, KeyPhase::Rejected, KeyPhase::Expired, KeyPhase::Pending] {
        let mut going = changed(granted(), |key| key.status.as_mut().unwrap().phase = Some(phase));
        let which = |seen: &ObservedKey| {
            let steps = farewell(seen).into_iter().map(|step| match step {
                SecretStep::Delete { which, uid } => (which, uid.is_some()),
                other => panic!("{other:?}"),
            });
            steps.collect::<Vec<_>>()
        };
        assert_eq!(which(&going), [(WhichSecret::Current, true)], "{phase:?}");
        going.previous = secret("k1-apikey-secret-previous", &json!({}));
        assert_eq!(which(&going), [(WhichSecret::Current, true), (WhichSecret::Previous, true)], "{phase:?}");
        going.secret = SecretState::Absent;
        assert_eq!(
            which(&going),
            [(WhichSecret::Current, false), (WhichSecret::Previous, true)],
            "{phase:?}"
        );
    }
}

#[test]
fn a_pending_key_has_no_secret_whatever_happened() {
    for (mode, reason) in [("manual", "NotApproved"), ("automatic", "AwaitingSecret")] {
        let mut left = seen(mode, key(&Value::Null));
        left.secret = secret("k1-apikey-secret", &json!({}));
        let plan = plan(&left);
        assert_eq!((deleted(&plan), ready(&plan)), (vec![WhichSecret::Current], reason));
        assert_eq!((plan.status.phase, plan.status.secret_ref), (Some(KeyPhase::Pending), None), "{mode}");
    }
    // Nor that of a former key of its name.
    let mut after = seen("manual", key(&Value::Null));
    let SecretState::Ours(former) = secret("k1-apikey-secret", &json!({})) else { panic!("ours") };
    after.secret = SecretState::Former(former);
    assert_eq!(deleted(&plan(&after)), [WhichSecret::Current]);
    // Trouble with a policy has hidden the Secret of this one, and it lost its label.
    let mut hidden = changed(granted(), |key| {
        let status = key.status.as_mut().unwrap();
        (status.phase, status.secret_ref) = (Some(KeyPhase::Rejected), None);
    });
    hidden.secret = SecretState::Absent;
    assert_eq!(deleted(&plan(&hidden)), [WhichSecret::Current]);
}

#[test]
fn a_request_shows_what_it_asks_for_now_and_a_key_what_it_has() {
    let shown = |seen: &ObservedKey| {
        let status = plan(seen).status;
        (status.limits.is_some(), status.api_hostname.is_some(), status.auth_scheme.is_some())
    };
    let known = plan(&seen("manual", key(&Value::Null))).status;
    let mut request = seen("manual", key(&json!(known)));
    assert_eq!(shown(&request), (true, true, true));
    Arc::make_mut(&mut request.key).spec.plan_tier = "platinum".to_owned();
    assert_eq!(shown(&request), (false, true, true));
    request.product = None;
    assert_eq!(shown(&request), (false, false, false));
    let mut works = granted();
    works.product = None;
    assert_eq!(shown(&works), (true, true, true));
}

#[test]
fn an_end_has_whole_seconds_and_is_announced_once() {
    let soon = Timestamp::new(NOW + 3600, 500_000_000).unwrap();
    for mode in ["manual", "automatic"] {
        let mut seen = changed(seen(mode, key(&Value::Null)), |key| key.spec.expires_at = Some(Time(soon)));
        let first = plan(&seen);
        assert_eq!(first.status.expires_at.as_ref().unwrap().0, at(NOW + 3600), "{mode}");
        // As the API server gives it back.
        Arc::make_mut(&mut seen.key).status = Some(serde_json::from_value(json!(first.status)).unwrap());
        if mode == "automatic" {
            seen.secret = secret("k1-apikey-secret", &json!({}));
        }
        let again = plan(&seen);
        assert_eq!((Some(&again.status), again.told.len()), (seen.key.status.as_ref(), 0), "{mode}");
        let expiring = first.facts.iter().find(|fact| fact.kind == FactKind::Expiring);
        assert!(expiring.is_none_or(|fact| fact.at <= at(NOW)), "{mode}: it has happened");
        assert!(expiring.is_none_or(|fact| fact.until == Some(at(NOW + 3600))), "{mode}");
    }
}

#[test]
fn an_approval_is_for_what_was_approved() {
    type KeyChange = fn(&mut ObservedKey);
    let table: [KeyChange; 3] = [
        |seen| of(seen).metadata.uid = Some("another".to_owned()),
        |seen| Arc::make_mut(&mut seen.key).spec.plan_tier = "platinum".to_owned(),
        |seen| Arc::make_mut(&mut seen.key).spec.requested_by.user_id = "mallory".to_owned(),
    ];
    for change in table {
        let mut seen = granted();
        change(&mut seen);
        let plan = plan(&seen);
        assert_eq!((ready(&plan), plan.status.phase), ("ApprovalOutdated", Some(KeyPhase::Pending)));
        assert_eq!((deleted(&plan), &plan.status.reviewed_by), (vec![WhichSecret::Current], &None));
    }
}

#[test]
fn a_key_whose_product_is_provably_gone_has_no_secret() {
    let mut seen = granted();
    seen.previous = secret("k1-apikey-secret-previous", &json!({}));
    (seen.product, seen.is_orphan) = (None, true);
    let ended = plan(&seen);
    assert_eq!(
        (ready(&ended), deleted(&ended)),
        ("APIProductNotFound", vec![WhichSecret::Current, WhichSecret::Previous])
    );
    assert_eq!((&ended.status.secret_ref, &ended.status.approved_snapshot), (&None, &None));
    assert_eq!(ended.told.len(), 1);
    let after = changed(seen, |key| key.status = Some(ended.status));
    let after =
        ObservedKey { secret: SecretState::Absent, previous: SecretState::Absent, is_orphan: false, ..after };
    let again = plan(&after);
    assert_eq!((Some(&again.status), again.steps.len()), (after.key.status.as_ref(), 0));
    // Another product of that name is another product.
    let mut another = ObservedKey { product: Some(Arc::new(product("manual"))), ..after };
    of(&mut another).metadata.uid = Some("another".to_owned());
    assert_eq!(ready(&plan(&another)), "ApprovalOutdated");
}

#[test]
fn a_key_has_one_product_as_its_owner() {
    let owner = |kind: &str, uid: &str| json!({"apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": kind, "name": uid, "uid": uid});
    let (ours, former, other) =
        (owner("APIProduct", "product"), owner("APIProduct", "former"), owner("ConfigMap", "c"));
    for (owners, adopts) in [
        (json!([ours]), false),
        (json!([other, ours]), false),
        (json!([]), true),
        (json!([other]), true),
        (json!([former]), true),
        (json!([ours, former]), true),
    ] {
        let seen = changed(seen("manual", key(&Value::Null)), |key| {
            key.metadata.owner_references = serde_json::from_value(owners.clone()).unwrap();
        });
        assert_eq!(plan(&seen).adopt.is_some(), adopts, "{owners}");
    }
}

#[test]
fn a_secret_that_is_gone_comes_again_and_one_that_is_not_ours_is_left_alone() {
    let mut gone = granted();
    gone.secret = SecretState::Absent;
    let again = plan(&gone);
    assert_eq!((ready(&again), again.told[0].reason), ("SecretRecreated", "SecretRecreated"));
    let mut foreign = granted();
    foreign.secret = SecretState::Foreign;
    let blocked = plan(&foreign);
    assert_eq!(
        (ready(&blocked), blocked.steps.len(), &blocked.status.secret_ref),
        ("SecretConflict", 0, &None)
    );
    let mut former = granted();
    let SecretState::Ours(secret) = former.secret else { panic!("ours") };
    former.secret = SecretState::Former(secret);
    let waiting = plan(&former);
    assert_eq!((ready(&waiting), deleted(&waiting)), ("AwaitingSecret", vec![WhichSecret::Current]));
}

#[test]
fn labels_follow_the_selector_on_both_secrets() {
    let mut seen = granted();
    seen.previous = secret("k1-apikey-secret-previous", &json!({}));
    let selector = json!({"matchLabels": {"role": "admin"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]});
    let scheme = of(&mut seen).status.as_mut().unwrap().discovered_auth_scheme.as_mut().unwrap();
    scheme.authentication.get_mut("keys").unwrap()["apiKey"]["selector"] = selector;
    Arc::make_mut(&mut seen.key).status.as_mut().unwrap().previous_secret_ref =
        serde_json::from_value(json!({"name": "n", "key": "k", "expiresAt": at(NOW + 9).to_string()}))
            .unwrap();
    let plan = plan(&seen);
    let marked = plan.steps.iter().filter_map(|step| match step {
        SecretStep::Mark { which, labels, .. } => Some((*which, labels.clone())),
        _ => None,
    });
    let labels: BTreeMap<_, _> =
        [("app".to_owned(), None), ("role".to_owned(), Some("admin".to_owned()))].into();
    assert_eq!(
        marked.collect::<Vec<_>>(),
        [(WhichSecret::Current, labels.clone()), (WhichSecret::Previous, labels)]
    );
}

#[test]
fn a_secret_that_has_lost_its_owner_gets_it_back() {
    let mut seen = granted();
    let SecretState::Ours(secret) = &mut seen.secret else { panic!("ours") };
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"});
    Arc::make_mut(secret).metadata.owner_references = serde_json::from_value(json!([other])).unwrap();
    let plan = plan(&seen);
    let [SecretStep::Mark { owners: Some(owners), labels, annotations, .. }] = &plan.steps[..] else {
        panic!("{:?}", plan.steps)
    };
    let uids = owners.as_array().unwrap().iter().map(|owner| owner["uid"].as_str().unwrap());
    assert_eq!(uids.collect::<Vec<_>>(), ["c", "key"]);
    assert!(labels.is_empty() && annotations.is_empty());
}

fn capped(mut seen: ObservedKey, span: &str) -> ObservedKey {
    let annotations = of(&mut seen).metadata.annotations.get_or_insert_default();
    annotations.insert("devportal.kuadrant.io/max-lifetime".to_owned(), span.to_owned());
    seen
}

#[test]
fn the_end_of_a_key_only_comes_earlier() {
    let until = |seen: &ObservedKey| plan(seen).status.expires_at.map(|time| time.0.as_second() - NOW);
    let wanted = |seen: ObservedKey, days: i64| {
        changed(seen, |key| key.spec.expires_at = Some(Time(at(NOW + days * DAY))))
    };
    assert_eq!(until(&granted()), None);
    assert_eq!(until(&wanted(seen("automatic", key(&Value::Null)), 90)), Some(90 * DAY));
    assert_eq!(until(&capped(wanted(seen("automatic", key(&Value::Null)), 90), "30d")), Some(30 * DAY));
    assert_eq!(until(&capped(granted(), "30d")), Some(30 * DAY), "the owner may cap keys that exist");
    for (span, days) in
        [("0", None), ("0d", None), ("90 days", None), ("10s", Some(1)), ("12h", Some(1)), ("2d", Some(2))]
    {
        let end = until(&capped(granted(), span));
        assert_eq!(end, days.map(|days| days * DAY), "{span}: keys that exist have a day at least");
    }
    let mut later = capped(granted(), "10s");
    for hour in 0..24 {
        later.now = at(NOW + hour * 3600);
        let plan = plan(&later);
        assert_eq!(plan.status.expires_at.as_ref().unwrap().0, at(NOW + DAY), "the day is not put off");
        Arc::make_mut(&mut later.key).status = Some(plan.status);
    }
    later.now = at(NOW + DAY);
    assert_eq!(ready(&plan(&later)), "KeyExpired");
    let fixed = wanted(granted(), 20);
    let status = plan(&fixed).status;
    let later = changed(wanted(fixed, 40), |key| key.status = Some(status));
    assert_eq!(until(&later), Some(20 * DAY));
}

#[test]
fn a_life_counts_from_the_decision_and_not_from_what_was_written_into_it() {
    let year = 365 * DAY;
    for (said, kept, since) in [
        (-5, -5, -5),
        (-299, -299, -299),
        (-301, 0, 0),
        (-9 * year, 0, 0),
        (299, 299, 0),
        (301, 0, 0),
        (9 * year, 0, 0),
    ] {
        let mut key = decided(&json!("product"));
        key.status.as_mut().unwrap().reviewed_at = Some(Time(at(NOW + said)));
        let mut seen = capped(seen("manual", key), "30d");
        let given = plan(&seen);
        assert_eq!(ready(&given), "SecretCreated", "{said}");
        let times = |plan: &KeyPlan| {
            let status = plan.status.clone();
            (status.reviewed_at.unwrap().0.as_second() - NOW, status.expires_at.unwrap().0.as_second() - NOW)
        };
        assert_eq!(times(&given), (kept, since + 30 * DAY), "{said}");
        Arc::make_mut(&mut seen.key).status = Some(given.status);
        seen.secret = secret("k1-apikey-secret", &json!({}));
        assert_eq!(times(&plan(&seen)), (kept, since + 30 * DAY), "{said}, afterwards");
    }
}

#[test]
fn the_end_is_announced_a_week_and_a_day_before_and_never_twice() {
    let mut seen = changed(granted(), |key| key.spec.expires_at = Some(Time(at(NOW + 10 * DAY))));
    let mut told = Vec::new();
    for hour in 0..10 * 24 {
        seen.now = at(NOW + hour * 3600);
        let plan = plan(&seen);
        told.extend(plan.told.iter().map(|told| (hour, told.reason)));
        assert!(plan.again.is_some_and(|again| again <= Duration::from_hours(6 * 24 + 1)));
        Arc::make_mut(&mut seen.key).status = Some(plan.status);
    }
    assert_eq!(told, [(3 * 24, "ExpiringSoon"), (9 * 24, "ExpiringSoon")]);
}

fn asked(seen: ObservedKey, request: &str) -> ObservedKey {
    changed(seen, |key| {
        key.metadata
            .annotations
            .get_or_insert_default()
            .insert(ANNOTATION_ROTATE.to_owned(), request.to_owned());
    })
}

#[test]
fn a_rotation_goes_on_wherever_it_was_interrupted() {
    let done = json!({"devportal.kuadrant.io/rotated-for": "r1"});
    let begun = || secret("k1-apikey-secret-previous", &done);
    let older = || secret("k1-apikey-secret-previous", &json!({"devportal.kuadrant.io/rotated-for": "r0"}));
    let renewed = || secret("k1-apikey-secret", &done);
    let usual = || secret("k1-apikey-secret", &json!({}));
    let table: [(SecretState, SecretState, &[&str]); 4] = [
        (usual(), SecretState::Absent, &["keep", "renew"]),
        (usual(), older(), &["delete", "keep", "renew"]),
        (usual(), begun(), &["renew"]),
        (renewed(), begun(), &[]),
    ];
    for (index, (current, previous, expected)) in table.into_iter().enumerate() {
        let mut seen = asked(granted(), "r1");
        (seen.secret, seen.previous) = (current, previous);
        let plan = plan(&seen);
        let steps = plan.steps.iter().map(|step| match step {
            SecretStep::Delete { .. } => "delete",
            SecretStep::Keep(_) => "keep",
            SecretStep::Renew { .. } => "renew",
            SecretStep::Create(_) | SecretStep::Mark { .. } => "other",
        });
        assert_eq!(steps.collect::<Vec<_>>(), expected, "row {index}");
        assert_eq!(plan.status.observed_rotate_request.as_deref(), Some("r1"));
        assert_eq!(plan.status.previous_secret_ref.unwrap().expires_at.0, at(NOW + 3600));
    }
}

#[test]
fn rotation_is_for_keys_that_work_and_the_old_value_ends() {
    let rejected = changed(granted(), |key| key.status.as_mut().unwrap().phase = Some(KeyPhase::Rejected));
    let ignored = plan(&asked(rejected, "r1"));
    assert!(ignored.told.iter().any(|told| told.reason == "RotationIgnored"));
    assert_eq!(ignored.status.observed_rotate_request.as_deref(), Some("r1"));

    let mut waiting = asked(seen("manual", key(&Value::Null)), "r1");
    for expected in [1, 0] {
        let plan = plan(&waiting);
        let told = plan.told.iter().filter(|told| told.reason == "RotationIgnored").count();
        assert_eq!((told, ready(&plan)), (expected, "NotApproved"));
        Arc::make_mut(&mut waiting.key).status = Some(plan.status);
    }

    let now = changed(asked(granted(), "r1"), |key| {
        key.metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert(ANNOTATION_ROTATE_OVERLAP.to_owned(), "0".to_owned());
    });
    let leaked = plan(&now);
    assert_eq!((leaked.steps.len(), &leaked.status.previous_secret_ref), (1, &None));
    let twice = changed(now, |key| {
        key.status.as_mut().unwrap().previous_secret_ref =
            serde_json::from_value(json!({"name": "n", "key": "k", "expiresAt": at(NOW + 9).to_string()}))
                .unwrap();
    });
    assert_eq!(deleted(&plan(&twice)), [WhichSecret::Previous], "also one that no store shows");

    let mut over = granted();
    over.previous = secret("k1-apikey-secret-previous", &json!({}));
    Arc::make_mut(&mut over.key).status.as_mut().unwrap().previous_secret_ref =
        serde_json::from_value(json!({"name": "n", "key": "k", "expiresAt": at(NOW - 1).to_string()}))
            .unwrap();
    let ended = plan(&over);
    assert_eq!((deleted(&ended), &ended.status.previous_secret_ref), (vec![WhichSecret::Previous], &None));
    // The store may not show a Secret that has lost its label.
    over.previous = SecretState::Absent;
    assert_eq!(deleted(&plan(&over)), [WhichSecret::Previous]);
}

#[test]
fn an_old_value_ends_whatever_else_happens() {
    let until = |seen: &mut ObservedKey, end: i64| {
        Arc::make_mut(&mut seen.key).status.as_mut().unwrap().previous_secret_ref =
            serde_json::from_value(json!({"name": "n", "key": "k", "expiresAt": at(end).to_string()}))
                .unwrap();
    };
    // The key cannot be rotated again.
    let mut blocked = asked(granted(), "r1");
    of(&mut blocked).status.as_mut().unwrap().discovered_auth_scheme = None;
    blocked.previous = secret("k1-apikey-secret-previous", &json!({}));
    for (end, expected) in [(NOW - 1, vec![WhichSecret::Previous]), (NOW + 9, vec![])] {
        until(&mut blocked, end);
        let plan = plan(&blocked);
        assert_eq!((deleted(&plan), &plan.status.observed_rotate_request), (expected, &None));
    }
    // The Secret is made anew, and no store shows the former one.
    let mut anew = granted();
    anew.secret = SecretState::Absent;
    until(&mut anew, NOW + 9);
    assert_eq!(deleted(&plan(&anew)), [WhichSecret::Previous]);
}

#[test]
fn a_rotation_that_cannot_be_says_why_and_changes_nothing() {
    type KeyChange = fn(&mut ObservedKey);
    let older = |seen: &mut ObservedKey| {
        seen.previous =
            secret("k1-apikey-secret-previous", &json!({"devportal.kuadrant.io/rotated-for": "r0"}));
        of(seen).status.as_mut().unwrap().discovered_auth_scheme = None;
    };
    let table: [(KeyChange, &str); 3] = [
        (|seen| seen.previous = SecretState::Foreign, "SecretConflict"),
        (|seen| of(seen).status.as_mut().unwrap().discovered_auth_scheme = None, "AuthSchemeNotFound"),
        (older, "AuthSchemeNotFound"),
    ];
    for (change, reason) in table {
        let mut seen = asked(granted(), "r1");
        change(&mut seen);
        let blocked = plan(&seen);
        assert_eq!((blocked.told[0].reason, blocked.steps.len()), (reason, 0));
        let said = find(&blocked.status.conditions, "UpToDate").unwrap();
        assert_eq!((said.reason.as_str(), blocked.status.observed_rotate_request.clone()), (reason, None));
        assert!(said.message.contains("not rotated"), "{}", said.message);
        assert!(blocked.again.is_some() && ready(&blocked) == "SecretCreated");
        Arc::make_mut(&mut seen.key).status = Some(blocked.status.clone());
        let again = plan(&seen);
        assert_eq!((again.status, again.told.len()), (blocked.status, 0), "nobody is told twice");
    }
}
