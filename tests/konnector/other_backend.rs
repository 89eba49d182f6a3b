//! A provider whose objects are written by another backend, or by hand: the wire contract alone must do.

use k8s_openapi::{
    api::rbac::v1::{Role, RoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceExport, APIServiceNamespace, BoundSchema};
use portolan_testkit::{control_plane::ControlPlane, eventually::eventually, workload};
use serde_json::json;

use crate::support::{
    SOON, binding_condition, bundle_condition, clusters, cowboy, create_bundle, create_namespace,
    grant_group, kind_of, object_with, write_secret,
};

/// The rights that every backend gives a konnector in its contract namespace.
async fn give_rights(
    provider: &ControlPlane,
    client: &Client,
    namespace: &str,
    group: &str,
    mapped: &str,
) -> String {
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), namespace);
    let account = json!({"metadata": {"name": "kube-binder"}});
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let contract = json!([
        {"apiGroups": ["kube-bind.io"], "resources": ["clusterbindings", "apiserviceexports", "apiserviceexportrequests", "boundschemas"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["kube-bind.io"], "resources": ["apiservicenamespaces"], "verbs": ["get", "list", "watch", "create"]},
        {"apiGroups": ["kube-bind.io"], "resources": ["apiserviceexports/status", "boundschemas/status"], "verbs": ["get", "patch", "update"]},
    ]);
    let objects = json!([
        {"apiGroups": [group], "resources": ["cowboys", "sheriffs"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
    ]);
    for (place, rules) in [(namespace, contract), (mapped, objects)] {
        let role: Role =
            serde_json::from_value(json!({"metadata": {"name": "kube-binder"}, "rules": rules})).unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "kube-binder"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "kube-binder"},
            "subjects": [{"kind": "ServiceAccount", "name": "kube-binder", "namespace": namespace}],
        }))
        .unwrap();
        Api::namespaced(client.clone(), place).create(&PostParams::default(), &role).await.unwrap();
        Api::namespaced(client.clone(), place).create(&PostParams::default(), &binding).await.unwrap();
    }
    let token = provider.token_for(namespace, "kube-binder", &[], 3600).await.unwrap();
    provider.kubeconfig_for_token(&token, namespace)
}

#[tokio::test]
async fn an_export_that_was_written_by_hand_is_bound() {
    let clusters = clusters().await;
    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let (mut crd, resource) = kind_of("by-hand");
    // Not labelled as exported: our own provider leaves it alone.
    crd.labels_mut().clear();
    workload::install(&provider, &crd).await.unwrap();
    let (sheriffs, sheriff) = sheriffs(&crd);
    workload::install(&provider, &sheriffs).await.unwrap();
    create_namespace(&provider, "tenant-a").await;
    create_namespace(&provider, "tenant-a-west").await;
    let kubeconfig =
        give_rights(&clusters.provider, &provider, "tenant-a", "by-hand.dev", "tenant-a-west").await;

    let schemas: Api<BoundSchema> = Api::namespaced(provider.clone(), "tenant-a");
    for crd in [&crd, &sheriffs] {
        schemas.create(&PostParams::default(), &schema(crd)).await.unwrap();
    }
    let export: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": "cowboys-by-hand"},
        "spec": {
            "informerScope": "Namespaced", "isolation": "Prefixed",
            "resources": [
                {"group": "by-hand.dev", "resource": "cowboys", "versions": ["v1alpha1"]},
                {"group": "by-hand.dev", "resource": "sheriffs", "versions": ["v1beta1"]},
            ],
        },
    }))
    .unwrap();
    Api::namespaced(provider.clone(), "tenant-a").create(&PostParams::default(), &export).await.unwrap();

    grant_group(&consumer, "by-hand.dev").await;
    create_namespace(&consumer, "west").await;
    write_secret(&consumer, "by-hand", "kubeconfig", &kubeconfig).await;
    create_bundle(&consumer, "by-hand", "by-hand").await;
    bundle_condition(&consumer, "by-hand", "Ready", ("True", "")).await;
    binding_condition(&consumer, "cowboys-by-hand", "Ready", ("True", "")).await;

    let here = Api::namespaced_with(consumer.clone(), "west", &resource);
    let there = Api::namespaced_with(provider.clone(), "tenant-a-west", &resource);
    here.create(&PostParams::default(), &cowboy(&resource, "billy", &json!({"intent": "ride"})))
        .await
        .unwrap();
    // This provider answers slowly, and by hand.
    let requests: Api<APIServiceNamespace> = Api::namespaced(provider.clone(), "tenant-a");
    eventually("the namespace is asked for", SOON, async || requests.get_opt("west").await).await.unwrap();
    let answer = json!({"status": {"namespace": "tenant-a-west"}});
    requests.patch_status("west", &PatchParams::default(), &Patch::Merge(&answer)).await.unwrap();
    object_with(&there, "billy", "arrives", |copy| copy.data["spec"]["intent"] == "ride").await;

    let status = json!({"status": {"result": "rode"}});
    there.patch_status("billy", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    object_with(&here, "billy", "has the status", |origin| origin.data["status"]["result"] == "rode").await;

    // The other resource of the export comes in all its versions, and is kept in sync in the one that objects are
    // stored in, whichever is named: a write in another one would drop what only that one has.
    let crds: Api<CustomResourceDefinition> = Api::all(consumer.clone());
    let brought = crds.get("sheriffs.by-hand.dev").await.unwrap();
    let versions: Vec<_> = brought.spec.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!(versions, ["v1alpha1", "v1beta1"]);
    let here: Api<DynamicObject> = Api::namespaced_with(consumer.clone(), "west", &sheriff);
    let there = Api::namespaced_with(provider.clone(), "tenant-a-west", &sheriff);
    here.create(&PostParams::default(), &cowboy(&sheriff, "pat", &json!({"intent": "watch"}))).await.unwrap();
    let copy = object_with(&there, "pat", "arrives", |copy| copy.data["spec"]["intent"] == "watch").await;
    let ours = copy.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some("kube-bind.io"));
    assert_eq!(ours.unwrap().api_version.as_deref(), Some("by-hand.dev/v1alpha1"));
}

/// A second kind of the same group, in two versions.
fn sheriffs(cowboys: &CustomResourceDefinition) -> (CustomResourceDefinition, ApiResource) {
    let mut crd = cowboys.clone();
    crd.metadata.name = Some("sheriffs.by-hand.dev".to_owned());
    crd.spec.names = serde_json::from_value(json!({
        "kind": "Sheriff", "listKind": "SheriffList", "plural": "sheriffs", "singular": "sheriff",
    }))
    .unwrap();
    let mut beta = crd.spec.versions[0].clone();
    "v1beta1".clone_into(&mut beta.name);
    beta.storage = false;
    crd.spec.versions.push(beta);
    let resource = ApiResource {
        group: "by-hand.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "by-hand.dev/v1alpha1".to_owned(),
        kind: "Sheriff".to_owned(),
        plural: "sheriffs".to_owned(),
    };
    (crd, resource)
}

fn schema(crd: &CustomResourceDefinition) -> BoundSchema {
    let spec = json!({
        "group": "by-hand.dev", "informerScope": "Namespaced", "scope": "Namespaced", "names": crd.spec.names,
        "versions": crd.spec.versions,
    });
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": crd.name_any()}, "spec": spec,
    }))
    .unwrap()
}
