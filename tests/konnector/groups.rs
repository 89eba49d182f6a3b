//! Groups that may be bound: not our own, nor one that the API server serves in another way, nor one that nobody
//! wants.

use anyhow::ensure;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport, BoundSchema},
    condition::{Severity, find},
};
use portolan_testkit::{eventually::eventually, watch_until, workload};
use serde_json::{Value, json};

use crate::{
    support::{
        SOON, Service, binding_condition, bundle_condition, clusters, create_bundle, grant_group, kind_of,
        write_secret,
    },
    usable::warnings,
    wire::hand_made,
};

/// An export as another backend makes it, with its schema.
async fn offered_elsewhere(service: &Service, plural: &str, group: &str, version: &str) -> String {
    let name = format!("{plural}.{group}");
    let spec = json!({
        "informerScope": "Namespaced", "isolation": "Prefixed",
        "resources": [{"group": group, "resource": plural, "versions": [version]}],
    });
    let export: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap();
    let schema: BoundSchema = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": name},
        "spec": {
            "group": group, "informerScope": "Namespaced", "scope": "Namespaced",
            "names": {"plural": plural, "singular": "x", "kind": "X", "listKind": "XList"},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    }))
    .unwrap();
    let (client, namespace) = (service.provider.clone(), service.contract_namespace());
    Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &schema).await.unwrap();
    Api::namespaced(client, &namespace).create(&PostParams::default(), &export).await.unwrap();
    name
}

async fn accept(service: &Service, name: &str, groups: &Value) {
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let change = json!({"metadata": {"annotations": {"kube-bind.io/accept-groups": groups}}});
    bundles.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

/// Somebody labels everything, or takes that back.
async fn label(service: &Service, crd: &str, exported: &Value) {
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let test = if exported.is_null() { json!(null) } else { json!(service.name) };
    let labels = json!({"metadata": {"labels": {"kube-bind.io/exported": exported, "test": test}}});
    crds.patch(crd, &PatchParams::default(), &Patch::Merge(&labels)).await.unwrap();
}

#[tokio::test]
async fn what_the_consumer_serves_already_is_refused_on_both_sides() {
    let service = Service::offer(clusters().await, "groups").await;
    let own = "boundschemas.kube-bind.io";
    label(&service, own, &json!("true")).await;
    eventually("the provider says why not", SOON, async || {
        let told = warnings(&service.provider, "CustomResourceDefinition", own).await;
        let is = |(reason, note): &(String, String)| {
            reason == "NotExportable" && note.contains("group of exports")
        };
        ensure!(told.iter().any(is), "{told:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();

    // Other providers may not be as careful.
    let impossible = [
        offered_elsewhere(&service, "clusterbindings", "kube-bind.io", "v1alpha2").await,
        offered_elsewhere(&service, "ingresses", "networking.k8s.io", "v1").await,
    ];
    write_secret(&service.consumer, "groups", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "groups", "groups").await;
    let said =
        bundle_condition(&service.consumer, "groups", "ExportsAccepted", ("False", "GroupNotBindable")).await;
    assert_eq!(said.severity, Severity::Warning);
    for part in [
        "exports cannot be bound: clusterbindings",
        "clusterbindings.kube-bind.io (kube-bind.io is the group of bindings themselves)",
        "ingresses.networking.k8s.io (this cluster's API server serves networking.k8s.io/v1 itself)",
    ] {
        assert!(said.message.contains(part), "{}", said.message);
    }
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    assert!(exports.get_opt(own).await.unwrap().is_none());
    for name in &impossible {
        assert!(bindings.get_opt(name).await.unwrap().is_none(), "{name}");
        let told = |export: &APIServiceExport| {
            let conditions = export.status.clone().unwrap_or_default().conditions;
            find(&conditions, "Connected")
                .is_some_and(|c| c.reason == "APIServiceBindingNotFound" && c.severity == Severity::Info)
        };
        watch_until(exports.clone(), name, told, SOON).await.unwrap();
    }

    // A binding that was made by hand is no way around it.
    let before: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let ours = "apiservicebindings.kube-bind.io";
    let uid = before.get(ours).await.unwrap().uid();
    bindings.create(&PostParams::default(), &hand_made(&impossible[0], "groups")).await.unwrap();
    let said =
        binding_condition(&service.consumer, &impossible[0], "SchemaInSync", ("False", "GroupNotBindable"))
            .await;
    assert!(said.message.contains("group of bindings themselves"), "{}", said.message);
    assert!(before.get_opt(&impossible[0]).await.unwrap().is_none());
    assert_eq!(before.get(ours).await.unwrap().uid(), uid);
    bindings.delete(&impossible[0], &DeleteParams::default()).await.unwrap();
    label(&service, own, &json!(null)).await;
}

#[tokio::test]
async fn a_group_that_an_apiservice_serves_is_bound_when_that_is_gone() {
    let service = Service::offer(clusters().await, "aggregated").await;
    let services: Api<APIService> = Api::all(service.consumer.clone());
    let name = "v1alpha1.aggregated.dev";
    let aggregated: APIService = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "group": "aggregated.dev", "version": "v1alpha1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"name": "nowhere", "namespace": "default", "port": 443},
        },
    }))
    .unwrap();
    services.create(&PostParams::default(), &aggregated).await.unwrap();
    write_secret(&service.consumer, "aggregated", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "aggregated", "aggregated").await;
    let said =
        bundle_condition(&service.consumer, "aggregated", "Ready", ("False", "GroupNotBindable")).await;
    assert!(
        said.message.contains(&format!("APIService {name} serves aggregated.dev/v1alpha1")),
        "{}",
        said.message
    );
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    assert!(bindings.get_opt(&service.export()).await.unwrap().is_none());

    services.delete(name, &DeleteParams::default()).await.unwrap();
    // With the CRD, the API server makes an APIService of its own, which stands in nobody's way.
    bundle_condition(&service.consumer, "aggregated", "Ready", ("True", "")).await;
    let own =
        |service: &APIService| service.labels().contains_key("kube-aggregator.kubernetes.io/automanaged");
    watch_until(services, name, own, SOON).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
}

#[tokio::test]
async fn a_bundle_takes_the_groups_that_people_want_and_keeps_what_it_has() {
    let service = Service::offer(clusters().await, "wanted").await;
    let (mut other, resource) = kind_of("unwanted");
    other.labels_mut().insert("test".to_owned(), "wanted".to_owned());
    workload::install(&service.provider, &other).await.unwrap();
    grant_group(&service.consumer, &resource.group).await;
    write_secret(&service.consumer, "wanted", "kubeconfig", &service.kubeconfig).await;
    let mut bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": "wanted", "annotations": {"kube-bind.io/accept-groups": "wanted.dev,*.example.org"}},
    });
    bundle["spec"] =
        json!({"kubeconfigSecretRef": {"name": "wanted", "namespace": "default", "key": "kubeconfig"}});
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.create(&PostParams::default(), &serde_json::from_value(bundle).unwrap()).await.unwrap();

    bundle_condition(&service.consumer, "wanted", "Ready", ("True", "")).await;
    let said =
        bundle_condition(&service.consumer, "wanted", "ExportsAccepted", ("True", "GroupsNotAccepted")).await;
    assert!(
        said.message.contains("exports are not accepted") && said.message.contains("cowboys.unwanted.dev")
    );
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    assert!(bindings.get_opt("cowboys.unwanted.dev").await.unwrap().is_none());
    assert_eq!(bundles.get("wanted").await.unwrap().status.unwrap().refused, Some(1));

    accept(&service, "wanted", &json!("*wanted.dev")).await;
    binding_condition(&service.consumer, "cowboys.unwanted.dev", "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let uid = bindings.get(&service.export()).await.unwrap().uid();
    // Less is wanted: nothing that is there goes for it.
    accept(&service, "wanted", &json!("nothing.example.org")).await;
    let said =
        bundle_condition(&service.consumer, "wanted", "ExportsAccepted", ("True", "GroupsNotAccepted")).await;
    assert!(said.message.contains("Already bound"), "{}", said.message);
    // What cannot be read changes nothing, and says so.
    accept(&service, "wanted", &json!("https://wanted.dev")).await;
    let said =
        bundle_condition(&service.consumer, "wanted", "ExportsAccepted", ("False", "InvalidAcceptGroups"))
            .await;
    assert!(said.message.contains("https://wanted.dev"), "{}", said.message);
    assert_eq!(bindings.get(&service.export()).await.unwrap().uid(), uid);
    assert!(service.here().get_opt("billy").await.unwrap().is_some());
    accept(&service, "wanted", &json!(null)).await;
    bundle_condition(&service.consumer, "wanted", "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_named_with_who_has_it() {
    let service = Service::offer(clusters().await, "names").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let mut local = kind_of("names").0;
    local.metadata.name = Some("locals.names.dev".to_owned());
    local.metadata.labels = None;
    local.spec.names = serde_json::from_value(json!({
        "plural": "locals", "singular": "local", "kind": "Local", "listKind": "LocalList", "shortNames": ["cb"],
    }))
    .unwrap();
    workload::install(&service.consumer, &local).await.unwrap();
    write_secret(&service.consumer, "names", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "names", "names").await;
    let expected = ("False", "NamesNotAccepted");
    let said = binding_condition(&service.consumer, &service.export(), "SchemaInSync", expected).await;
    assert!(said.message.contains("shortName cb is in use by locals.names.dev"), "{}", said.message);

    let free = json!({"spec": {"names": {"shortNames": ["lo"]}}});
    crds.patch("locals.names.dev", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
}
