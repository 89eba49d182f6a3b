//! Reasons and Events that people act on, each brought about as it comes about: by policies and missing rights.

use std::time::Duration;

use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
        },
        events::v1::Event,
        rbac::v1::{Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceExport};
use portolan_testkit::{
    eventually::{eventually, watch_until_gone},
    ports::free_port,
    workload,
};
use serde_json::{Value, json};

use crate::{
    support::{
        Clusters, RELEASE, SOON, Service, binding_condition, bundle_condition, clusters, cowboy,
        create_bundle, create_namespace, grant_group, kind_of, konnector_as, merge, write_secret,
    },
    wire::hand_made,
};

/// Waits for an Event about an object, and gives what it says.
pub async fn event(client: &Client, about: &str, reason: &str) -> Event {
    let events: Api<Event> = Api::all(client.clone());
    eventually(&format!("{about} has an Event {reason}"), SOON, async || {
        let all = events.list(&ListParams::default()).await?.items;
        let is = |event: &Event| {
            let on = event.regarding.as_ref().and_then(|on| on.name.as_deref());
            on == Some(about) && event.reason.as_deref() == Some(reason)
        };
        Ok::<_, kube::Error>(all.into_iter().find(is))
    })
    .await
    .unwrap()
}

/// Has an API server refuse what does not fulfil an expression, and waits until it does: `refused` is such a request.
pub async fn refuse(
    client: &Client,
    name: &str,
    rules: Value,
    expression: &str,
    refused: impl AsyncFn() -> bool,
) {
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rules]},
            "validations": [{"expression": expression, "message": format!("policy {name} says no")}],
        },
    }))
    .unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    }))
    .unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &policy).await.unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    eventually("the policy is in force", SOON, async || refused().await.then_some(())).await.unwrap();
}

pub async fn allow_again(client: &Client, name: &str) {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    bindings.delete(name, &DeleteParams::default()).await.unwrap();
}

/// A request that is only tried.
fn tried() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

#[tokio::test]
async fn an_event_says_what_a_bundle_has_bound() {
    let service = Service::bind(clusters().await, "bound-event").await;
    let said = event(&service.consumer, "bound-event", "Bound").await;
    let note = said.note.unwrap_or_default();
    assert!(note.contains(&service.export()), "{note}");
    assert_eq!(said.type_.as_deref(), Some("Normal"));
}

#[tokio::test]
async fn an_object_that_the_provider_refuses_says_why_and_goes_through_once_it_is_right() {
    let service = Service::bind(clusters().await, "refused-obj").await;
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    let rules = json!({
        "apiGroups": [service.resource.group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
        "resources": ["cowboys"],
    });
    let (there, bad) = (service.there(), cowboy(&service.resource, "bad", &json!({"intent": "rob"})));
    let expression = "object.spec.intent != 'rob'";
    refuse(&service.provider, "refused-obj", rules, expression, async || {
        there.create(&tried(), &bad).await.is_err()
    })
    .await;
    service.create("robber", &json!({"intent": "rob"})).await;
    let said = event(&service.consumer, "robber", "SyncFailed").await;
    let note = said.note.unwrap_or_default();
    assert!(note.contains("policy refused-obj says no"), "{note}");
    assert_eq!(said.type_.as_deref(), Some("Warning"));
    merge(&service.here(), "robber", json!({"spec": {"intent": "ride"}})).await;
    service.arrives("robber").await;
}

#[tokio::test]
async fn a_binding_that_may_not_be_made_is_told_and_keeps_no_other_from_being_bound() {
    let service = Service::offer(clusters().await, "no-binding").await;
    let (consumer, export) = (&service.consumer, service.export());
    let (mut second, _) = kind_of("no-binding-b");
    second.metadata.labels.as_mut().unwrap().insert("test".to_owned(), "no-binding".to_owned());
    workload::install(&service.provider, &second).await.unwrap();
    grant_group(consumer, "no-binding-b.dev").await;
    let rules = json!({
        "apiGroups": ["kube-bind.io"], "apiVersions": ["*"], "operations": ["CREATE"],
        "resources": ["apiservicebindings"],
    });
    let bindings: Api<APIServiceBinding> = Api::all(consumer.clone());
    let wanted = hand_made(&export, "no-binding");
    let expression = format!("object.metadata.name != '{export}'");
    refuse(consumer, "no-binding", rules, &expression, async || {
        bindings.create(&tried(), &wanted).await.is_err()
    })
    .await;
    write_secret(consumer, "no-binding", "kubeconfig", &service.kubeconfig).await;
    create_bundle(consumer, "no-binding", "no-binding").await;
    let said = bundle_condition(consumer, "no-binding", "Synced", ("False", "SyncErrors")).await;
    assert!(said.message.contains(&export) && said.message.contains("policy no-binding says no"), "{said:?}");
    binding_condition(consumer, "cowboys.no-binding-b.dev", "Ready", ("True", "")).await;
    allow_again(consumer, "no-binding").await;
    bundle_condition(consumer, "no-binding", "Ready", ("True", "")).await;
}

/// Has the consumer's API server refuse a CRD.
async fn refuse_crd(service: &Service, name: &str, operation: &str) {
    let rules = json!({
        "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"], "operations": [operation],
        "resources": ["customresourcedefinitions"],
    });
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let provider: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let mut wanted = provider.get(name).await.unwrap();
    wanted.metadata.resource_version = None;
    let change = Patch::Merge(json!({"metadata": {"annotations": {"tried": "x"}}}));
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let expression = format!("object.metadata.name != '{name}'");
    refuse(&service.consumer, &service.name, rules, &expression, async || match operation {
        "CREATE" => crds.create(&tried(), &wanted).await.is_err(),
        _ => crds.patch(name, &params, &change).await.is_err(),
    })
    .await;
}

/// How often a policy has said no, by the API server's own count.
async fn denials(client: &Client, policy: &str) -> u64 {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = client.request_text(request).await.unwrap();
    let (family, label) =
        ("apiserver_validating_admission_policy_check_total{", format!("policy=\"{policy}\""));
    let counts = metrics.lines().filter(|line| line.starts_with(family) && line.contains(&label));
    let denied = counts.filter(|line| line.contains("enforcement_action=\"deny\""));
    denied.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_crd_that_the_consumer_refuses_says_why() {
    let service = Service::offer(clusters().await, "no-crd").await;
    let (consumer, export) = (&service.consumer, service.export());
    refuse_crd(&service, &export, "CREATE").await;
    write_secret(consumer, "no-crd", "kubeconfig", &service.kubeconfig).await;
    create_bundle(consumer, "no-crd", "no-crd").await;
    let expected = ("False", "CustomResourceDefinitionCreateFailed");
    let said = binding_condition(consumer, &export, "Connected", expected).await;
    assert!(said.message.contains("policy no-crd says no"), "{}", said.message);
    allow_again(consumer, "no-crd").await;
    binding_condition(consumer, &export, "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_new_schema_that_the_consumer_refuses_says_why_and_objects_go_on() {
    let service = Service::bind(clusters().await, "no-update").await;
    let (consumer, export) = (&service.consumer, service.export());
    refuse_crd(&service, &export, "UPDATE").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let mut crd = crds.get(&export).await.unwrap();
    // Objects would be stored in another version, so nobody writes in the one before until that is done.
    let mut stored = crd.spec.versions[0].clone();
    stored.name = "v1".to_owned();
    crd.spec.versions[0].storage = false;
    crd.spec.versions.push(stored);
    crds.replace(&export, &PostParams::default(), &crd).await.unwrap();
    let expected = ("False", "CustomResourceDefinitionUpdateFailed");
    let said = binding_condition(consumer, &export, "Connected", expected).await;
    assert!(said.message.contains("policy no-update says no"), "{}", said.message);
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let before = denials(consumer, "no-update").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let tries = denials(consumer, "no-update").await - before;
    assert!((1..=6).contains(&tries), "one at each poll, every two seconds, and not {tries}");
    allow_again(consumer, "no-update").await;
    binding_condition(consumer, &export, "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_new_schema_that_a_dead_webhook_holds_up_says_why_and_objects_go_on() {
    let service = Service::bind(clusters().await, "held-up").await;
    let (consumer, export) = (&service.consumer, service.export());
    let port = free_port().unwrap();
    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "held-up.dev"},
        "webhooks": [{
            "name": "down.held-up.dev", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
            "rules": [{
                "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["customresourcedefinitions"],
            }],
            "matchConditions": [{"name": "one", "expression": format!("request.name == '{export}'")}],
        }],
    }))
    .unwrap();
    Api::all(consumer.clone()).create(&PostParams::default(), &configuration).await.unwrap();
    let ours: Api<CustomResourceDefinition> = Api::all(consumer.clone());
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(json!({"metadata": {"annotations": {"tried": "x"}}}));
    let is_down = async || ours.patch(&export, &params, &change).await.is_err().then_some(());
    eventually("the webhook is in force", SOON, is_down).await.unwrap();
    let theirs: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let mut crd = theirs.get(&export).await.unwrap();
    let columns = crd.spec.versions[0].additional_printer_columns.as_mut().unwrap();
    columns.retain(|column| column.name != "Result");
    theirs.replace(&export, &PostParams::default(), &crd).await.unwrap();
    let expected = ("False", "CustomResourceDefinitionUpdateFailed");
    let said = binding_condition(consumer, &export, "Connected", expected).await;
    assert!(said.message.contains("down.held-up.dev"), "{}", said.message);
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(consumer.clone());
    webhooks.delete("held-up.dev", &DeleteParams::default()).await.unwrap();
    binding_condition(consumer, &export, "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_says_so_until_it_may() {
    let mut clusters = Box::pin(Clusters::start("locked")).await;
    clusters.konnector.kill();
    let flags = ["--secret-namespaces=locked-secrets"];
    (clusters.konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = Service::offer(&clusters, "locked").await;
    let consumer = &service.consumer;
    create_namespace(consumer, "locked-secrets").await;
    let secret = json!({"metadata": {"name": "locked"}, "stringData": {"kubeconfig": service.kubeconfig}});
    Api::<k8s_openapi::api::core::v1::Secret>::namespaced(consumer.clone(), "locked-secrets")
        .create(&PostParams::default(), &serde_json::from_value(secret).unwrap())
        .await
        .unwrap();
    let bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle", "metadata": {"name": "locked"},
        "spec": {"kubeconfigSecretRef": {"name": "locked", "namespace": "locked-secrets", "key": "kubeconfig"}},
    });
    Api::<portolan_core::api::kubebind::APIServiceBindingBundle>::all(consumer.clone())
        .create(&PostParams::default(), &serde_json::from_value(bundle).unwrap())
        .await
        .unwrap();
    let expected = ("False", "KubeconfigSecretForbidden");
    let said = bundle_condition(consumer, "locked", "SecretValid", expected).await;
    assert!(said.message.contains("locked-secrets/locked"), "{}", said.message);

    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "read-secrets"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "read-secrets"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read-secrets"},
        "subjects": [{"kind": "ServiceAccount", "name": "konnector", "namespace": RELEASE}],
    }))
    .unwrap();
    Api::namespaced(consumer.clone(), "locked-secrets").create(&PostParams::default(), &role).await.unwrap();
    Api::namespaced(consumer.clone(), "locked-secrets")
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    bundle_condition(consumer, "locked", "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_met_is_named_for_the_provider_to_repair() {
    let clusters = Box::pin(Clusters::start("bad-claim")).await;
    let service = Service::offer(&clusters, "bad-claim").await;
    // As another backend may write it: ours refuses such a claim.
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let mut export =
        eventually("the export is there", SOON, async || exports.get_opt(&service.export()).await)
            .await
            .unwrap();
    clusters.provider_service.kill();
    let held = json!({"metadata": {"finalizers": null}});
    exports.patch(&export.name_any(), &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    exports.delete(&export.name_any(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(exports.clone(), &service.export(), SOON).await.unwrap();
    export.metadata =
        kube::api::ObjectMeta { name: export.metadata.name, ..kube::api::ObjectMeta::default() };
    export.spec.permission_claims = serde_json::from_value(json!([
        {"group": "apps", "resource": "deployments", "selector": {"labelSelector": {"matchLabels": {"a": "b"}}}},
    ]))
    .unwrap();
    exports.create(&PostParams::default(), &export).await.unwrap();
    write_secret(&service.consumer, "bad-claim", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "bad-claim", "bad-claim").await;
    let expected = ("False", "InvalidPermissionClaim");
    let said = binding_condition(&service.consumer, &service.export(), "PermissionClaims", expected).await;
    assert!(
        said.message.contains("deployments") && said.message.contains("The provider has to fix that"),
        "{said:?}"
    );
}
