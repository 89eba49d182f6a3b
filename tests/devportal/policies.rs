//! What the admission policies of the chart refuse, and whom they let through.

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::Role,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use portolan_core::api::devportal::{APIKey, APIProduct, KeyPhase};
use portolan_testkit::{eventually, watch_until_gone};
use serde_json::{Value, json};

use crate::scene::{SOON, Stage, create_key, decide, request};

fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> String {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => status.message.clone(),
        other => panic!("{other:?} was to be refused"),
    }
}

/// Waits until the policies are in effect: API servers take a moment.
async fn ready(stage: &Stage) -> Client {
    let bob = stage.person("bob").await;
    let api: Api<APIKey> = Api::namespaced(bob.clone(), "default");
    let look = async || {
        let key: APIKey =
            serde_json::from_value(json!({"metadata": {"name": "probe"}, "spec": request("p", "alice")}))
                .unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry, &key).await.is_err().then_some(())
    };
    eventually("the policies are in effect", SOON, look).await.unwrap();
    bob
}

async fn merge<K>(client: &Client, namespace: &str, name: &str, patch: Value) -> kube::Result<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

#[tokio::test]
async fn people_write_their_own_names_and_touch_what_is_theirs() {
    let stage = Stage::shared().await;
    let (place, bob) = (stage.toystore("people").await, ready(stage).await);
    let (alice, owner) = (stage.person("alice").await, stage.person("owner").await);
    place.product("p", None).await;
    place.ready("p").await;
    let said = refusal(create_key(bob.clone(), "people", "k", request("p", "alice")).await);
    assert!(said.contains("spec.requestedBy.userId is to be bob"), "{said}");
    create_key(alice.clone(), "people", "k1", request("p", "alice")).await.unwrap();
    let key = place.key_says("k1", "NotApproved").await;
    let annotate = json!({"metadata": {"annotations": {"a": "b"}}});
    let said = refusal(merge::<APIKey>(&bob, "people", "k1", annotate.clone()).await);
    assert!(said.contains("only the requester of a key and the owner of its product"), "{said}");
    let bobs: Api<APIKey> = Api::namespaced(bob.clone(), "people");
    refusal(bobs.delete("k1", &DeleteParams::default()).await);
    merge::<APIKey>(&alice, "people", "k1", annotate.clone()).await.unwrap();
    merge::<APIKey>(&owner, "people", "k1", annotate.clone()).await.unwrap();
    let other = json!({"spec": {"requestedBy": {"userId": "bob"}}});
    refusal(merge::<APIKey>(&alice, "people", "k1", other).await);
    merge::<APIKey>(&alice, "people", "k1", json!({"spec": {"planTier": "silver"}})).await.unwrap();

    let decision = |client: &Client, who: &'static str, phase: &'static str| {
        let (client, key) = (client.clone(), key.clone());
        async move {
            let mut key = key;
            key.metadata.resource_version = None;
            decide(client, "people", &key, who, phase, None).await
        }
    };
    for (client, who) in [(&alice, "alice"), (&bob, "bob")] {
        let said = refusal(decision(client, who, "Approved").await);
        assert!(said.contains("only the owner of the product decides"), "{said}");
    }
    let said = refusal(decision(&owner, "somebody", "Approved").await);
    assert!(said.contains("status.reviewedBy is to be owner"), "{said}");
    let said = refusal(decision(&owner, "owner", "Expired").await);
    assert!(said.contains("cannot become Expired"), "{said}");
    let status: Api<APIKey> = Api::namespaced(owner.clone(), "people");
    let more = json!({"status": {"phase": "Approved", "reviewedBy": "owner", "reviewedAt": "2026-01-01T00:00:00Z", "productOwner": "bob"}});
    let said = refusal(status.patch_status("k1", &PatchParams::default(), &Patch::Merge(more)).await);
    assert!(said.contains("and nothing else"), "{said}");
    place.looked_at("k1").await;
    decision(&owner, "owner", "Approved").await.unwrap();
    place.key_says("k1", "SecretCreated").await;
    for field in [json!({"planTier": "gold"}), json!({"apiProductRef": {"name": "q"}})] {
        let said = refusal(merge::<APIKey>(&alice, "people", "k1", json!({"spec": field})).await);
        assert!(said.contains("make a new request"), "{said}");
    }
    let said = refusal(decision(&owner, "owner", "Approved").await);
    assert!(said.contains("the request is Approved already"), "{said}");
    let reset = json!({"status": {"phase": "Pending"}});
    let own: Api<APIKey> = Api::namespaced(alice.clone(), "people");
    refusal(own.patch_status("k1", &PatchParams::default(), &Patch::Merge(reset)).await);
    decision(&owner, "owner", "Rejected").await.unwrap();
    let said = refusal(decision(&owner, "owner", "Approved").await);
    assert!(said.contains("a request that is Rejected cannot become Approved"), "{said}");
}

#[tokio::test]
async fn a_decision_waits_for_the_controller_s_stamp() {
    let stage = Stage::shared().await;
    let (place, _) = (stage.toystore("stamp").await, ready(stage).await);
    // Without its product, the controller does not know whose the decision is.
    let key = place.ask("k1", "nothing", "alice").await;
    place.key_says("k1", "APIProductNotFound").await;
    let mut unversioned = key;
    unversioned.metadata.resource_version = None;
    let owner = stage.person("owner").await;
    let said = refusal(decide(owner, "stamp", &unversioned, "owner", "Approved", None).await);
    assert!(said.contains("only the owner of the product decides"), "{said}");
    let admin = decide(stage.client(), "stamp", &unversioned, "kube-admin", "Approved", None).await;
    assert!(refusal(admin).contains("the controller has not looked at this request yet"));
}

/// A decision as somebody writes it who has not looked at the request.
async fn blindly(owner: &Client, namespace: &str, who: &str, phase: &str) -> kube::Result<APIKey> {
    let key = APIKey::new("k1", portolan_core::api::devportal::APIKeySpec::default());
    decide(owner.clone(), namespace, &key, who, phase, None).await
}

#[tokio::test]
async fn nobody_decides_about_a_request_for_somebody_else_s_product() {
    let (stage, name) = (Stage::shared().await, "repointed");
    let (place, _) = (stage.toystore(name).await, ready(stage).await);
    let mallory = stage.person("mallory").await;
    let mine: Api<APIProduct> = Api::namespaced(mallory.clone(), name);
    let product: APIProduct = serde_json::from_value(json!({
        "metadata": {"name": "mine", "annotations": {"backstage.io/owner": "mallory"}},
        "spec": {"displayName": "P", "targetRef": portolan_testkit::toystore::target("HTTPRoute", "toystore")},
    }))
    .unwrap();
    mine.create(&PostParams::default(), &product).await.unwrap();
    place.product("theirs", None).await;
    place.ready("mine").await;
    place.ready("theirs").await;
    create_key(mallory.clone(), name, "k1", request("mine", "mallory")).await.unwrap();
    place.key_says("k1", "NotApproved").await;
    // Her own product may be decided about, and no other that she names at the last moment.
    for theirs in ["theirs", "later"] {
        let to = |product: &str| json!({"spec": {"apiProductRef": {"name": product}}});
        merge::<APIKey>(&mallory, name, "k1", to(theirs)).await.unwrap();
        let said = refusal(blindly(&mallory, name, "mallory", "Approved").await);
        let expected = ["try again in a moment", "only the owner of the product decides"];
        assert!(expected.iter().any(|part| said.contains(part)), "{said}");
        place.looked_at("k1").await;
        let said = refusal(blindly(&mallory, name, "mallory", "Approved").await);
        assert!(said.contains("only the owner of the product decides"), "{said}");
        merge::<APIKey>(&mallory, name, "k1", to("mine")).await.unwrap();
        place.looked_at("k1").await;
    }
    blindly(&mallory, name, "mallory", "Approved").await.unwrap();
    place.key_says("k1", "SecretCreated").await;
}

#[tokio::test]
async fn an_approval_is_not_for_another_product_of_that_name() {
    let (stage, name) = (Stage::shared().await, "replaced");
    let (place, _) = (stage.toystore(name).await, ready(stage).await);
    place.product("p", None).await;
    place.ready("p").await;
    let mut unknown = request("p", "alice");
    unknown["planTier"] = "platinum".into();
    place.create_key("k1", unknown).await.unwrap();
    place.key_says("k1", "PlanTierNotFound").await;
    place.decide("k1", "Approved", None).await.unwrap();
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    place.api::<APIProduct>().delete("p", &orphan).await.unwrap();
    watch_until_gone(place.api::<APIProduct>(), "p", SOON).await.unwrap();
    place.key_says("k1", "APIProductNotFound").await;
    place.product("p", None).await;
    place.told("k1", "ApprovalOutdated").await;
    let key = place.key_when("k1", |key| key.phase() == KeyPhase::Pending).await;
    assert_eq!(key.status.unwrap().reviewed_by, None);
}

#[tokio::test]
async fn products_have_an_owner_who_stays() {
    let stage = Stage::shared().await;
    let (_place, bob) = (stage.namespace("owners").await, ready(stage).await);
    let product = |owner: Option<&str>| -> APIProduct {
        let mut product = json!({"metadata": {"name": "p"}, "spec": {"displayName": "P", "targetRef": portolan_testkit::toystore::target("HTTPRoute", "r")}});
        if let Some(owner) = owner {
            product["metadata"]["annotations"] = json!({"backstage.io/owner": owner});
        }
        serde_json::from_value(product).unwrap()
    };
    let api: Api<APIProduct> = Api::namespaced(bob.clone(), "owners");
    let params = PostParams::default();
    for owner in [None, Some("alice")] {
        let said = refusal(api.create(&params, &product(owner)).await);
        assert!(said.contains("annotate the product with backstage.io/owner: bob"), "{said}");
    }
    api.create(&params, &product(Some("bob"))).await.unwrap();
    let owner = |name: Value| json!({"metadata": {"annotations": {"backstage.io/owner": name}}});
    for name in [json!("alice"), Value::Null] {
        refusal(merge::<APIProduct>(&bob, "owners", "p", owner(name)).await);
    }
    let alice = stage.person("alice").await;
    refusal(merge::<APIProduct>(&alice, "owners", "p", json!({"spec": {"displayName": "Q"}})).await);
    let ready = json!({"status": {"discoveredPlans": [{"tier": "free"}]}});
    refusal(api.patch_status("p", &PatchParams::default(), &Patch::Merge(ready)).await);
    merge::<APIProduct>(&bob, "owners", "p", json!({"spec": {"displayName": "Q"}})).await.unwrap();
    api.delete("p", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_gone_leaves_no_secret_whoever_wants_to_keep_it() {
    let stage = Stage::shared().await;
    let (place, _) = (stage.toystore("kept").await, ready(stage).await);
    place.product("p", Some("automatic")).await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "SecretCreated").await;
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    let alice = stage.person("alice").await;
    let own: Api<APIKey> = Api::namespaced(alice.clone(), "kept");
    let said = refusal(own.delete("k1", &orphan).await);
    assert!(said.contains("delete it without orphaning them"), "{said}");
    let finalizer = json!({"metadata": {"finalizers": ["orphan"]}});
    let said = refusal(merge::<APIKey>(&alice, "kept", "k1", finalizer).await);
    assert!(said.contains("cannot have the finalizer orphan"), "{said}");
    // An administrator may, and the Secret goes all the same.
    place.api::<APIKey>().delete("k1", &orphan).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "k1", SOON).await.unwrap();
    place.no_secret("k1-apikey-secret").await;
    let mut left: Secret = serde_json::from_value(json!({
        "metadata": {"name": "k2-apikey-secret", "labels": {"devportal.kuadrant.io/apiproduct": "p"}},
        "stringData": {"api_key": "left"},
    }))
    .unwrap();
    let secrets = place.api::<Secret>();
    secrets.create(&PostParams::default(), &left).await.unwrap();
    // So does one whose key went while nobody looked, and one that nothing marks stays.
    left.metadata.name = Some("k3-apikey-secret".to_owned());
    left.metadata.annotations =
        Some([("devportal.kuadrant.io/apikey-uid".to_owned(), "gone".to_owned())].into());
    secrets.create(&PostParams::default(), &left).await.unwrap();
    place.no_secret("k3-apikey-secret").await;
    assert!(place.secret("k2").await.is_some());
}

#[tokio::test]
async fn no_role_of_a_requester_is_about_all_secrets() {
    let stage = Stage::shared().await;
    let (place, _) = (stage.namespace("roles").await, ready(stage).await);
    let role = |names: Value| -> Role {
        let rule =
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names});
        serde_json::from_value(json!({"metadata": {"name": "r", "labels": {"devportal.kuadrant.io/requester": "x"}}, "rules": [rule]})).unwrap()
    };
    let refused = place.api::<Role>().create(&PostParams::default(), &role(json!([]))).await;
    assert!(refusal(refused).contains("names each Secret"));
    place.api::<Role>().create(&PostParams::default(), &role(json!(["a"]))).await.unwrap();
}

#[tokio::test]
async fn the_cluster_s_own_cleaners_are_let_through() {
    let stage = Stage::shared().await;
    let (place, _) = (stage.toystore("cleaners").await, ready(stage).await);
    place.product("p", Some("automatic")).await;
    for name in ["k1", "k2"] {
        place.ask(name, "p", "alice").await;
        place.key_says(name, "SecretCreated").await;
    }
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    let alice: Api<APIKey> = Api::namespaced(stage.person("alice").await, "cleaners");
    alice.delete("k1", &foreground).await.unwrap();
    watch_until_gone(place.api::<APIKey>(), "k1", SOON).await.unwrap();
    place.no_secret("k1-apikey-secret").await;
    let namespaces: Api<Namespace> = Api::all(stage.client());
    namespaces.delete("cleaners", &DeleteParams::default()).await.unwrap();
    let gone = async || namespaces.get_opt("cleaners").await.map(|found| found.is_none().then_some(()));
    eventually("the namespace is gone", SOON, gone).await.unwrap();
}
