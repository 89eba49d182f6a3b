//! Changes of a provider in a schema, and their arrival at the consumer.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use portolan_core::api::kubebind::APIServiceBindingBundle;
use portolan_testkit::eventually::{eventually, watch_until};
use serde_json::{Value, json};

use crate::support::{
    Clusters, SOON, Service, binding_condition, clusters, create_bundle, konnector_as, merge, merge_status,
    object_with, write_secret,
};

fn crds(client: &kube::Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

/// Gives a kind other properties of its spec.
fn set_spec(crd: &mut CustomResourceDefinition, properties: &Value) {
    let mut versions = json!(crd.spec.versions);
    let spec = &mut versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    *spec = json!({"type": "object", "properties": properties});
    crd.spec.versions = serde_json::from_value(versions).unwrap();
}

/// Gives the provider's kind other properties of its spec.
async fn offer_spec(service: &Service, properties: &Value) {
    let mut crd = crds(&service.provider).get(&service.export()).await.unwrap();
    set_spec(&mut crd, properties);
    let change = json!({"spec": {"versions": crd.spec.versions}});
    crds(&service.provider)
        .patch(&service.export(), &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

fn spec_of(crd: &CustomResourceDefinition) -> Value {
    json!(crd.spec.versions)[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].clone()
}

#[tokio::test]
async fn a_schema_follows_until_it_breaks_what_is_in_use() {
    let closed = |crd: &mut CustomResourceDefinition| set_spec(crd, &json!({"intent": {"type": "string"}}));
    let service = Service::offer_with(clusters().await, "schema", closed).await;
    write_secret(&service.consumer, "schema", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "schema", "schema").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;

    // More than before reaches the consumer, and what is written with it the provider.
    offer_spec(&service, &json!({"intent": {"type": "string"}, "horse": {"type": "string"}})).await;
    let wider = |crd: &CustomResourceDefinition| spec_of(crd)["horse"]["type"] == "string";
    watch_until(crds(&service.consumer), &service.export(), wider, SOON).await.unwrap();
    // The API server reads with the old schema for a moment, and drops what that does not know.
    eventually("the new field is kept", SOON, async || {
        let billy = merge(&service.here(), "billy", json!({"spec": {"horse": "Jolly"}})).await;
        (billy.data["spec"]["horse"] == "Jolly").then_some(())
    })
    .await
    .unwrap();
    object_with(&service.there(), "billy", "has a horse", |o| o.data["spec"]["horse"] == "Jolly").await;

    // Less than before does not, with the place of the breakage; what is in use goes on.
    offer_spec(&service, &json!({"intent": {"type": "integer"}, "horse": {"type": "string"}})).await;
    let said = binding_condition(
        &service.consumer,
        &service.export(),
        "SchemaInSync",
        ("False", "BreakingSchemaChange"),
    )
    .await;
    assert!(said.message.contains("versions[v1alpha1].spec.intent changes its type"), "{}", said.message);
    let kept = crds(&service.consumer).get(&service.export()).await.unwrap();
    assert_eq!(spec_of(&kept)["intent"]["type"], "string");
    merge(&service.here(), "billy", json!({"metadata": {"labels": {"after": "all"}}})).await;

    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let agreed = json!({"metadata": {"annotations": {"kube-bind.io/allow-breaking": "true"}}});
    bundles.patch("schema", &PatchParams::default(), &Patch::Merge(agreed)).await.unwrap();
    let taken = |crd: &CustomResourceDefinition| spec_of(crd)["intent"]["type"] == "integer";
    watch_until(crds(&service.consumer), &service.export(), taken, SOON).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "SchemaInSync", ("True", "")).await;
}

#[tokio::test]
async fn what_a_status_says_of_generations_holds_for_the_consumers() {
    let service = Service::bind(clusters().await, "generations").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    // A controller of the provider fills in a field: the generations part.
    let copy = merge(&service.there(), "billy", json!({"spec": {"horse": "Jolly"}})).await;
    let theirs = copy.metadata.generation.unwrap();
    let ours = service.here().get("billy").await.unwrap().metadata.generation.unwrap();
    assert_ne!(ours, theirs, "the test needs generations that differ");
    let condition = json!({"type": "Ready", "status": "True", "observedGeneration": theirs});
    let seen = json!({"observedGeneration": theirs, "conditions": [condition], "result": "first"});
    merge_status(&service.there(), "billy", seen).await;
    let told =
        object_with(&service.here(), "billy", "is told", |o| o.data["status"]["result"] == "first").await;
    assert_eq!(told.data["status"]["observedGeneration"], ours);
    assert_eq!(told.data["status"]["conditions"][0]["observedGeneration"], ours);

    // A change that the provider has not looked at yet must not look done.
    let changed = merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    let ours = changed.metadata.generation.unwrap();
    let follows = |o: &kube::api::DynamicObject| o.data["spec"]["intent"] == "rest";
    let copy = object_with(&service.there(), "billy", "follows", follows).await;
    merge_status(&service.there(), "billy", json!({"result": "second"})).await;
    let told =
        object_with(&service.here(), "billy", "is told", |o| o.data["status"]["result"] == "second").await;
    assert!(told.data["status"]["observedGeneration"].as_i64().unwrap() < ours, "{}", told.data);
    let seen = json!({"observedGeneration": copy.metadata.generation, "result": "third"});
    merge_status(&service.there(), "billy", seen).await;
    let told =
        object_with(&service.here(), "billy", "is told", |o| o.data["status"]["result"] == "third").await;
    assert_eq!(told.data["status"]["observedGeneration"], ours);
}

#[tokio::test]
async fn flags_say_which_webhooks_and_keys_are_let_through() {
    let mut clusters = Clusters::start("let-through").await;
    let webhook = json!({
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://hooks.example/convert"},
    });
    let conversion = serde_json::from_value(json!({"strategy": "Webhook", "webhook": webhook})).unwrap();
    let converted = |crd: &mut CustomResourceDefinition| crd.spec.conversion = Some(conversion);
    let service = Service::offer_with(&clusters, "let-through", converted).await;
    write_secret(&service.consumer, "let-through", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "let-through", "let-through").await;
    let refused = ("False", "ConversionWebhookRefused");
    let said = binding_condition(&service.consumer, &service.export(), "SchemaInSync", refused).await;
    assert!(said.message.contains("https://hooks.example/convert"), "{}", said.message);
    assert!(crds(&service.consumer).get_opt(&service.export()).await.unwrap().is_none());

    clusters.konnector.kill();
    let flags = [
        "--allow-conversion-webhooks=hooks.example",
        "--deny-keys=internal.example/*",
        "--allow-keys=app.kubernetes.io/*",
    ];
    (clusters.konnector, clusters.healthz) =
        konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    let labels = json!({
        "internal.example/cost": "1", "app.kubernetes.io/name": "billy", "beta.kubernetes.io/os": "linux",
        "mine.example/tier": "gold",
    });
    merge(&service.here(), "billy", json!({"metadata": {"labels": labels}})).await;
    let carries = |o: &kube::api::DynamicObject| o.labels().contains_key("mine.example/tier");
    let copy = object_with(&service.there(), "billy", "has labels", carries).await;
    let keys: Vec<_> = copy.labels().keys().map(String::as_str).collect();
    assert_eq!(keys, ["app.kubernetes.io/name", "mine.example/tier"]);
}
