//! Messages when something is wrong: Events for people, conditions for providers, and the probes.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport},
    condition::{Condition, Severity, find},
};
use portolan_testkit::{
    eventually::eventually,
    service::{Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess},
    watch_until,
};

use crate::{
    support::{
        RELEASE, SOON, Service, binding_condition, bundle_condition, clusters, create_bundle, kind_of,
        kubeconfig_for, plane, write_secret,
    },
    usable::warnings,
    wire::hand_made,
};

async fn told(client: &Client, kind: &str, name: &str, reason: &str) -> String {
    let look = async || {
        let all = warnings(client, kind, name).await;
        let found: Vec<_> = all.iter().filter(|(said, _)| said == reason).collect();
        ensure!(found.len() == 1, "{all:?}");
        Ok(Some(found[0].1.clone()))
    };
    eventually(&format!("an Event {reason} on {name}"), SOON, look).await.unwrap()
}

async fn connected(exports: &Api<APIServiceExport>, name: &str, reason: &str) -> Condition {
    let said = |export: &APIServiceExport| {
        let conditions = export.status.clone().unwrap_or_default().conditions;
        find(&conditions, "Connected").filter(|connected| connected.reason == reason).cloned()
    };
    let export = watch_until(exports.clone(), name, |export| said(export).is_some(), SOON).await.unwrap();
    said(&export).unwrap()
}

#[tokio::test]
async fn people_are_told_once_on_the_object_that_they_can_mend() {
    let service = Service::offer(clusters().await, "told").await;
    create_bundle(&service.consumer, "told", "told").await;
    let note = told(&service.consumer, "APIServiceBindingBundle", "told", "KubeconfigSecretNotFound").await;
    assert_eq!(note, "Kubeconfig secret default/told not found.");
    write_secret(&service.consumer, "told", "kubeconfig", "nonsense").await;
    told(&service.consumer, "APIServiceBindingBundle", "told", "KubeconfigSecretInvalid").await;
    write_secret(&service.consumer, "told", "kubeconfig", &service.kubeconfig).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;

    // What is wrong with the whole provider is the bundle's to say, whatever it has bound.
    let gone = service.kubeconfig.replace("https://127.0.0.1", "https://127.0.0.2");
    write_secret(&service.consumer, "told", "kubeconfig", &gone).await;
    binding_condition(&service.consumer, &service.export(), "Connected", ("False", "ProviderUnreachable"))
        .await;
    told(&service.consumer, "APIServiceBindingBundle", "told", "ListExportsFailed").await;
    // Time for another Event, at the next poll.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let on_binding = warnings(&service.consumer, "APIServiceBinding", &service.export()).await;
    assert!(on_binding.iter().all(|(reason, _)| reason != "ProviderUnreachable"), "{on_binding:?}");

    // A binding that was made by hand has no bundle to speak for it.
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    bindings.create(&PostParams::default(), &hand_made("told-by-hand", "told-nowhere")).await.unwrap();
    told(&service.consumer, "APIServiceBinding", "told-by-hand", "KubeconfigSecretNotFound").await;
    bindings.delete("told-by-hand", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_provider_hears_that_its_schema_could_not_be_used_and_that_nobody_binds() {
    let clusters = clusters().await;
    let service = Service::offer(clusters, "unheard").await;
    let mut foreign = kind_of("unheard").0;
    foreign.metadata.labels = None;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    crds.create(&PostParams::default(), &foreign).await.unwrap();
    write_secret(&service.consumer, "unheard", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "unheard", "unheard").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let said = connected(&exports, &service.export(), "BoundSchemasNotValid").await;
    assert_eq!(said.severity, Severity::Warning);
    assert_eq!(said.message, "The consumer has another CustomResourceDefinition of this name.");
    crds.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    connected(&exports, &service.export(), "").await;

    // The same kind by way of another contract: its name is taken on the consumer.
    let kubeconfig = kubeconfig_for(clusters, "unheard-too", "test=unheard").await;
    write_secret(&service.consumer, "unheard-too", "kubeconfig", &kubeconfig).await;
    create_bundle(&service.consumer, "unheard-too", "unheard-too").await;
    bundle_condition(&service.consumer, "unheard-too", "Synced", ("False", "SyncErrors")).await;
    let others: Api<APIServiceExport> = Api::namespaced(service.provider.clone(), "kube-bind-unheard-too");
    let said = connected(&others, &service.export(), "APIServiceBindingNotFound").await;
    assert_eq!(said.severity, Severity::Info);
    // A second bundle with the same contract, which has bound it, does not deny that.
    create_bundle(&service.consumer, "unheard-again", "unheard").await;
    bundle_condition(&service.consumer, "unheard-again", "Synced", ("False", "SyncErrors")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = exports.get(&service.export()).await.unwrap().status.unwrap_or_default();
    assert_eq!(find(&status.conditions, "Connected").unwrap().reason, "", "{:?}", status.conditions);
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    for name in ["unheard-again", "unheard-too"] {
        bundles.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn fields_of_a_kubeconfig_that_are_empty_say_nothing() {
    let service = Service::offer(clusters().await, "hollow").await;
    let user =
        "    exec: null\n    auth-provider: {}\n    tokenFile: \"\"\n    username: \"\"\n    as-groups: []\n";
    let cluster =
        "    insecure-skip-tls-verify: false\n    proxy-url: \"\"\n    certificate-authority: \"\"\n";
    let hollow = service
        .kubeconfig
        .replace("    token: ", &format!("{user}    token: "))
        .replace("    server: ", &format!("{cluster}    server: "));
    assert!(hollow.contains("exec: null") && hollow.contains("proxy-url"), "{hollow}");
    write_secret(&service.consumer, "hollow", "kubeconfig", &hollow).await;
    create_bundle(&service.consumer, "hollow", "hollow").await;
    bundle_condition(&service.consumer, "hollow", "Ready", ("True", "")).await;
    let refused = hollow.replace("exec: null", "exec: {command: sh}");
    write_secret(&service.consumer, "hollow", "kubeconfig", &refused).await;
    bundle_condition(&service.consumer, "hollow", "SecretValid", ("False", "KubeconfigSecretInvalid")).await;
}

fn setup() -> ServiceAccountSetup {
    ServiceAccountSetup {
        service: "konnector".to_owned(),
        namespace: RELEASE.to_owned(),
        secret_namespaces: vec![RELEASE.to_owned(), "default".to_owned()],
        target_namespaces: Vec::new(),
    }
}

#[tokio::test]
async fn a_bundle_says_that_its_bindings_cannot_be_seen_and_goes_on_when_they_can() {
    let consumer = plane("blind").await;
    let mut rules = Rbac::load("konnector").unwrap();
    for rule in rules.cluster_rules.iter_mut().filter(|rule| rule.resources == ["apiservicebindings"]) {
        rule.verbs.retain(|verb| !["list", "watch"].contains(&verb.as_str()));
    }
    let account = setup().create_with(&consumer, &rules).await.unwrap();
    let mut options = ServiceOptions::new("konnector", &account)
        .args(["--server-address=127.0.0.1:0", "--provider-polling-interval=2s"]);
    RELEASE.clone_into(&mut options.pod_namespace);
    options.ready_within = None;
    let konnector = ServiceProcess::start(options).await.unwrap();
    let client = consumer.client();
    let bundles: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served = |crd: &CustomResourceDefinition| {
        let conditions = crd.status.clone().and_then(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Established" && c.status == "True")
    };
    watch_until(bundles, "apiservicebindingbundles.kube-bind.io", served, SOON).await.unwrap();
    create_bundle(&client, "blind", "blind").await;
    let said = bundle_condition(&client, "blind", "Synced", ("False", "ListBindingsFailed")).await;
    assert_eq!(said.severity, Severity::Error);
    assert!(said.message.contains("forbidden"), "{}", said.message);
    told(&client, "APIServiceBindingBundle", "blind", "ListBindingsFailed").await;
    assert_eq!(konnector.admin_get("/readyz").await.unwrap().0, 503);

    setup().create(&consumer).await.unwrap();
    bundle_condition(&client, "blind", "Ready", ("False", "KubeconfigSecretNotFound")).await;
    konnector.wait_ready(SOON).await.unwrap();
}

#[tokio::test]
async fn readyz_falls_with_the_api_server_and_comes_back_with_it() {
    let consumer = plane("unready").await;
    let account = setup().create(&consumer).await.unwrap();
    let (konnector, _) = crate::support::konnector(&account).await;
    let ready = async || konnector.admin_get("/readyz?verbose").await;
    let becomes = async |expected: u16| {
        eventually(&format!("/readyz answers {expected}"), SOON, async || {
            let (status, body) = ready().await?;
            ensure!(status == expected, "{status}: {body}");
            Ok(Some(body))
        })
        .await
        .unwrap()
    };
    becomes(200).await;
    // It is silent, and shortly after there again: the process has not given up yet.
    consumer.pause_apiserver();
    let body = becomes(503).await;
    consumer.resume_apiserver();
    assert!(body.contains("[-] lease: the API server cannot be used"), "{body}");
    becomes(200).await;
    assert!(konnector.exited().is_none());

    consumer.stop_apiserver();
    becomes(503).await;
}
