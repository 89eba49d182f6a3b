//! The end of a binding: whoever ends it decides what is deleted.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport};
use portolan_testkit::{
    eventually::{eventually, watch_until_gone},
    workload,
};
use serde_json::json;

use crate::support::{
    SOON, Service, binding_condition, clusters, copies, create_bundle, kind_of, merge, no_crd, object_gone,
    object_with,
};

#[tokio::test]
async fn deleting_a_bundle_removes_copies_objects_and_crds_and_it_can_be_bound_again() {
    let service = Service::bind(clusters().await, "unbound").await;
    for name in ["a", "b", "c"] {
        service.create(name, &json!({"intent": "ride"})).await;
        service.arrives(name).await;
    }
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("unbound", &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    watch_until_gone(bundles, "unbound", SOON).await.unwrap();
    assert!(bindings.get_opt(&service.export()).await.unwrap().is_none(), "a bundle goes after its bindings");

    create_bundle(&service.consumer, "unbound", "unbound").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_withdrawn_export_leaves_objects_and_copies_and_a_new_binding_takes_them_over() {
    let service = Service::bind(clusters().await, "withdrawn").await;
    let billy = service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    object_with(&service.here(), "billy", "is in sync", |o| {
        kube::ResourceExt::annotations(o).contains_key("kube-bind.io/provider-uid")
    })
    .await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let label = |value: Option<&str>| json!({"metadata": {"labels": {"kube-bind.io/exported": value}}});
    let params = PatchParams::default();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    crds.patch(&service.export(), &params, &Patch::Merge(&label(None))).await.unwrap();
    watch_until_gone(bindings, &service.export(), SOON).await.unwrap();
    assert_eq!(copies(&service).await, 1, "the provider's data must stay");
    let ours: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let left = ours.get(&service.export()).await.unwrap();
    assert_eq!(left.metadata.owner_references, None);
    let why = &left.metadata.annotations.unwrap()["kube-bind.io/withdrawn"];
    assert!(why.contains("of bundle withdrawn was withdrawn"), "{why}");
    crate::reasons::event(&service.consumer, &service.export(), "Withdrawn").await;
    let kept = service.here().get("billy").await.unwrap();
    assert_eq!((kept.metadata.uid, kept.metadata.finalizers), (billy.metadata.uid.clone(), None));

    crds.patch(&service.export(), &params, &Patch::Merge(&label(Some("true")))).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let taken = ours.get(&service.export()).await.unwrap();
    assert!(!taken.metadata.annotations.unwrap().contains_key("kube-bind.io/withdrawn"));
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    let adopted =
        object_with(&service.there(), "billy", "follows again", |c| c.data["spec"]["intent"] == "rest").await;
    assert_eq!(adopted.metadata.uid, copy.metadata.uid);
    assert_eq!(service.here().get("billy").await.unwrap().metadata.uid, billy.metadata.uid);
}

#[tokio::test]
async fn a_withdrawn_kind_goes_with_its_last_object() {
    let service = Service::bind(clusters().await, "last-object").await;
    for name in ["a", "b"] {
        service.create(name, &json!({"intent": "ride"})).await;
        service.arrives(name).await;
    }
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    crds.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    watch_until_gone(bindings, &service.export(), SOON).await.unwrap();
    service.here().delete("a", &DeleteParams::default()).await.unwrap();
    object_gone(&service.here(), "a").await;
    let ours: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    assert!(ours.get(&service.export()).await.is_ok(), "one object is left");
    service.here().delete("b", &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;
}

/// As a backup tool restores it: the CRD first, the objects afterwards.
#[tokio::test]
async fn a_withdrawn_kind_that_is_restored_waits_for_its_objects() {
    let service = Service::offer(clusters().await, "restored-kind").await;
    let (mut crd, _) = kind_of("restored-kind");
    crd.metadata.labels = Some([("kube-bind.io/managed-by".to_owned(), "konnector".to_owned())].into());
    let note = "2026-01-01T00:00:00Z: APIServiceExport of bundle a was withdrawn".to_owned();
    crd.metadata.annotations = Some([("kube-bind.io/withdrawn".to_owned(), note)].into());
    let ours: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    workload::install(&service.consumer, &crd).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let found = ours.get(&service.export()).await.unwrap();
    assert_eq!(found.metadata.deletion_timestamp, None);
    service.create("billy", &json!({"intent": "ride"})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;
}

#[tokio::test]
async fn a_kind_that_is_not_served_any_more_is_drained_all_the_same() {
    let service = Service::bind(clusters().await, "drain-unserved").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let hold = |finalizers: serde_json::Value| json!({"metadata": {"finalizers": finalizers}});
    merge(&service.there(), "billy", hold(json!(["drain-unserved.dev/hold"]))).await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("drain-unserved", &DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "is terminating", |o| o.metadata.deletion_timestamp.is_some())
        .await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let unserved = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]);
    let unserved = Patch::Json::<()>(serde_json::from_value(unserved).unwrap());
    crds.patch(&service.export(), &PatchParams::default(), &unserved).await.unwrap();
    merge(&service.there(), "billy", hold(json!(null))).await;
    no_crd(&service).await;
    watch_until_gone(bundles, "drain-unserved", SOON).await.unwrap();
    assert_eq!(copies(&service).await, 0);
}

#[tokio::test]
async fn a_bundle_may_say_that_a_withdrawal_deletes() {
    let service = Service::bind(clusters().await, "say-delete").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let word = json!({"metadata": {"annotations": {"kube-bind.io/on-withdraw": "delete"}}});
    bundles.patch("say-delete", &PatchParams::default(), &Patch::Merge(&word)).await.unwrap();
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let label = json!({"metadata": {"labels": {"kube-bind.io/exported": null}}});
    crds.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);
}

#[tokio::test]
async fn an_export_that_is_made_anew_keeps_the_copies() {
    let service = Service::bind(clusters().await, "made-anew").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let first = exports.get(&service.export()).await.unwrap().metadata.uid;
    // Our provider makes it again at once.
    exports.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    eventually("the binding names the new export", SOON, async || {
        let Some(binding) = bindings.get_opt(&service.export()).await? else { return Ok(None) };
        let named = binding.metadata.annotations.unwrap_or_default().remove("kube-bind.io/export-uid");
        Ok::<_, anyhow::Error>((named.is_some() && named != first).then_some(()))
    })
    .await
    .unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    assert_eq!(service.there().get("billy").await.unwrap().metadata.uid, copy.metadata.uid);
}
