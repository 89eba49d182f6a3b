//! A provider that withdraws an export gives the konnector time to clean up, and no more than that.

use k8s_openapi::{
    api::rbac::v1::Role, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceExport, CONDITION_PROVIDER_IN_SYNC},
    condition,
};
use portolan_testkit::eventually::{watch_until, watch_until_gone};
use serde_json::json;

use crate::{
    support::{
        Clusters, SOON, Service, binding_condition, copies, konnector_as, no_crd, object_gone,
        provider_service_with, write_secret,
    },
    wire::hand_made,
};

async fn withdraw(service: &Service) {
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let label = json!({"metadata": {"labels": {"kube-bind.io/exported": null}}});
    crds.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
}

fn exports(service: &Service) -> Api<APIServiceExport> {
    Api::namespaced(service.provider.clone(), &service.contract_namespace())
}

fn waits(export: &APIServiceExport) -> bool {
    let conditions = export.status.iter().flat_map(|status| &status.conditions).cloned().collect::<Vec<_>>();
    let said = condition::find(&conditions, CONDITION_PROVIDER_IN_SYNC);
    export.metadata.deletion_timestamp.is_some() && said.is_some_and(|said| said.reason == "Withdrawing")
}

#[tokio::test]
async fn the_rights_stay_until_the_konnector_is_done_and_then_go() {
    let clusters = Clusters::start("rights-stay").await;
    let service = Service::bind(&clusters, "rights-stay").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let namespace = format!("{}-{}", service.contract_namespace(), service.name);
    let roles: Api<Role> = Api::namespaced(service.provider.clone(), &namespace);
    let grants = |role: &Role| role.rules.as_ref().is_some_and(|rules| !rules.is_empty());

    clusters.konnector.pause();
    withdraw(&service).await;
    watch_until(exports(&service), &service.export(), waits, SOON).await.unwrap();
    assert!(grants(&roles.get("kube-binder-exports").await.unwrap()), "the konnector has work to do");
    clusters.konnector.resume();
    watch_until_gone(exports(&service), &service.export(), SOON).await.unwrap();
    watch_until(roles, "kube-binder-exports", |role| !grants(role), SOON).await.unwrap();
    let billy = service.here().get("billy").await.unwrap();
    assert_eq!(billy.metadata.finalizers, None, "nobody holds the consumer's object");
    assert_eq!(copies(&service).await, 1, "the provider's data must stay");
}

#[tokio::test]
async fn a_binding_made_by_hand_is_drained_before_it_says_so() {
    let clusters = Clusters::start("by-hand-gone").await;
    let service = Service::offer(&clusters, "by-hand-gone").await;
    write_secret(&service.consumer, "by-hand-gone", "kubeconfig", &service.kubeconfig).await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let binding = hand_made(&service.export(), "by-hand-gone");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let wrote = clusters.consumer.audit().mark().unwrap();

    withdraw(&service).await;
    watch_until_gone(exports(&service), &service.export(), SOON).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let left = crds.get(&service.export()).await.unwrap();
    assert_eq!(left.metadata.owner_references, None, "the export waits for the end");
    assert_eq!(service.here().get("billy").await.unwrap().metadata.finalizers, None);
    assert_eq!(copies(&service).await, 1, "the provider's data must stay");
    let expected = ("False", "APIServiceExportNotFound");
    binding_condition(&service.consumer, &service.export(), "Connected", expected).await;
    let entries = clusters.consumer.audit().entries_since(wrote).unwrap();
    assert!(!entries.iter().any(|e| e.verb == "delete" && e.request_uri.contains("apiservicebindings")));
}

#[tokio::test]
async fn a_konnector_that_is_told_to_deletes_the_copies_of_a_withdrawn_export() {
    let clusters = Clusters::start("withdraw-del").await;
    clusters.konnector.kill();
    let flags = ["--on-withdraw=delete"];
    let (_konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = Service::bind(&clusters, "withdraw-del").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    withdraw(&service).await;
    object_gone(&service.there(), "billy").await;
    no_crd(&service).await;
    watch_until_gone(exports(&service), &service.export(), SOON).await.unwrap();
}

#[tokio::test]
async fn an_export_that_a_backend_without_a_finalizer_takes_away_is_drained_as_told() {
    let clusters = Clusters::start("taken-away").await;
    clusters.konnector.kill();
    let flags = ["--on-withdraw=delete"];
    let (_konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = Service::bind(&clusters, "taken-away").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    // As the original's backend does it: at once, and the rights stay.
    clusters.provider_service.kill();
    let held = json!({"metadata": {"finalizers": null}});
    let params = PatchParams::default();
    exports(&service).patch(&service.export(), &params, &Patch::Merge(&held)).await.unwrap();
    exports(&service).delete(&service.export(), &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);
}

#[tokio::test]
async fn a_konnector_that_never_comes_back_holds_an_export_up_for_a_limited_time() {
    let clusters = Clusters::start("drain-limit").await;
    let service = Service::bind(&clusters, "drain-limit").await;
    clusters.provider_service.terminate(SOON).await.unwrap();
    let _provider = provider_service_with(&clusters.provider, &["--drain-limit=10s"]).await;
    clusters.konnector.kill();
    withdraw(&service).await;
    watch_until(exports(&service), &service.export(), waits, SOON).await.unwrap();
    watch_until_gone(exports(&service), &service.export(), SOON).await.unwrap();
}
