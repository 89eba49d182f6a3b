//! From a request to a key: approval, the Secret, and the rights of the requester.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Secret,
    rbac::v1::Role,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::devportal::{APIKey, APIProduct, KeyPhase};
use portolan_testkit::{
    eventually,
    toystore::{self, target, write},
    watch_until_gone,
};
use serde_json::json;

use crate::scene::{SOON, Stage, decide, key_condition, request, said, value_of};

/// Returns `true` once a person may read a Secret, or may not.
pub async fn may_read(client: &Client, namespace: &str, secret: Option<&str>) -> bool {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some("get".to_owned()),
        resource: Some("secrets".to_owned()),
        name: secret.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let reviewed = api.create(&PostParams::default(), &review).await.unwrap();
    reviewed.status.is_some_and(|status| status.allowed)
}

#[tokio::test]
async fn an_approval_makes_a_key_that_its_requester_can_read() {
    let stage = Stage::shared().await;
    let place = stage.toystore("manual").await;
    place.product("my-api-product", None).await;
    place.ready("my-api-product").await;
    place.ask("k1", "my-api-product", "user:default/alice").await;
    let pending = place.key_says("k1", "NotApproved").await;
    let status = pending.status.clone().unwrap();
    assert_eq!(
        (status.phase, status.secret_ref, status.product_owner.as_deref()),
        (Some(KeyPhase::Pending), None, Some("owner"))
    );
    assert_eq!(key_condition(&pending, "Ready").unwrap().message, "Request awaiting manual approval");
    assert!(pending.owner_references().iter().any(|owner| owner.kind == "APIProduct"));
    assert!(place.secret("k1").await.is_none());

    place.decide("k1", "Approved", Some("welcome")).await.unwrap();
    let approved = place.key_says("k1", "SecretCreated").await;
    let status = approved.status.clone().unwrap();
    assert_eq!(
        (status.phase, status.reviewed_by.as_deref(), status.reason.as_deref()),
        (Some(KeyPhase::Approved), Some("owner"), Some("welcome"))
    );
    let reference = status.secret_ref.unwrap();
    assert_eq!((reference.name.as_str(), reference.key.as_str()), ("k1-apikey-secret", "api_key"));
    assert_eq!(
        (status.limits.unwrap().daily, status.api_hostname.as_deref()),
        (Some(100), Some("api.toystore.com"))
    );
    let scheme = status.auth_scheme.unwrap();
    assert_eq!(scheme.credentials, json!({"authorizationHeader": {"prefix": "APIKEY"}}));

    let secret = place.secret("k1").await.unwrap();
    let value = value_of(&secret).unwrap();
    assert!(value.starts_with("ptlk_") && value.len() == 54);
    assert_eq!((secret.type_.as_deref(), secret.data.as_ref().unwrap().len()), (Some("Opaque"), 1));
    let labels = secret.labels();
    assert_eq!(labels["app"], "my-api-product");
    assert_eq!(labels["authorino.kuadrant.io/managed-by"], "authorino");
    assert_eq!(secret.annotations()["secret.kuadrant.io/plan-id"], "gold");
    assert_eq!(secret.annotations()["secret.kuadrant.io/user-id"], "user:default/alice");
    let owner = &secret.owner_references()[0];
    assert_eq!(
        (owner.api_version.as_str(), owner.kind.as_str(), owner.name.as_str()),
        ("devportal.kuadrant.io/v1alpha1", "APIKey", "k1")
    );
    assert_eq!(Some(&owner.uid), approved.metadata.uid.as_ref());

    let (alice, bob) = (stage.person("user:default/alice").await, stage.person("bob").await);
    let look = async || may_read(&alice, "manual", Some("k1-apikey-secret")).await.then_some(());
    eventually("alice reads her key", SOON, look).await.unwrap();
    assert!(!may_read(&alice, "manual", None).await && !may_read(&alice, "manual", Some("other")).await);
    assert!(!may_read(&bob, "manual", Some("k1-apikey-secret")).await);
    assert!(!may_read(&stage.person("owner").await, "manual", Some("k1-apikey-secret")).await);
    let read: Api<Secret> = Api::namespaced(alice, "manual");
    assert_eq!(value_of(&read.get("k1-apikey-secret").await.unwrap()).unwrap(), value);
    // Nothing but the Secret has the value.
    let keys =
        serde_json::to_string(&place.api::<APIKey>().list(&ListParams::default()).await.unwrap()).unwrap();
    assert!(!keys.contains(&value) && !stage.service.log_tail(10_000).contains(&value));
}

#[tokio::test]
async fn automatic_products_need_nobody() {
    let stage = Stage::shared().await;
    let place = stage.toystore("automatic").await;
    // In any order: the request may be there before its product.
    place.ask("early", "p", "carol").await;
    place.key_says("early", "APIProductNotFound").await;
    place.product("p", Some("automatic")).await;
    let key = place.key_says("early", "SecretCreated").await;
    let status = key.status.unwrap();
    assert_eq!((status.phase, status.reviewed_by.as_deref()), (Some(KeyPhase::Approved), Some("system")));
    place.ask("late", "p", "carol").await;
    place.key_says("late", "SecretCreated").await;
    assert_ne!(place.value("early").await, place.value("late").await);
    // A product that becomes automatic approves what waits.
    place.product("slow", None).await;
    place.ask("waits", "slow", "carol").await;
    place.key_says("waits", "NotApproved").await;
    let mode = json!({"spec": {"approvalMode": "automatic"}});
    place.api::<APIProduct>().patch("slow", &PatchParams::default(), &Patch::Merge(mode)).await.unwrap();
    place.key_says("waits", "SecretCreated").await;
}

#[tokio::test]
async fn what_cannot_be_given_says_why_and_heals() {
    let stage = Stage::shared().await;
    let place = stage.toystore("heals").await;
    place.product("p", Some("automatic")).await;
    place.ready("p").await;
    let mut unknown = request("p", "alice");
    unknown["planTier"] = "platinum".into();
    place.create_key("k1", unknown).await.unwrap();
    let key = place.key_says("k1", "PlanTierNotFound").await;
    assert_eq!(
        key_condition(&key, "Ready").unwrap().message,
        "Plan tier \"platinum\" not found in APIProduct p"
    );
    // The name of a route is not that of a product.
    place.create_key("k2", request("toystore", "alice")).await.unwrap();
    place.key_says("k2", "APIProductNotFound").await;
    place.told("k2", "APIProductNotFound").await;
    let plan = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": [{"tier": "platinum"}]});
    write(&stage.client(), "PlanPolicy", ("heals", "toystore-plans"), &plan, &json!({})).await.unwrap();
    place.key_says("k1", "SecretCreated").await;
    toystore::authentication(&stage.client(), "heals", &json!({"users": {"jwt": {}}})).await.unwrap();
    place.product_when("p", |product| said(product, "KeySelectorUsable").is_none()).await;
    let mut known = request("p", "alice");
    known["planTier"] = "platinum".into();
    place.create_key("k3", known).await.unwrap();
    place.key_says("k3", "APIKeyAuthSchemeNotFound").await;
    assert_eq!(
        place.key_when("k1", |key| key_condition(key, "UpToDate").is_some()).await.phase(),
        KeyPhase::Approved
    );
    place.api::<APIKey>().delete("k3", &DeleteParams::default()).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "k3", SOON).await.unwrap();
}

#[tokio::test]
async fn rights_that_somebody_has_spoilt_are_put_right() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rights").await;
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "SecretCreated").await;
    let alice = stage.person("alice").await;
    let reads = async || may_read(&alice, "rights", Some("k1-apikey-secret")).await.then_some(());
    eventually("alice reads her key", SOON, reads).await.unwrap();
    let roles = place.api::<Role>();
    let role = roles.list(&ListParams::default()).await.unwrap().items[0].name_any();
    // Without its label, no watch shows it.
    let spoilt = json!({"metadata": {"labels": {"devportal.kuadrant.io/requester": null}}, "rules": []});
    roles.patch(&role, &PatchParams::default(), &Patch::Merge(spoilt)).await.unwrap();
    let put_right = async || {
        let role = roles.get(&role).await?;
        let is_labelled = role.labels().contains_key("devportal.kuadrant.io/requester");
        let names = role.rules.into_iter().flatten().filter_map(|rule| rule.resource_names).flatten();
        let is_right = is_labelled && names.eq(["k1-apikey-secret"]);
        Ok::<_, kube::Error>(is_right.then_some(()))
    };
    eventually("the Role is as it was", SOON, put_right).await.unwrap();
}

#[tokio::test]
async fn of_approve_and_reject_at_once_one_wins_and_the_other_is_told() {
    let stage = Stage::shared().await;
    let place = stage.toystore("race").await;
    place.product("p", None).await;
    place.ask("k1", "p", "alice").await;
    let seen = place.key_says("k1", "NotApproved").await;
    let owner = stage.person("owner").await;
    let (approve, reject) = tokio::join!(
        decide(owner.clone(), "race", &seen, "owner", "Approved", None),
        decide(owner.clone(), "race", &seen, "owner", "Rejected", None),
    );
    let codes: BTreeSet<_> = [approve, reject]
        .into_iter()
        .map(|result| match result {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(codes, BTreeSet::from([200, 409]));
}

#[tokio::test]
async fn of_many_requests_no_more_than_allowed_are_granted() {
    let stage = Stage::shared().await;
    let place = stage.toystore("limits").await;
    place.product("p", Some("automatic")).await;
    let annotation = json!({"metadata": {"annotations": {"devportal.kuadrant.io/max-keys-per-user": "2"}}});
    place.api::<APIProduct>().patch("p", &PatchParams::default(), &Patch::Merge(annotation)).await.unwrap();
    place.ready("p").await;
    let names = ["k0", "k1", "k2", "k3"];
    let asked = names.map(|name| place.ask(name, "p", "alice"));
    for ask in asked {
        ask.await;
    }
    place.ask("other", "p", "bob").await;
    place.key_says("other", "SecretCreated").await;
    let settled = async || {
        let mut reasons = Vec::new();
        for name in names {
            let key = place.api::<APIKey>().get(name).await?;
            reasons.push(key_condition(&key, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default());
        }
        let count = |reason: &str| reasons.iter().filter(|known| *known == reason).count();
        Ok::<_, kube::Error>((count("SecretCreated") == 2 && count("TooManyKeys") == 2).then_some(()))
    };
    eventually("two of four are granted", SOON, settled).await.unwrap();
    place.api::<APIKey>().delete("k0", &DeleteParams::default()).await.unwrap();
    place.key_says("k2", "SecretCreated").await;
    place.key_says("k3", "TooManyKeys").await;
}
