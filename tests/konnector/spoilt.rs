//! The provider's Secret with a consumer's kubeconfig, spoilt by somebody.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan_core::{api::kubebind::ClusterBinding, condition};
use portolan_testkit::eventually::watch_until;
use serde_json::json;

use crate::{
    reasons::event,
    support::{SOON, Service, clusters, kubeconfig_for, merge, object_with},
};

/// Reason and message of `SecretValid`.
fn said(contract: &ClusterBinding) -> Option<(String, String)> {
    let conditions = &contract.status.as_ref()?.conditions;
    condition::find(conditions, "SecretValid").map(|said| (said.reason.clone(), said.message.clone()))
}

#[tokio::test]
async fn a_spoilt_secret_of_the_provider_is_told_there_and_takes_nothing_from_the_consumer() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "spoilt").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let ours: Api<Secret> = Api::namespaced(service.consumer.clone(), "default");
    let theirs: Api<Secret> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let wanted = json!({"metadata": {"labels": {"kube-bind.io/provider-kubeconfig": "true"}}});
    ours.patch("spoilt", &PatchParams::default(), &Patch::Merge(&wanted)).await.unwrap();
    let given = ours.get("spoilt").await.unwrap().data;

    // It is due, too: neither side can do anything with it, and each says so to the provider's people.
    let due = json!({
        "kube-bind.io/token-issued": "2026-01-01T00:00:00Z", "kube-bind.io/token-expires": "2026-01-31T00:00:00Z",
    });
    let spoilt = json!({"metadata": {"annotations": due}, "data": {"kubeconfig": "bm90aGluZw=="}});
    theirs.patch("kubeconfig", &PatchParams::default(), &Patch::Merge(&spoilt)).await.unwrap();
    let contracts: Api<ClusterBinding> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let invalid = |contract: &ClusterBinding| {
        said(contract)
            .is_some_and(|(reason, why)| reason == "ProviderSecretInvalid" && why.contains("kubeconfig"))
    };
    watch_until(contracts.clone(), "cluster", invalid, SOON).await.unwrap();
    event(&service.provider, "kubeconfig", "NotRenewed").await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(ours.get("spoilt").await.unwrap().data, given, "it is not taken over");

    // The cure that both name.
    kubeconfig_for(clusters, "spoilt", "test=spoilt").await;
    let valid = |contract: &ClusterBinding| said(contract).is_some_and(|(reason, _)| reason.is_empty());
    watch_until(contracts, "cluster", valid, SOON).await.unwrap();
}
