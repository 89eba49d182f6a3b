//! A cluster comes back with a backup while konnector and provider run: its versions run backwards.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport, ClusterBinding},
    condition,
};
use portolan_testkit::{
    eventually::{eventually, watch_until},
    workload,
};
use serde_json::json;

use crate::support::{
    Clusters, SOON, Service, binding_condition, bundle_condition, clusters, cowboy, create_bundle,
    create_namespace, kind_of, konnector, merge, merge_status, object_gone, object_with, write_secret,
};

/// The promise, from the moment that the API server answers again.
const AGREED: Duration = Duration::from_secs(60);

async fn says(api: &Api<DynamicObject>, name: &str, intent: &str) {
    eventually(&format!("{name} says {intent}"), AGREED, async || {
        let object = api.get(name).await?;
        let said = object.data["spec"]["intent"] == intent;
        if said { Ok(Some(())) } else { Err(anyhow::anyhow!("{}", object.data)) }
    })
    .await
    .unwrap();
}

/// Some of what is in sync and the backup does not know: in a namespace of its own, and of a kind of its own.
async fn bind_more(service: &Service) -> (Api<DynamicObject>, CustomResourceDefinition) {
    create_namespace(&service.consumer, "provider-restored-2").await;
    let here = Api::namespaced_with(service.consumer.clone(), "provider-restored-2", &service.resource);
    let far = cowboy(&service.resource, "far", &json!({"intent": "after"}));
    here.create(&PostParams::default(), &far).await.unwrap();
    let elsewhere = format!("{}-provider-restored-2", service.contract_namespace());
    let there = Api::namespaced_with(service.provider.clone(), &elsewhere, &service.resource);
    object_with(&there, "far", "arrives", |_| true).await;
    let (mut second, _) = kind_of("provider-restored-b");
    second.metadata.labels.as_mut().unwrap().insert("test".to_owned(), "provider-restored".to_owned());
    workload::install(&service.provider, &second).await.unwrap();
    crate::support::grant_group(&service.consumer, "provider-restored-b.dev").await;
    binding_condition(&service.consumer, "cowboys.provider-restored-b.dev", "Ready", ("True", "")).await;
    (there, second)
}

async fn is_ready(consumer: &Client, service: &Service) {
    eventually("bundle and binding are ready", AGREED, async || {
        let bundles: Api<APIServiceBindingBundle> = Api::all(consumer.clone());
        let bundle = bundles.get(&service.name).await?.status.unwrap_or_default().conditions;
        let bindings: Api<APIServiceBinding> = Api::all(consumer.clone());
        let binding = bindings.get(&service.export()).await?.status.unwrap_or_default().conditions;
        if [&bundle, &binding].iter().all(|said| condition::is_true(said, condition::READY)) {
            Ok(Some(()))
        } else {
            Err(anyhow::anyhow!("{bundle:?} {binding:?}"))
        }
    })
    .await
    .unwrap();
}

/// Writes that bring the versions far ahead of the backup.
async fn many_writes(api: &Api<DynamicObject>, name: &str) {
    for round in 0..40 {
        merge(api, name, json!({"metadata": {"labels": {"round": round.to_string()}}})).await;
    }
}

#[tokio::test]
async fn both_sides_agree_after_the_provider_was_restored() {
    let clusters = Clusters::start("provider-restored").await;
    let service = Service::bind(&clusters, "provider-restored").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let contracts: Api<ClusterBinding> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    for name in ["old", "gone"] {
        service.create(name, &json!({"intent": "before"})).await;
        service.arrives(name).await;
    }
    let backup = tempfile::tempdir().unwrap();
    clusters.provider.back_up(&backup.path().join("etcd")).unwrap();
    is_ready(&service.consumer, &service).await;

    // All of this the backup does not know.
    many_writes(&service.here(), "old").await;
    merge(&service.here(), "old", json!({"spec": {"intent": "after"}})).await;
    says(&service.there(), "old", "after").await;
    merge_status(&service.there(), "old", json!({"result": "lost with the backup"})).await;
    service.create("new", &json!({"intent": "after"})).await;
    service.arrives("new").await;
    service.here().delete("gone", &DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "gone").await;
    let (there, second) = bind_more(&service).await;

    let agreed = async {
        clusters.provider.restore(&backup.path().join("etcd")).await.unwrap();
        says(&service.there(), "old", "after").await;
        says(&service.there(), "new", "after").await;
        says(&there, "far", "after").await;
        is_ready(&service.consumer, &service).await;
    };
    clusters.provider_service.kept(agreed).await;
    // What was deleted since the backup has no object any more: people decide what becomes of its copy.
    let orphaned = ("True", "OriginGone");
    binding_condition(&service.consumer, &service.export(), "OrphanedCopies", orphaned).await;
    assert!(service.there().get_opt("gone").await.unwrap().is_some());
    // A status that only the backup lacks is not made up.
    object_with(&service.here(), "old", "has the status of its copy", |o| {
        o.data["status"]["result"].is_null()
    })
    .await;
    // What follows is carried as ever, in both directions and for exports.
    merge(&service.here(), "old", json!({"spec": {"intent": "later"}})).await;
    says(&service.there(), "old", "later").await;
    merge_status(&service.there(), "new", json!({"result": "later"})).await;
    object_with(&service.here(), "new", "has the status", |o| o.data["status"]["result"] == "later").await;
    workload::install(&service.provider, &second).await.unwrap();
    watch_until(exports, "cowboys.provider-restored-b.dev", |_| true, SOON).await.unwrap();
    binding_condition(&service.consumer, "cowboys.provider-restored-b.dev", "Ready", ("True", "")).await;
    let heard = |contract: &ClusterBinding| {
        contract.status.as_ref().is_some_and(|status| status.last_heartbeat_time.is_some())
    };
    watch_until(contracts, "cluster", heard, SOON).await.unwrap();
    for process in [&clusters.konnector, &clusters.provider_service] {
        assert!(process.exited().is_none(), "{}", process.log_tail(20));
    }
}

#[tokio::test]
async fn both_sides_agree_after_the_consumer_was_restored() {
    let clusters = Clusters::start("consumer-restored").await;
    let service = Service::bind(&clusters, "consumer-restored").await;
    for name in ["old", "gone"] {
        service.create(name, &json!({"intent": "before"})).await;
        service.arrives(name).await;
    }
    let backup = tempfile::tempdir().unwrap();
    clusters.consumer.back_up(&backup.path().join("etcd")).unwrap();
    is_ready(&service.consumer, &service).await;

    many_writes(&service.here(), "old").await;
    merge(&service.here(), "old", json!({"spec": {"intent": "after"}})).await;
    says(&service.there(), "old", "after").await;
    service.create("new", &json!({"intent": "after"})).await;
    service.arrives("new").await;
    service.here().delete("gone", &DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "gone").await;

    let agreed = async {
        clusters.consumer.restore(&backup.path().join("etcd")).await.unwrap();
        // The consumer has the word, and what it has lost stays on the provider.
        says(&service.there(), "old", "before").await;
        says(&service.there(), "gone", "before").await;
        is_ready(&service.consumer, &service).await;
    };
    // On a slow machine, the API server is away for longer than a lease lasts.
    clusters.konnector.kept(agreed).await;
    assert!(service.there().get_opt("new").await.unwrap().is_some());
    merge(&service.here(), "gone", json!({"spec": {"intent": "later"}})).await;
    says(&service.there(), "gone", "later").await;
    merge_status(&service.there(), "gone", json!({"result": "later"})).await;
    object_with(&service.here(), "gone", "has the status", |o| o.data["status"]["result"] == "later").await;
    for process in [&clusters.konnector, &clusters.provider_service] {
        assert!(process.exited().is_none(), "{}", process.log_tail(20));
    }
}

/// Most backup tools leave owners out.
#[tokio::test]
async fn a_restored_binding_without_an_owner_belongs_to_its_bundle_again() {
    let service = Service::offer(clusters().await, "without-owner").await;
    write_secret(&service.consumer, "without-owner", "kubeconfig", &service.kubeconfig).await;
    let binding = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
        "metadata": {"name": service.export(), "annotations": {"kube-bind.io/bundle": "without-owner"}},
        "spec": {"kubeconfigSecretRef": {"name": "without-owner", "namespace": "default", "key": "kubeconfig"}},
    });
    let binding: APIServiceBinding = serde_json::from_value(binding).unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let restored = bindings.create(&PostParams::default(), &binding).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let bundle = create_bundle(&service.consumer, "without-owner", "without-owner").await;
    bundle_condition(&service.consumer, "without-owner", "Ready", ("True", "")).await;
    let binding = bindings.get(&service.export()).await.unwrap();
    assert_eq!((binding.uid(), binding.owner_references().len()), (restored.uid(), 1));
    assert_eq!(binding.owner_references()[0].uid, bundle.uid().unwrap());
}

/// As where a backup tool creates what it has saved anew: the CRD names a binding of another uid as its owner, and the
/// garbage collector deletes it with all objects in it.
#[tokio::test]
async fn a_crd_that_went_with_a_former_owner_is_made_anew_and_the_copies_stay() {
    let clusters = Clusters::start("former-owner").await;
    let service = Service::bind(&clusters, "former-owner").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    clusters.konnector.kill();

    let mut owner = crds.get(&service.export()).await.unwrap().owner_references()[0].clone();
    "00000000-0000-4000-8000-000000000000".clone_into(&mut owner.uid);
    let former = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
    let restored = crds.patch(&service.export(), &PatchParams::default(), &former).await.unwrap();
    let goes = |crd: &CustomResourceDefinition| crd.metadata.deletion_timestamp.is_some();
    watch_until(crds.clone(), &service.export(), goes, SOON).await.unwrap();

    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    let is_new = |crd: &CustomResourceDefinition| crd.uid() != restored.uid();
    watch_until(crds, &service.export(), is_new, SOON).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "rest"})).await;
    says(&service.there(), "billy", "rest").await;
    assert_eq!(service.there().get("billy").await.unwrap().uid(), copy.uid(), "the copy stays");
}
