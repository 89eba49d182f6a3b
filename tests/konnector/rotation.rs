//! Kubeconfigs that the provider renews, and who takes them over.

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    events::v1::Event,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport, ClusterBinding},
    condition,
};
use portolan_testkit::eventually::{eventually, watch_until, watch_until_gone};
use serde_json::{Value, json};

use crate::support::{
    Clusters, SOON, Service, bundle_condition, clusters, konnector, kubeconfig_for, merge, object_with,
    write_secret,
};

fn content(secret: &Secret) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()["kubeconfig"].0.clone()).unwrap()
}

fn of_provider(service: &Service) -> Api<Secret> {
    Api::namespaced(service.provider.clone(), &service.contract_namespace())
}

fn of_consumer(service: &Service) -> Api<Secret> {
    Api::namespaced(service.consumer.clone(), "default")
}

async fn patch(secrets: &Api<Secret>, name: &str, change: Value) {
    secrets.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

/// Tells the provider that the token has nearly expired, and waits for the next one.
async fn renewed(service: &Service) -> String {
    let before = content(&of_provider(service).get("kubeconfig").await.unwrap());
    // The next token must be seen to last longer.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let old = json!({"kube-bind.io/token-issued": "2026-01-01T00:00:00Z", "kube-bind.io/token-expires": "2026-01-31T00:00:00Z"});
    patch(&of_provider(service), "kubeconfig", json!({"metadata": {"annotations": old}})).await;
    let is_new = |secret: &Secret| content(secret) != before;
    let secret = watch_until(of_provider(service), "kubeconfig", is_new, SOON).await.unwrap();
    content(&secret)
}

/// Applies the rights that the Event on the Secret asks for.
async fn allow_writing(service: &Service) {
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": format!("kube-bind-{}", service.name)},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [service.name], "verbs": ["patch"]}],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": format!("kube-bind-{}", service.name)},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": format!("kube-bind-{}", service.name)},
        "subjects": [{"kind": "ServiceAccount", "name": "konnector", "namespace": "kube-bind"}],
    }))
    .unwrap();
    let roles: Api<Role> = Api::namespaced(service.consumer.clone(), "default");
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(service.consumer.clone(), "default");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test]
async fn a_renewed_kubeconfig_is_taken_over_only_into_a_secret_that_says_so() {
    let service = Service::bind(clusters().await, "renewed").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let given = content(&of_consumer(&service).get("renewed").await.unwrap());
    assert_eq!(content(&of_provider(&service).get("kubeconfig").await.unwrap()), given);

    // Without the label, the Secret is its owner's alone.
    renewed(&service).await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    // Longer than two polls.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(content(&of_consumer(&service).get("renewed").await.unwrap()), given);

    // With it and without the right, an Event tells which right is missing.
    let label = json!({"metadata": {"labels": {"kube-bind.io/provider-kubeconfig": "true"}}});
    patch(&of_consumer(&service), "renewed", label).await;
    let events: Api<Event> = Api::namespaced(service.consumer.clone(), "default");
    let said = eventually("an Event names the missing right", SOON, async || {
        let all = events.list(&ListParams::default()).await?.items;
        let about =
            |event: &Event| event.regarding.as_ref().and_then(|on| on.name.as_deref()) == Some("renewed");
        Ok::<_, kube::Error>(
            all.into_iter().find(|e| about(e) && e.reason.as_deref() == Some("RenewalForbidden")),
        )
    })
    .await
    .unwrap();
    assert!(said.note.unwrap().contains("\"resourceNames\":[\"renewed\"],\"verbs\":[\"patch\"]"));

    allow_writing(&service).await;
    let newest = renewed(&service).await;
    let is_newest = |secret: &Secret| content(secret) == newest;
    watch_until(of_consumer(&service), "renewed", is_newest, SOON).await.unwrap();
    merge(&service.here(), "billy", json!({"spec": {"intent": "sleep"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "sleep").await;
    bundle_condition(&service.consumer, "renewed", "Ready", ("True", "")).await;

    // The provider is told when there is nothing to renew from.
    of_provider(&service).delete("kubeconfig", &DeleteParams::default()).await.unwrap();
    let contracts: Api<ClusterBinding> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let told = |contract: &ClusterBinding| {
        let said = contract.status.iter().flat_map(|status| &status.conditions);
        said.into_iter().any(|c| c.r#type == "SecretValid" && c.reason == "ProviderSecretNotFound")
    };
    let contract = watch_until(contracts, "cluster", told, SOON).await.unwrap();
    assert!(condition::is_true(&contract.status.unwrap().conditions, "Healthy"), "the heartbeat is judged");
}

#[tokio::test]
async fn a_contract_namespace_that_was_made_anew_with_the_same_exports_is_noticed() {
    let mut clusters = Clusters::start("contract-new").await;
    let service = Service::bind(&clusters, "contract-new").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let known = |bundle: &APIServiceBindingBundle| {
        bundle.status.as_ref().is_some_and(|status| status.contract_namespace_uid.is_some())
    };
    watch_until(bundles.clone(), "contract-new", known, SOON).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let bound = bindings.get(&service.export()).await.unwrap().metadata.uid;

    clusters.konnector.kill();
    let namespaces: Api<Namespace> = Api::all(service.provider.clone());
    namespaces.delete(&service.contract_namespace(), &DeleteParams::default()).await.unwrap();
    // Its controller looks again after some seconds, and longer where there are many kinds.
    watch_until_gone(namespaces.clone(), &service.contract_namespace(), SOON * 3).await.unwrap();
    let again = kubeconfig_for(&clusters, "contract-new", "test=contract-new").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    watch_until(exports, &service.export(), |_| true, SOON).await.unwrap();
    write_secret(&service.consumer, "contract-new", "kubeconfig", &again).await;
    (clusters.konnector, _) = konnector(&clusters.konnector_kubeconfig).await;

    bundle_condition(&service.consumer, "contract-new", "Ready", ("False", "AnotherContract")).await;
    let anew = namespaces.get(&service.contract_namespace()).await.unwrap().metadata.uid;
    let word = json!({"metadata": {"annotations": {"kube-bind.io/accept-contract": anew}}});
    bundles.patch("contract-new", &PatchParams::default(), &Patch::Merge(&word)).await.unwrap();
    bundle_condition(&service.consumer, "contract-new", "Ready", ("True", "")).await;
    assert_eq!(bindings.get(&service.export()).await.unwrap().metadata.uid, bound, "it stays bound");
    service.arrives("billy").await;
}

#[tokio::test]
async fn what_goes_with_the_contract_namespace_is_not_taken_for_withdrawn() {
    let clusters = Clusters::start("contract-gone").await;
    let service = Service::bind(&clusters, "contract-gone").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let namespaces: Api<Namespace> = Api::all(service.provider.clone());
    // Something in it holds the namespace, so that it can be seen going.
    let held = json!({"metadata": {"finalizers": ["example.dev/held"]}});
    let accounts: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let map = serde_json::from_value(json!({"metadata": {"name": "held"}})).unwrap();
    accounts.create(&PostParams::default(), &map).await.unwrap();
    accounts.patch("held", &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    namespaces.delete(&service.contract_namespace(), &DeleteParams::default()).await.unwrap();
    eventually("the bundle says that the provider is suspect", SOON, async || {
        let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
        let status = bundles.get("contract-gone").await?.status.unwrap_or_default();
        let said = condition::find(&status.conditions, "Synced").map(|c| c.reason.clone());
        match said.as_deref() {
            Some("ProviderSuspect") => Ok(Some(())),
            _ => Err(anyhow::anyhow!("{:?}", status.conditions)),
        }
    })
    .await
    .unwrap();
    assert!(service.here().get_opt("billy").await.unwrap().is_some(), "the consumer's objects must stay");
}
