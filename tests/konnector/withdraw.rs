//! A provider that withdraws an export gives the konnector time to clean up, and no more than that.

use k8s_openapi::{
    api::rbac::v1::Role, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan_core::{
    api::kubebind::{APIServiceExport, CONDITION_PROVIDER_IN_SYNC},
    condition,
};
use portolan_testkit::eventually::{watch_until, watch_until_gone};
use serde_json::json;

use crate::support::{
    Clusters, SOON, Service, copies, konnector_as, no_crd, object_gone, provider_service_with,
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
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 1, "the provider's data must stay");
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
async fn a_konnector_that_never_comes_back_holds_an_export_up_for_a_limited_time() {
    let clusters = Clusters::start("drain-limit").await;
    let service = Service::bind(&clusters, "drain-limit").await;
    clusters.provider_service.terminate(SOON).await.unwrap();
    let _provider = provider_service_with(&clusters.provider, &["--drain-limit=4s"]).await;
    clusters.konnector.kill();
    withdraw(&service).await;
    watch_until(exports(&service), &service.export(), waits, SOON).await.unwrap();
    watch_until_gone(exports(&service), &service.export(), SOON).await.unwrap();
}
