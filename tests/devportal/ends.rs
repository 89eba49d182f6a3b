//! How keys change and end: rejection, expiry, rotation, and what happens to their Secrets.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::devportal::{APIKey, APIProduct, KeyPhase, previous_secret_name, secret_name};
use portolan_testkit::{
    eventually,
    toystore::{self, api_keys, in_force, not_enforced, plans, target, write},
    watch_until_gone,
};
use serde_json::{Value, json};

use crate::{
    keys::may_read,
    scene::{SOON, Stage, key_condition, request, value_of},
};

#[tokio::test]
async fn a_rejected_key_has_no_secret() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rejected").await;
    place.product("p", None).await;
    place.ask("never", "p", "alice").await;
    place.ask("revoked", "p", "alice").await;
    place.key_says("never", "NotApproved").await;
    place.key_says("revoked", "NotApproved").await;
    place.decide("never", "Rejected", Some("no budget")).await.unwrap();
    let key = place.key_says("never", "Rejected").await;
    assert_eq!(key.status.unwrap().reason.as_deref(), Some("no budget"));
    assert!(place.secret("never").await.is_none());

    place.decide("revoked", "Approved", None).await.unwrap();
    place.key_says("revoked", "SecretCreated").await;
    let alice = stage.person("alice").await;
    let look = async || may_read(&alice, "rejected", Some("revoked-apikey-secret")).await.then_some(());
    eventually("alice reads her key", SOON, look).await.unwrap();
    place.decide("revoked", "Rejected", Some("left the company")).await.unwrap();
    let key = place.key_says("revoked", "Rejected").await;
    assert!(key.status.unwrap().secret_ref.is_none());
    assert!(place.secret("revoked").await.is_none());
    // With her last key goes the Role: one without names would be about every Secret.
    let gone = async || {
        let roles = place.api::<Role>().list(&ListParams::default()).await?.items;
        let bindings = place.api::<RoleBinding>().list(&ListParams::default()).await?.items;
        assert!(
            roles
                .iter()
                .flat_map(|role| role.rules.iter().flatten())
                .all(|rule| rule.resource_names.as_ref().is_some_and(|names| !names.is_empty()))
        );
        assert!(!may_read(&alice, "rejected", Some("other")).await);
        Ok::<_, kube::Error>((roles.is_empty() && bindings.is_empty()).then_some(()))
    };
    eventually("the rights are gone", SOON, gone).await.unwrap();
}

#[tokio::test]
async fn the_apikey_is_the_truth_and_the_secret_follows() {
    let stage = Stage::shared().await;
    let (place, client) = (stage.toystore("truth").await, stage.client());
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    let first = place.value("k1").await;
    place.key_says("k1", "SecretCreated").await;
    place.api::<Secret>().delete("k1-apikey-secret", &DeleteParams::default()).await.unwrap();
    place.key_says("k1", "SecretRecreated").await;
    place.told("k1", "SecretRecreated").await;
    let second = place.value("k1").await;
    assert_ne!(first, second);

    toystore::authentication(&client, "truth", &api_keys(&json!({"app": "toystore", "role": "admin"})))
        .await
        .unwrap();
    let labelled = async || {
        let labels = place.secret("k1").await.map(|secret| secret.labels().clone()).unwrap_or_default();
        (labels.get("role").is_some_and(|role| role == "admin") && labels["app"] == "toystore").then_some(())
    };
    eventually("the labels follow", SOON, labelled).await.unwrap();
    toystore::authentication(&client, "truth", &api_keys(&json!({"app": "toystore"}))).await.unwrap();
    let unlabelled = async || (!place.secret("k1").await?.labels().contains_key("role")).then_some(());
    eventually("the label goes", SOON, unlabelled).await.unwrap();
    // So does the owner, if somebody takes it away.
    let orphaned = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    let secrets = place.api::<Secret>();
    secrets.patch("k1-apikey-secret", &PatchParams::default(), &orphaned).await.unwrap();
    let owned = async || (!place.secret("k1").await?.owner_references().is_empty()).then_some(());
    eventually("the owner comes back", SOON, owned).await.unwrap();
    assert_eq!(place.value("k1").await, second);

    // A selector that no label can match is named, and the Secret stays as it is.
    toystore::authentication(&client, "truth", &api_keys(&json!({"app": "two words"}))).await.unwrap();
    place
        .key_when("k1", |key| {
            key_condition(key, "UpToDate").is_some_and(|c| c.reason == "SelectorCannotMatch")
        })
        .await;
    assert_eq!(place.secret("k1").await.unwrap().labels()["app"], "toystore");
    toystore::authentication(&client, "truth", &api_keys(&json!({"app": "toystore"}))).await.unwrap();
    place.key_when("k1", |key| key_condition(key, "UpToDate").is_none()).await;

    // A policy that flaps takes no key away.
    toystore::say(&client, "AuthPolicy", ("truth", "toystore"), &not_enforced()).await.unwrap();
    place.product_says("p", "AuthPolicyDiscovered", "AuthPolicyNotReady").await;
    toystore::say(&client, "AuthPolicy", ("truth", "toystore"), &in_force()).await.unwrap();
    let plan = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": [{"tier": "silver"}]});
    write(&client, "PlanPolicy", ("truth", "toystore-plans"), &plan, &json!({})).await.unwrap();
    place
        .key_when("k1", |key| key_condition(key, "UpToDate").is_some_and(|c| c.reason == "PlanTierNotFound"))
        .await;
    assert_eq!(place.value("k1").await, second);
    let plan = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": plans()});
    write(&client, "PlanPolicy", ("truth", "toystore-plans"), &plan, &json!({})).await.unwrap();
    place.key_when("k1", |key| key_condition(key, "UpToDate").is_none()).await;
    assert_eq!(place.value("k1").await, second);
}

#[tokio::test]
async fn keys_go_with_their_products_and_secrets_with_their_keys() {
    let stage = Stage::shared().await;
    let place = stage.toystore("ends").await;
    for product in ["p1", "p2"] {
        place.product(product, Some("automatic")).await;
        place.ask(&format!("key-{product}"), product, "alice").await;
        place.key_says(&format!("key-{product}"), "SecretCreated").await;
    }
    let other = stage.toystore("ends-other").await;
    other.product("p1", Some("automatic")).await;
    other.ask("key-p1", "p1", "alice").await;
    other.key_says("key-p1", "SecretCreated").await;
    place.api::<APIProduct>().delete("p1", &DeleteParams::default()).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "key-p1", SOON).await.unwrap();
    place.no_secret("key-p1-apikey-secret").await;
    assert!(place.secret("key-p2").await.is_some() && other.secret("key-p1").await.is_some());

    // Made anew under the same name, a key never has the value of the former one.
    let former = place.value("key-p2").await;
    place.api::<APIKey>().delete("key-p2", &DeleteParams::default()).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "key-p2", SOON).await.unwrap();
    place.ask("key-p2", "p2", "alice").await;
    place.key_says("key-p2", "SecretCreated").await;
    let look = async || {
        let key = place.api::<APIKey>().get("key-p2").await?;
        let secret = place
            .secret("key-p2")
            .await
            .filter(|secret| secret.owner_references()[0].uid == key.uid().unwrap());
        Ok::<_, kube::Error>(secret.and_then(|secret| value_of(&secret)))
    };
    assert_ne!(eventually("a key of its own", SOON, look).await.unwrap(), former);
}

#[tokio::test]
async fn no_key_works_after_its_product() {
    let stage = Stage::shared().await;
    let (place, params) = (stage.toystore("outlives").await, PatchParams::default());
    for product in ["p1", "p2"] {
        place.product(product, None).await;
        place.ready(product).await;
    }
    place.ask("k1", "p1", "alice").await;
    place.ask("k2", "p1", "alice").await;
    for key in ["k1", "k2"] {
        place.key_says(key, "NotApproved").await;
    }
    // One has moved on to another product, and the other has an owner that stays.
    let to = json!({"spec": {"apiProductRef": {"name": "p2"}}});
    place.api::<APIKey>().patch("k1", &params, &Patch::Merge(to)).await.unwrap();
    let of = |key: &APIKey| {
        key.owner_references().iter().map(|owner| owner.name.clone()).collect::<Vec<_>>() == ["p2"]
    };
    place.key_when("k1", of).await;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "stays"}})).unwrap();
    let map = place.api::<ConfigMap>().create(&PostParams::default(), &map).await.unwrap();
    let mut owners = json!(place.api::<APIKey>().get("k2").await.unwrap().owner_references());
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "stays", "uid": map.uid()});
    owners.as_array_mut().unwrap().push(other);
    let patch = json!({"metadata": {"ownerReferences": owners}});
    place.api::<APIKey>().patch("k2", &params, &Patch::Merge(patch)).await.unwrap();
    for key in ["k1", "k2"] {
        place.looked_at(key).await;
        place.decide(key, "Approved", None).await.unwrap();
        place.key_says(key, "SecretCreated").await;
    }
    place.api::<APIProduct>().delete("p1", &DeleteParams::default()).await.unwrap();
    let key = place.key_says("k2", "APIProductNotFound").await;
    assert_eq!(key.status.unwrap().secret_ref, None);
    place.no_secret("k2-apikey-secret").await;
    assert!(place.secret("k1").await.is_some());
    place.product("p1", None).await;
    place.key_when("k2", |key| key.phase() == KeyPhase::Pending).await;
    assert!(place.secret("k2").await.is_none());
    place.api::<APIProduct>().delete("p2", &DeleteParams::default()).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "k1", SOON).await.unwrap();
    place.no_secret("k1-apikey-secret").await;
}

#[tokio::test]
async fn no_secret_is_left_beside_a_key_that_a_finalizer_keeps() {
    let stage = Stage::shared().await;
    let place = stage.toystore("lingers").await;
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "SecretCreated").await;
    rotate(&place, "k1", "one", json!({})).await;
    let alice = stage.person("alice").await;
    let keys: kube::Api<APIKey> = kube::Api::namespaced(alice, "lingers");
    let finalizers = |list: Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let params = PatchParams::default();
    keys.patch("k1", &params, &finalizers(json!(["example.com/mine"]))).await.unwrap();
    keys.delete("k1", &DeleteParams::default()).await.unwrap();
    place.no_secret("k1-apikey-secret").await;
    place.no_secret("k1-apikey-secret-previous").await;
    // Whatever else happens to it, there is none again.
    place.decide("k1", "Rejected", None).await.unwrap();
    let annotate = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    keys.patch("k1", &params, &annotate).await.unwrap();
    keys.patch("k1", &params, &finalizers(Value::Null)).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "k1", SOON).await.unwrap();
    assert!(place.secret("k1").await.is_none());
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone() {
    let stage = Stage::shared().await;
    let place = stage.toystore("foreign").await;
    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"name": "k1-apikey-secret"}, "stringData": {"api_key": "mine"}}),
    )
    .unwrap();
    place.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    let key = place.key_says("k1", "SecretConflict").await;
    assert!(key.status.unwrap().secret_ref.is_none());
    place.told("k1", "SecretConflict").await;
    assert_eq!(place.value("k1").await, "mine");
    assert!(!may_read(&stage.person("alice").await, "foreign", Some("k1-apikey-secret")).await);
}

#[tokio::test]
async fn a_key_expires_to_the_second() {
    let stage = Stage::shared().await;
    let place = stage.toystore("expiry").await;
    place.product("p", Some("automatic")).await;
    place.ready("p").await;
    let until = |seconds: i64| {
        jiff::Timestamp::from_second(portolan_testkit::issuer::now() + seconds).unwrap().to_string()
    };
    let mut spec = request("p", "alice");
    spec["expiresAt"] = until(4).into();
    place.create_key("k1", spec).await.unwrap();
    let key = place.key_says("k1", "SecretCreated").await;
    assert_eq!(key_condition(&key, "ExpiringSoon").unwrap().reason, "ExpiresWithinOneDay");
    place.told("k1", "ExpiringSoon").await;
    let later = json!({"spec": {"expiresAt": until(3600)}});
    let refused =
        place.api::<APIKey>().patch("k1", &PatchParams::default(), &Patch::Merge(later)).await.unwrap_err();
    assert!(refused.to_string().contains("may only come earlier"), "{refused}");
    let key = place.key_says("k1", "KeyExpired").await;
    assert_eq!(key.phase(), KeyPhase::Expired);
    assert!(place.secret("k1").await.is_none());
    let mut week = request("p", "alice");
    week["expiresAt"] = until(3 * 24 * 3600).into();
    place.create_key("k2", week).await.unwrap();
    let key = place.key_when("k2", |key| key_condition(key, "ExpiringSoon").is_some()).await;
    assert_eq!(key_condition(&key, "ExpiringSoon").unwrap().reason, "ExpiresWithinSevenDays");
}

#[tokio::test]
async fn a_limit_on_lives_that_makes_no_sense_is_named_and_a_new_one_leaves_a_day() {
    let stage = Stage::shared().await;
    let place = stage.toystore("lives").await;
    place.product("p", None).await;
    place.ready("p").await;
    let limit = async |text: &str| {
        let patch = json!({"metadata": {"annotations": {"devportal.kuadrant.io/max-lifetime": text}}});
        place.api::<APIProduct>().patch("p", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    let give = async |key: &str, at: &str| {
        place.ask(key, "p", "alice").await;
        place.key_says(key, "NotApproved").await;
        let status = json!({"phase": "Approved", "reviewedBy": "owner", "reviewedAt": at});
        let patch = Patch::Merge(json!({"status": status}));
        let keys: kube::Api<APIKey> = kube::Api::namespaced(stage.person("owner").await, "lives");
        keys.patch_status(key, &PatchParams::default(), &patch).await.unwrap();
        place.key_says(key, "SecretCreated").await
    };
    let left = |key: &APIKey| {
        let end = key.status.as_ref()?.expires_at.as_ref()?;
        Some((end.0.as_second() - portolan_testkit::issuer::now() + 1800) / 3600)
    };
    give("unlimited", "2020-01-01T00:00:00Z").await;
    limit("0").await;
    place.product_says("p", "AnnotationsValid", "AnnotationInvalid").await;
    place.told("p", "AnnotationInvalid").await;
    limit("1h").await;
    place.product_when("p", |product| crate::scene::said(product, "AnnotationsValid").is_none()).await;
    // Whatever was written into the decisions, lives count from now.
    for (key, at) in [("old", "2020-01-01T00:00:00Z"), ("far", "9999-12-31T00:00:00Z")] {
        assert_eq!(left(&give(key, at).await), Some(1), "{at}");
    }
    place.key_when("unlimited", |key| left(key) == Some(24)).await;
}

async fn rotate(place: &crate::scene::Place<'_>, key: &str, request: &str, more: Value) {
    let mut annotations = json!({"devportal.kuadrant.io/rotate-requested-at": request});
    annotations.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let patch = json!({"metadata": {"annotations": annotations}});
    place.api::<APIKey>().patch(key, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let observed =
        |key: &APIKey| key.status.as_ref().unwrap().observed_rotate_request.as_deref() == Some(request);
    place.key_when(key, observed).await;
}

#[tokio::test]
async fn a_rotated_key_keeps_its_old_value_for_a_while() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rotation").await;
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "SecretCreated").await;
    let first = place.value("k1").await;
    let previous = async || place.api::<Secret>().get_opt(&previous_secret_name("k1")).await.unwrap();
    rotate(&place, "k1", "one", json!({})).await;
    let second = place.value("k1").await;
    let kept = previous().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(value_of(&kept).unwrap(), first);
    assert_eq!(kept.labels()["app"], "my-api-product");
    place.told("k1", "Rotated").await;
    rotate(&place, "k1", "two", json!({})).await;
    assert_eq!(value_of(&previous().await.unwrap()).unwrap(), second, "never three");
    let key = place.api::<APIKey>().get("k1").await.unwrap();
    assert_eq!(key.status.unwrap().previous_secret_ref.unwrap().name, "k1-apikey-secret-previous");
    // One that has leaked gets no time.
    rotate(&place, "k1", "three", json!({"devportal.kuadrant.io/rotate-overlap": "0"})).await;
    place.no_secret("k1-apikey-secret-previous").await;
    rotate(&place, "k1", "four", json!({"devportal.kuadrant.io/rotate-overlap": "2s"})).await;
    place.key_when("k1", |key| key.status.as_ref().unwrap().previous_secret_ref.is_none()).await;
    place.no_secret("k1-apikey-secret-previous").await;
    rotate(&place, "k1", "five", json!({"devportal.kuadrant.io/rotate-overlap": "1h"})).await;
    assert!(previous().await.is_some());
    // A Secret that somebody has made immutable is replaced.
    let (fifth, immutable) = (place.value("k1").await, Patch::Merge(json!({"immutable": true})));
    place.api::<Secret>().patch(&secret_name("k1"), &PatchParams::default(), &immutable).await.unwrap();
    rotate(&place, "k1", "six", json!({})).await;
    assert_ne!(place.value("k1").await, fifth);
    assert_eq!(value_of(&previous().await.unwrap()).unwrap(), fifth);
    place.decide("k1", "Rejected", None).await.unwrap();
    place.key_says("k1", "Rejected").await;
    place.no_secret(&secret_name("k1")).await;
    place.no_secret("k1-apikey-secret-previous").await;
    rotate(&place, "k1", "seven", json!({})).await;
    place.told("k1", "RotationIgnored").await;
}

#[tokio::test]
async fn a_rotation_that_somebody_s_secret_blocks_says_so_and_goes_on_without_it() {
    let stage = Stage::shared().await;
    let place = stage.toystore("blocked").await;
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "SecretCreated").await;
    let first = place.value("k1").await;
    let name = previous_secret_name("k1");
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"a": "b"}})).unwrap();
    place.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    let patch = json!({"metadata": {"annotations": {"devportal.kuadrant.io/rotate-requested-at": "one"}}});
    place.api::<APIKey>().patch("k1", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let blocked =
        |key: &APIKey| key_condition(key, "UpToDate").is_some_and(|said| said.reason == "SecretConflict");
    place.key_when("k1", blocked).await;
    place.told("k1", "SecretConflict").await;
    assert_eq!(place.value("k1").await, first);
    place.api::<Secret>().delete(&name, &DeleteParams::default()).await.unwrap();
    // What is not ours is watched by nobody: the request itself brings the key up again.
    rotate(&place, "k1", "two", json!({})).await;
    place.key_when("k1", |key| key_condition(key, "UpToDate").is_none()).await;
    assert_ne!(place.value("k1").await, first);
}
