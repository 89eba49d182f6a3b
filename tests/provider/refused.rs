//! What the API server refuses is told, and done once it no longer does.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::{Namespace, Secret, ServiceAccount},
    events::v1::Event,
    rbac::v1::Role,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{
    APIServiceExport, APIServiceNamespace, APIServiceNamespaceSpec, ClusterBinding,
};
use portolan_testkit::{eventually, watch_until};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene};

/// The longest pause between two attempts, and the attempt.
const NEXT: std::time::Duration = SOON.saturating_mul(3);
const POLICY: &str = "denied";
/// Annotation with the end of a token, and a time that is over.
const EXPIRES: &str = "kube-bind.io/token-expires";
const EXPIRED: &str = "2026-01-02T00:00:00Z";

/// No object of these names may be created.
async fn deny(scene: &Scene, names: &[&str]) {
    let rule = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE"], "resources": resources});
    let rules = [
        rule("", &["namespaces"]),
        rule("kube-bind.io", &["apiserviceexports", "clusterbindings"]),
        rule("rbac.authorization.k8s.io", &["roles"]),
    ];
    let expression = format!("!(object.metadata.name in {})", json!(names));
    let policy = json!({
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": expression, "message": "the policy says no"}],
        },
    });
    let binding =
        json!({"metadata": {"name": POLICY}, "spec": {"policyName": POLICY, "validationActions": ["Deny"]}});
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(scene.client());
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.client());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(scene.client());
    let tried: Namespace = serde_json::from_value(json!({"metadata": {"name": names[0]}})).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy is in force", SOON, async || {
        namespaces.create(&dry, &tried).await.is_err().then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn whatever_a_policy_refuses_is_told_and_done_later() {
    let scene = Scene::of_its_own("denied").await;
    let mangos = scene.crd_name("mangos");
    deny(&scene, &["kube-bind-denied-west", &mangos, "cluster", "kube-bind-sweep"]).await;
    let contract = scene.consumer("denied").await.namespace;
    scene.event(&contract, "ContractFailed").await;
    scene.create_crd("mangos", "Namespaced").await;
    scene.event(&mangos, "ExportFailed").await;
    let requests: Api<APIServiceNamespace> = Api::namespaced(scene.client(), &contract);
    let mapped = scene.answered(&scene.client(), &contract, "east").await;
    requests.delete("east", &DeleteParams::default()).await.unwrap();
    scene.event(&mapped, "NamespaceNotInspected").await;
    let west = APIServiceNamespace::new("west", APIServiceNamespaceSpec {});
    requests.create(&PostParams::default(), &west).await.unwrap();
    scene.event("west", "NamespaceFailed").await;

    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.client());
    bindings.delete(POLICY, &DeleteParams::default()).await.unwrap();
    watch_until(requests, "west", |request| request.status.is_some(), NEXT).await.unwrap();
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &contract);
    watch_until(exports, &mangos, |_| true, NEXT).await.unwrap();
    let introduced: Api<ClusterBinding> = Api::namespaced(scene.client(), &contract);
    watch_until(introduced, "cluster", |_| true, NEXT).await.unwrap();
}

#[tokio::test]
async fn rights_in_the_way_are_told() {
    let scene = Scene::shared("in-the-way").await;
    let contract = scene.consumer("in-the-way").await.namespace;
    let roles: Api<Role> = Api::namespaced(scene.client(), &contract);
    let theirs = json!({"metadata": {"name": "kube-binder-exports"}});
    roles.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    let mut crd = json!(scene.crd("mangos", "Namespaced"));
    crd["metadata"]["annotations"] = json!({"kube-bind.io/isolation": "namespaced"});
    let crds: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(scene.client());
    crds.create(&PostParams::default(), &serde_json::from_value(crd).unwrap()).await.unwrap();
    scene.event("kube-binder-exports", "NotOurs").await;
    roles.delete("kube-binder-exports", &DeleteParams::default()).await.unwrap();
    let grants = |role: &Role| role.rules.as_ref().is_some_and(|rules| !rules.is_empty());
    watch_until(roles, "kube-binder-exports", grants, NEXT).await.unwrap();
}

async fn change_kubeconfig(scene: &Scene, contract: &str, change: &Value) {
    let secrets: Api<Secret> = Api::namespaced(scene.client(), contract);
    secrets.patch("kubeconfig", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// Spoils what is in the kubeconfig of a contract.
pub async fn spoil(scene: &Scene, contract: &str) {
    change_kubeconfig(scene, contract, &json!({"data": {"kubeconfig": "bm90aGluZw=="}})).await;
}

/// Says on the kubeconfig of a contract that its token is due.
pub async fn expire(scene: &Scene, contract: &str) {
    let due = json!({"kube-bind.io/token-issued": "2026-01-01T00:00:00Z", EXPIRES: EXPIRED});
    change_kubeconfig(scene, contract, &json!({"metadata": {"annotations": due}})).await;
}

/// Waits for another token in the kubeconfig of a contract.
pub async fn renewed(scene: &Scene, contract: &str) {
    let secrets: Api<Secret> = Api::namespaced(scene.client(), contract);
    let renewed = |secret: &Secret| {
        let annotations = secret.metadata.annotations.clone().unwrap_or_default();
        annotations[EXPIRES] != EXPIRED
    };
    watch_until(secrets, "kubeconfig", renewed, NEXT).await.unwrap();
}

/// What is said about the kubeconfig of a contract.
pub async fn not_renewed(scene: &Scene, contract: &str) -> String {
    let events: Api<Event> = Api::namespaced(scene.client(), contract);
    let look = async || {
        let all = events.list(&ListParams::default()).await?.items;
        let said = all.into_iter().find(|event| event.reason.as_deref() == Some("NotRenewed"));
        Ok::<_, kube::Error>(said.and_then(|event| event.note))
    };
    eventually(&format!("NotRenewed in {contract}"), SOON, look).await.unwrap()
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_renewed_is_told_and_mended() {
    let scene = Scene::shared("not-renewed").await;
    // Somebody has spoilt what is in it.
    let spoilt = scene.consumer("not-renewed").await.namespace;
    spoil(&scene, &spoilt).await;
    expire(&scene, &spoilt).await;
    assert!(not_renewed(&scene, &spoilt).await.contains("provider kubeconfig"));
    // Somebody has deleted the account.
    let deleted = scene.consumer("not-renewed-b").await.namespace;
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client(), &deleted);
    accounts.delete("kube-binder", &DeleteParams::default()).await.unwrap();
    expire(&scene, &deleted).await;
    let said = not_renewed(&scene, &deleted).await;
    assert!(said.contains("kube-binder"), "{said}");

    for (consumer, contract) in [("not-renewed", &spoilt), ("not-renewed-b", &deleted)] {
        scene.kubeconfig(&["--consumer", consumer, "--token-duration", "1h"]).await;
        expire(&scene, contract).await;
        renewed(&scene, contract).await;
    }
}
