//! A provider whose objects are written by another backend, or by hand: the wire contract alone must do.

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
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
        {"apiGroups": [group], "resources": ["cowboys"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
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
    create_namespace(&provider, "tenant-a").await;
    create_namespace(&provider, "tenant-a-west").await;
    let kubeconfig =
        give_rights(&clusters.provider, &provider, "tenant-a", "by-hand.dev", "tenant-a-west").await;

    let spec = json!({
        "group": "by-hand.dev", "informerScope": "Namespaced", "scope": "Namespaced",
        "names": {"kind": "Cowboy", "listKind": "CowboyList", "plural": "cowboys", "singular": "cowboy"},
        "versions": crd.spec.versions,
    });
    let schema: BoundSchema = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": "cowboys.by-hand.dev"}, "spec": spec,
    }))
    .unwrap();
    let export: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": "cowboys-by-hand"},
        "spec": {
            "informerScope": "Namespaced", "isolation": "Prefixed",
            "resources": [{"group": "by-hand.dev", "resource": "cowboys", "versions": ["v1alpha1"]}],
        },
    }))
    .unwrap();
    Api::namespaced(provider.clone(), "tenant-a").create(&PostParams::default(), &schema).await.unwrap();
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
}
