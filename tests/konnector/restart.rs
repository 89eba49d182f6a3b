//! Work under way when the konnector is killed, or an API server stops.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceExport};
use portolan_testkit::{
    audit::summary,
    eventually::{eventually, watch_until_gone},
};
use serde_json::json;

use crate::support::{
    Clusters, Service, binding_condition, bundle_condition, cowboy, create_bundle, konnector, konnector_as,
    merge_status, object_with, write_secret,
};

const OBJECTS: usize = 200;
/// Loaded machines included.
const LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn killing_the_konnector_amid_200_creates_loses_nothing() {
    let clusters = Clusters::start("killed").await;
    let service = Service::bind(&clusters, "killed").await;
    let here = service.here();
    let everywhere: Api<DynamicObject> = Api::all_with(service.provider.clone(), &service.resource);
    let arrived =
        async || everywhere.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    for i in 0..OBJECTS {
        let object = cowboy(&service.resource, &format!("c{i:03}"), &json!({"intent": format!("ride {i}")}));
        here.create(&PostParams::default(), &object).await.unwrap();
        if i == OBJECTS / 2 {
            clusters.konnector.kill();
        }
    }
    let before = arrived().await.len();
    assert!(before < OBJECTS, "the konnector must have been killed while there was work left");
    let (second, _) = konnector(&clusters.konnector_kubeconfig).await;
    let copies = eventually("all copies are there", LIMIT, async || {
        let copies = arrived().await;
        if copies.len() == OBJECTS {
            Ok(Some(copies))
        } else {
            Err(anyhow::anyhow!("{} of {OBJECTS}", copies.len()))
        }
    })
    .await
    .unwrap();
    let origins: BTreeSet<_> =
        here.list(&ListParams::default()).await.unwrap().items.iter().filter_map(ResourceExt::uid).collect();
    for copy in &copies {
        let number: usize = copy.name_any()[1..].parse().unwrap();
        assert_eq!(copy.data["spec"]["intent"], format!("ride {number}"));
        assert!(
            origins.contains(&copy.annotations()["kube-bind.io/consumer-uid"]),
            "a copy of nothing: {}",
            copy.name_any()
        );
    }
    assert!(second.exited().is_none(), "{}", second.log_tail(20));
}

#[tokio::test]
async fn an_api_server_that_restarts_is_met_again_and_a_lost_provider_is_said() {
    let clusters = Clusters::start("restarted").await;
    let service = Service::bind(&clusters, "restarted").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;

    clusters.provider.stop_apiserver();
    bundle_condition(&service.consumer, "restarted", "Ready", ("False", "ListExportsFailed")).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("False", "ProviderUnreachable")).await;
    service.create("clara", &json!({"intent": "wait"})).await;
    clusters.provider.start_apiserver().await.unwrap();
    bundle_condition(&service.consumer, "restarted", "Ready", ("True", "")).await;
    service.arrives("clara").await;
    merge_status(&service.there(), "clara", json!({"result": "arrived"})).await;
    object_with(&service.here(), "clara", "has the status", |o| o.data["status"]["result"] == "arrived")
        .await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_said_and_delays_nobody_else() {
    let clusters = Clusters::start("hangs").await;
    let other = portolan_testkit::control_plane::ControlPlane::start(
        portolan_testkit::control_plane::ControlPlaneOptions::named("hangs-other"),
    )
    .await
    .unwrap();
    // Long enough to tell one interval from two on a machine under load.
    clusters.konnector.kill();
    let flags = ["--provider-polling-interval=6s"];
    let (_konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = Service::bind(&clusters, "hangs").await;
    let consumer = &service.consumer;
    clusters.provider.pause_apiserver();
    let paused = Instant::now();
    bundle_condition(consumer, "hangs", "Ready", ("False", "ListExportsFailed")).await;
    let took = paused.elapsed();
    assert!(took < Duration::from_secs(11), "said after {took:?}, and two intervals are 12 s");
    binding_condition(consumer, &service.export(), "Ready", ("False", "ProviderUnreachable")).await;
    service.create("clara", &json!({"intent": "wait"})).await;

    // Another provider is bound while the first one hangs; it exports nothing, and says so at once.
    let silent = other.kubeconfig_for_token("not-a-token", "tenant");
    write_secret(consumer, "other", "kubeconfig", &silent).await;
    let created = Instant::now();
    create_bundle(consumer, "other", "other").await;
    bundle_condition(consumer, "other", "Synced", ("False", "ListExportsFailed")).await;
    let took = created.elapsed();
    assert!(took < Duration::from_secs(5), "the other one was kept waiting for {took:?}");

    clusters.provider.resume_apiserver();
    bundle_condition(consumer, "hangs", "Ready", ("True", "")).await;
    service.arrives("clara").await;
}

#[tokio::test]
async fn an_export_that_went_unseen_stays_bound_for_four_polls_and_its_copies_stay_for_good() {
    let clusters = Clusters::start("unseen").await;
    let service = Service::bind(&clusters, "unseen").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    clusters.konnector.kill();
    // A backend that waits for nobody, as the original's does: ours would hold the export until it is drained.
    clusters.provider_service.kill();
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let label = json!({"metadata": {"labels": {"kube-bind.io/exported": null}}});
    crds.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let held = json!({"metadata": {"finalizers": null}});
    exports.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    exports.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(exports, &service.export(), LIMIT).await.unwrap();

    let (_second, _) = konnector(&clusters.konnector_kubeconfig).await;
    let suspect = bundle_condition(&service.consumer, "unseen", "Synced", ("False", "ProviderSuspect")).await;
    assert!(suspect.message.contains(&service.export()), "{}", suspect.message);
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    watch_until_gone(bindings, &service.export(), LIMIT).await.unwrap();
    assert!(service.here().get_opt("billy").await.unwrap().is_some());
    assert!(service.there().get_opt("billy").await.unwrap().is_some());
}

#[tokio::test]
async fn a_restart_finds_what_has_changed_and_writes_nothing_else() {
    let mut clusters = Clusters::start("restart-rest").await;
    let service = Service::bind(&clusters, "restart-rest").await;
    for name in ["a", "b", "c"] {
        service.create(name, &json!({"intent": "ride"})).await;
        service.arrives(name).await;
        object_with(&service.here(), name, "is in sync", |o| {
            o.annotations().contains_key("kube-bind.io/provider-uid")
        })
        .await;
    }
    binding_condition(&service.consumer, &service.export(), "Heartbeating", ("True", "")).await;
    bundle_condition(&service.consumer, "restart-rest", "Ready", ("True", "")).await;
    let (here, there) = (clusters.consumer.audit(), clusters.provider.audit());
    let quiet = Duration::from_secs(1);
    here.settled(quiet).await.unwrap();
    clusters.konnector.kill();
    clusters.konnector.wait_exit(LIMIT).await.unwrap();
    let marks = (here.mark().unwrap(), there.mark().unwrap());
    merge_status(&service.there(), "b", json!({"result": "ridden"})).await;
    // A slow answer must not look like an outage, which is written down.
    let patient = ["--provider-polling-interval=15s"];
    (clusters.konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &patient).await;
    object_with(&service.here(), "b", "has the status", |o| o.data["status"]["result"] == "ridden").await;
    here.settled(quiet).await.unwrap();
    there.settled(quiet).await.unwrap();
    let writes = here.writes_by_user("system:serviceaccount:kube-bind:konnector", marks.0, false).unwrap();
    assert_eq!(writes.len(), 1, "{:#?}", summary(&writes));
    let binder = format!("system:serviceaccount:{}:kube-binder", service.contract_namespace());
    let mut writes = there.writes_by_user(&binder, marks.1, false).unwrap();
    // A heartbeat may be due.
    writes.retain(|entry| entry.object_ref.as_ref().is_none_or(|on| on.resource != "clusterbindings"));
    assert_eq!(writes.len(), 0, "{:#?}", summary(&writes));
}
