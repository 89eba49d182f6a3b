//! Content arrives as the consumer wrote it, and the provider's answer is right where it is read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use portolan_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{
    SOON, Service, binding_condition, clusters, create_bundle, merge, object_with, write_secret,
};

async fn bound(name: &str, change: impl FnOnce(&mut CustomResourceDefinition)) -> Service {
    let service = Service::offer_with(clusters().await, name, change).await;
    write_secret(&service.consumer, name, "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, name, name).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service
}

/// A schema with every sort of map and list.
fn with_containers(crd: &mut CustomResourceDefinition) {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let rule = json!({"type": "object", "required": ["host"],
        "properties": {"host": {"type": "string"}, "selector": strings}});
    let spec = json!({"type": "object", "required": ["must"], "properties": {
        "text": {"type": "string"}, "opts": strings, "must": strings,
        "nested": {"type": "object", "properties": {"deep": strings}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "rules": {"type": "array", "items": rule, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["host"]},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let mut versions = json!(crd.spec.versions);
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = spec;
    crd.spec.versions = serde_json::from_value(versions).unwrap();
}

#[tokio::test]
async fn what_a_consumer_has_emptied_is_empty_on_the_provider_and_nothing_waits_for_it() {
    let service = bound("emptied", with_containers).await;
    let one = json!({"a": "1"});
    let full = json!({"text": "first", "must": one, "opts": one, "nested": {"deep": one}, "set": ["a"],
        "rules": [{"host": "h", "selector": one}], "free": {"selector": one}});
    service.create("billy", &full).await;
    service.arrives("billy").await;
    let emptied = [
        ("opts", json!({"opts": {"a": null}})),
        ("must", json!({"must": {"a": null}})),
        ("nested", json!({"nested": {"deep": {"a": null}}})),
        ("free", json!({"free": {"selector": {"a": null}}})),
        ("rules", json!({"rules": [{"host": "h", "selector": {}}]})),
        ("set", json!({"set": []})),
        ("rules", json!({"rules": []})),
    ];
    for (what, change) in emptied {
        let here = merge(&service.here(), "billy", json!({"spec": change})).await;
        let same = |copy: &DynamicObject| copy.data["spec"] == here.data["spec"];
        object_with(&service.there(), "billy", &format!("has empty {what}"), same).await;
    }
    merge(&service.here(), "billy", json!({"spec": {"text": "second"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["text"] == "second").await;
}

#[tokio::test]
async fn a_default_that_nobody_has_set_is_the_providers_to_change() {
    let with_default = |crd: &mut CustomResourceDefinition| {
        let mut versions = json!(crd.spec.versions);
        let spec = &mut versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        spec["replicas"] = json!({"type": "integer", "default": 3});
        crd.spec.versions = serde_json::from_value(versions).unwrap();
    };
    let service = bound("defaulted", with_default).await;
    let apply = async |spec: Value| {
        let object = crate::support::cowboy(&service.resource, "billy", &spec);
        let params = PatchParams::apply("gitops").force();
        // Right after it was made, a kind may not be served for a moment.
        let applied = async || service.here().patch("billy", &params, &Patch::Apply(&object)).await.map(Some);
        eventually("it is applied", SOON, applied).await.unwrap()
    };
    let here = apply(json!({"intent": "ride"})).await;
    assert_eq!(here.data["spec"]["replicas"], 3, "the test needs a default that the API server fills in");
    assert_eq!(service.arrives("billy").await.data["spec"]["replicas"], 3);
    merge(&service.there(), "billy", json!({"spec": {"replicas": 5}})).await;
    apply(json!({"intent": "rest"})).await;
    let copy =
        object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(copy.data["spec"]["replicas"], 5, "who scales on the provider is not undone");
    // Who says it, even if it is the same, is obeyed.
    apply(json!({"intent": "rest", "replicas": 3})).await;
    object_with(&service.there(), "billy", "has what was said", |o| o.data["spec"]["replicas"] == 3).await;
}

#[tokio::test]
async fn a_generation_is_right_where_the_status_counts_itself() {
    let without = |crd: &mut CustomResourceDefinition| crd.spec.versions[0].subresources = None;
    let service = bound("self-counting", without).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    for intent in ["rest", "ride", "rest"] {
        merge(&service.here(), "billy", json!({"spec": {"intent": intent}})).await;
        object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == intent).await;
    }
    // The copy is recreated, and counts from one.
    service.there().delete("billy", &kube::api::DeleteParams::default()).await.unwrap();
    let copy = object_with(&service.there(), "billy", "is back", |o| o.metadata.generation == Some(1)).await;
    let status = |generation: Option<i64>| -> Value {
        let condition = json!({"type": "Ready", "status": "True", "observedGeneration": generation});
        json!({"status": {"observedGeneration": generation, "conditions": [condition]}})
    };
    merge(&service.there(), "billy", status(copy.metadata.generation)).await;
    let is_current = |object: &DynamicObject| {
        let (status, generation) = (&object.data["status"], object.metadata.generation);
        status["observedGeneration"].as_i64() == generation
            && status["conditions"][0]["observedGeneration"].as_i64() == generation
    };
    let told = object_with(&service.here(), "billy", "is told of its own generation", is_current).await;

    // What has been said of a former generation is not said of the next one.
    merge(&service.here(), "billy", json!({"spec": {"intent": "ride"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "ride").await;
    let after = service.here().get("billy").await.unwrap();
    assert!(after.metadata.generation > told.metadata.generation && !is_current(&after), "{}", after.data);
}
