//! The main job: one bundle, and what a provider exports can be used on the consumer.

use std::time::Duration;

use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{
    APIServiceBinding, APIServiceBindingBundle, APIServiceExport, BoundSchema,
};
use portolan_testkit::{audit::summary, eventually::eventually};
use serde_json::json;

use crate::support::{
    SOON, Service, binding_condition, bundle_condition, clusters, cowboy, create_namespace, matching, merge,
    merge_status, object_gone, object_with, write_secret,
};

/// The document's own object.
const DOCUMENT: &str = r#"{
    "apiVersion": "kube-bind.io/v1alpha2",
    "kind": "APIServiceBindingBundle",
    "metadata": {"name": "prod-services"},
    "spec": {"kubeconfigSecretRef": {"name": "provider-kubeconfig", "namespace": "default", "key": "kubeconfig"}}
}"#;

#[tokio::test]
async fn the_documents_bundle_binds_a_service_even_when_it_comes_before_its_secret() {
    let clusters = clusters().await;
    let service = Service::offer(clusters, "document").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let bundle =
        bundles.create(&PostParams::default(), &serde_json::from_str(DOCUMENT).unwrap()).await.unwrap();
    bundle_condition(&service.consumer, "prod-services", "Ready", ("False", "KubeconfigSecretNotFound"))
        .await;

    write_secret(&service.consumer, "provider-kubeconfig", "kubeconfig", &service.kubeconfig).await;
    bundle_condition(&service.consumer, "prod-services", "Synced", ("True", "")).await;
    bundle_condition(&service.consumer, "prod-services", "Ready", ("True", "")).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;

    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let binding = bindings.get(&service.export()).await.unwrap();
    assert_eq!(binding.owner_references()[0].uid, bundle.uid().unwrap());
    assert_eq!(binding.spec.kubeconfig_secret_ref, bundle.spec.kubeconfig_secret_ref);
    assert_eq!(binding.status.unwrap().bound_schemas[0].resource, "cowboys");
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let crd = crds.get(&service.export()).await.unwrap();
    assert_eq!(crd.owner_references()[0].name, binding.metadata.name.unwrap());
    let status = bundles.get("prod-services").await.unwrap().status.unwrap();
    assert_eq!((status.exports, status.bound), (Some(1), Some(1)));
}

#[tokio::test]
async fn the_provider_hears_how_its_export_fares() {
    let service = Service::bind(clusters().await, "heard").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    for condition in ["Connected", "ConsumerInSync", "ProviderInSync"] {
        eventually(&format!("the export has {condition}"), SOON, async || {
            let export = exports.get(&service.export()).await?;
            matching(&export.status.unwrap_or_default().conditions, condition, ("True", ""))
        })
        .await
        .unwrap();
    }
    let schemas: Api<BoundSchema> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    eventually("the schema says that it is established", SOON, async || {
        let status = schemas.get(&service.export()).await?.status.unwrap_or_default();
        assert!(status.accepted_names.as_ref().is_none_or(|names| names.kind == "Cowboy"));
        matching(&status.conditions, "Established", ("True", "InitialNamesAccepted"))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn objects_follow_in_both_directions() {
    let service = Service::bind(clusters().await, "both-ways").await;
    service.create("billy", &json!({"intent": "ride", "horse": "red"})).await;
    let copy = service.arrives("billy").await;
    assert_eq!(copy.data["spec"], json!({"intent": "ride", "horse": "red"}));

    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "billy", "has the new spec", |c| c.data["spec"]["intent"] == "rest").await;
    merge(&service.here(), "billy", json!({"spec": {"horse": null}})).await;
    object_with(&service.there(), "billy", "loses a field", |c| c.data["spec"].get("horse").is_none()).await;

    merge_status(&service.there(), "billy", json!({"result": "rested"})).await;
    object_with(&service.here(), "billy", "has the status", |o| o.data["status"]["result"] == "rested").await;
    merge_status(&service.there(), "billy", json!({"result": null, "since": "noon"})).await;
    object_with(&service.here(), "billy", "has exactly the new status", |o| {
        o.data["status"] == json!({"since": "noon"})
    })
    .await;

    let origin = service.here().get("billy").await.unwrap();
    assert_eq!(origin.annotations().get("kube-bind.io/provider-uid"), copy.metadata.uid.as_ref());
    assert!(origin.finalizers().contains(&"kubebind.io/syncer".to_owned()));
    service.here().delete("billy", &kube::api::DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "billy").await;
    object_gone(&service.here(), "billy").await;
}

#[tokio::test]
async fn labels_and_annotations_follow_and_those_of_the_provider_stay() {
    let service = Service::bind(clusters().await, "labels").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    merge(&service.there(), "billy", json!({"metadata": {"labels": {"provider": "1"}}})).await;
    let change = json!({"metadata": {"labels": {"team": "a", "app.kubernetes.io/instance": "x"}, "annotations": {"note": "n"}}});
    merge(&service.here(), "billy", change).await;
    let copy =
        object_with(&service.there(), "billy", "has the label", |c| c.labels().contains_key("team")).await;
    assert_eq!(copy.annotations().get("note").map(String::as_str), Some("n"));
    assert!(!copy.labels().contains_key("app.kubernetes.io/instance"));
    merge(&service.here(), "billy", json!({"metadata": {"labels": {"team": null}}})).await;
    let copy =
        object_with(&service.there(), "billy", "loses the label", |c| !c.labels().contains_key("team")).await;
    assert_eq!(copy.labels().get("provider").map(String::as_str), Some("1"));
}

#[tokio::test]
async fn what_the_consumer_set_is_enforced_and_what_others_add_is_left() {
    let service = Service::bind(clusters().await, "enforced").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    merge(&service.there(), "billy", json!({"spec": {"defaulted": "by a webhook"}})).await;
    merge(&service.there(), "billy", json!({"spec": {"intent": "changed by hand"}})).await;
    let copy =
        object_with(&service.there(), "billy", "is set right", |c| c.data["spec"]["intent"] == "ride").await;
    assert_eq!(copy.data["spec"]["defaulted"], "by a webhook");
}

#[tokio::test]
async fn a_copy_that_is_deleted_on_the_provider_comes_back() {
    let service = Service::bind(clusters().await, "comes-back").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    let first = service.arrives("billy").await;
    service.there().delete("billy", &kube::api::DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "comes back", |c| c.uid() != first.uid()).await;
    let uid = service.there().get("billy").await.unwrap().uid();
    object_with(&service.here(), "billy", "points to the new copy", |o| {
        o.annotations().get("kube-bind.io/provider-uid") == uid.as_ref()
    })
    .await;
}

#[tokio::test]
async fn an_origin_waits_for_its_copy_to_go() {
    let service = Service::bind(clusters().await, "waits").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    merge(&service.there(), "billy", json!({"metadata": {"finalizers": ["example.dev/held"]}})).await;
    service.here().delete("billy", &kube::api::DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "is terminating", |c| c.metadata.deletion_timestamp.is_some())
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(service.here().get_opt("billy").await.unwrap().is_some(), "the origin must not go first");
    merge(&service.there(), "billy", json!({"metadata": {"finalizers": null}})).await;
    object_gone(&service.here(), "billy").await;
}

#[tokio::test]
async fn a_new_object_costs_three_writes_a_change_one_and_rest_none() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "counted").await;
    // The namespace is asked for and answered before counting.
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    object_with(&service.here(), "first", "is in sync", |o| {
        o.annotations().contains_key("kube-bind.io/provider-uid")
    })
    .await;

    let ours = |user: &str, log: &portolan_testkit::audit::AuditLog, mark| {
        let entries: Vec<_> = log
            .writes_by_user(user, mark, false)
            .unwrap()
            .into_iter()
            .filter(|e| e.object_ref.as_ref().is_some_and(|o| o.api_group == "counted.dev"))
            .collect();
        (entries.len(), summary(&entries))
    };
    let consumer_user = "system:serviceaccount:kube-bind:konnector";
    let provider_user = "system:serviceaccount:kube-bind-counted:kube-binder";
    let (here, there) = (clusters.consumer.audit(), clusters.provider.audit());
    // Other tests write to the same clusters all the time, so this waits by the clock.
    let settle = async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        (here.mark().unwrap(), there.mark().unwrap())
    };
    let marks = settle().await;
    service.create("second", &json!({"intent": "ride"})).await;
    service.arrives("second").await;
    object_with(&service.here(), "second", "is in sync", |o| {
        o.annotations().contains_key("kube-bind.io/provider-uid")
    })
    .await;
    let rest = settle().await;
    let (origin_writes, copy_writes) =
        (ours(consumer_user, &here, marks.0), ours(provider_user, &there, marks.1));
    assert!(origin_writes.0 <= 2 && copy_writes.0 == 1, "{origin_writes:?} {copy_writes:?}");

    merge(&service.here(), "second", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "second", "has the new spec", |c| c.data["spec"]["intent"] == "rest").await;
    let after = settle().await;
    let (origin_writes, copy_writes) =
        (ours(consumer_user, &here, rest.0), ours(provider_user, &there, rest.1));
    assert_eq!((origin_writes.0, copy_writes.0), (0, 1), "{origin_writes:?} {copy_writes:?}");

    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((ours(consumer_user, &here, after.0).0, ours(provider_user, &there, after.1).0), (0, 0));
}

#[tokio::test]
async fn a_new_export_of_a_bound_provider_is_bound_by_its_watch_event() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "grows").await;
    let (mut crd, _) = crate::support::kind_of("grows");
    crd.metadata.name = Some("horses.grows.dev".to_owned());
    crd.spec.names.plural = "horses".to_owned();
    crd.spec.names.singular = Some("horse".to_owned());
    crd.spec.names.kind = "Horse".to_owned();
    crd.spec.names.list_kind = Some("HorseList".to_owned());
    crd.spec.names.short_names = None;
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    crds.patch("horses.grows.dev", &PatchParams::apply("test"), &Patch::Apply(&crd)).await.unwrap();
    binding_condition(&service.consumer, "horses.grows.dev", "Ready", ("True", "")).await;
    let status = Api::<APIServiceBindingBundle>::all(service.consumer.clone())
        .get("grows")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(status.bound, Some(2));
}

#[tokio::test]
async fn a_status_comes_although_the_provider_refuses_an_update() {
    let service = Service::bind(clusters().await, "refusing").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let rule = json!({"apiGroups": ["refusing.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["cowboys"]});
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": {"name": "refusing"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.spec.intent != 'refused'"}],
        },
    }))
    .unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": {"name": "refusing"}, "spec": {"policyName": "refusing", "validationActions": ["Deny"]},
    }))
    .unwrap();
    Api::all(service.provider.clone()).create(&PostParams::default(), &policy).await.unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(service.provider.clone());
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let refused = json!({"spec": {"intent": "refused"}});
    eventually("the policy is in force", SOON, async || {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        let outcome = service.there().patch("billy", &params, &Patch::Merge(&refused)).await;
        Ok::<_, anyhow::Error>(outcome.err().filter(|e| e.to_string().contains("refusing")).map(drop))
    })
    .await
    .unwrap();

    merge(&service.here(), "billy", refused).await;
    merge_status(&service.there(), "billy", json!({"result": "still riding"})).await;
    let told = |object: &DynamicObject| object.data["status"]["result"] == "still riding";
    object_with(&service.here(), "billy", "has the status", told).await;
    assert_eq!(service.there().get("billy").await.unwrap().data["spec"]["intent"], "ride");
    bindings.delete("refusing", &DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "follows", |copy| copy.data["spec"]["intent"] == "refused").await;
}

#[tokio::test]
async fn a_kind_without_rights_says_which_role_to_apply_and_works_once_it_is_there() {
    let clusters = clusters().await;
    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let (crd, resource) = crate::support::kind_of("no-rights");
    portolan_testkit::workload::install(&provider, &crd).await.unwrap();
    let kubeconfig = crate::support::kubeconfig_for(clusters, "no-rights", "test=no-rights").await;
    write_secret(&consumer, "no-rights", "kubeconfig", &kubeconfig).await;
    crate::support::create_bundle(&consumer, "no-rights", "no-rights").await;
    let expected = ("False", "PermissionDenied");
    let denied = binding_condition(&consumer, "cowboys.no-rights.dev", "InformersSynced", expected).await;
    let role = denied.message.split_once("Apply: ").unwrap().1;
    let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_json::from_str(role).unwrap();
    // To read is not enough.
    let mut reader = role.clone();
    for rule in reader.rules.iter_mut().flatten() {
        rule.verbs.retain(|verb| verb != "patch");
    }
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(consumer.clone());
    roles.create(&PostParams::default(), &reader).await.unwrap();
    binding_condition(&consumer, "cowboys.no-rights.dev", "Ready", ("True", "")).await;
    create_namespace(&consumer, "no-rights").await;
    let here: Api<DynamicObject> = Api::namespaced_with(consumer.clone(), "no-rights", &resource);
    let billy = cowboy(&resource, "billy", &json!({"intent": "ride"}));
    here.create(&PostParams::default(), &billy).await.unwrap();
    let denied = binding_condition(&consumer, "cowboys.no-rights.dev", "InformersSynced", expected).await;
    assert!(denied.message.contains("\"patch\""), "{}", denied.message);
    roles.patch(&role.name_any(), &PatchParams::apply("test").force(), &Patch::Apply(&role)).await.unwrap();
    binding_condition(&consumer, "cowboys.no-rights.dev", "Ready", ("True", "")).await;
}
