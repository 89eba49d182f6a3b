//! Writes that fail, and writes that somebody undoes: nothing else waits for them, people hear of it, and they slow
//! down.

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Namespace, events::v1::Event,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::APIServiceNamespace;
use portolan_testkit::{audit::AuditEntry, eventually::eventually, ports::free_port};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    reasons::{self, allow_again, refuse},
    support::{SOON, Service, clusters, cowboy, create_namespace, merge, merge_status, object_with},
    whose::{event, events},
};

/// Puts a fail-closed webhook before the objects of these names.
pub async fn open_webhook(service: &Service, url: &str, names: &[&str]) {
    let condition =
        names.iter().map(|name| format!("request.name == '{name}'")).collect::<Vec<_>>().join(" || ");
    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": format!("{}.dev", service.name)},
        "webhooks": [{
            "name": format!("down.{}.dev", service.name), "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 5, "clientConfig": {"url": url},
            "rules": [{
                "apiGroups": [service.resource.group], "apiVersions": ["*"], "resources": ["cowboys"],
                "operations": ["CREATE", "UPDATE"],
            }],
            "matchConditions": [{"name": "condition", "expression": condition}],
        }],
    }))
    .unwrap();
    Api::all(service.provider.clone()).create(&PostParams::default(), &configuration).await.unwrap();
    is_refused(service, names[0], true).await;
}

pub async fn close_webhook(service: &Service) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(service.provider.clone());
    api.delete(&format!("{}.dev", service.name), &DeleteParams::default()).await.unwrap();
}

async fn is_refused(service: &Service, name: &str, expected: bool) {
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(json!({"spec": {"intent": "try"}}));
    eventually("the webhook is in force", SOON, async || {
        let refused = service.there().patch(name, &params, &change).await.is_err();
        Ok::<_, anyhow::Error>((refused == expected).then_some(()))
    })
    .await
    .unwrap();
}

/// Counts the konnector's requests to the provider to write an object.
fn writes(service: &Service, name: &str, entries: &[AuditEntry]) -> usize {
    let contract = service.contract_namespace();
    let is = |entry: &&AuditEntry| {
        entry.user.username.contains(&contract)
            && entry.verb == "patch"
            && entry.object_ref.as_ref().is_some_and(|object| object.name == name)
    };
    entries.iter().filter(is).count()
}

#[tokio::test]
async fn while_a_webhook_of_the_provider_is_down_status_flows_and_one_event_says_why() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "webhook-down").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let port = free_port().unwrap();
    open_webhook(&service, &format!("https://127.0.0.1:{port}/"), &["billy"]).await;
    let mark = clusters.provider.audit().mark().unwrap();
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    let note = event(&service, "billy", "SyncFailed").await;
    assert!(note.contains("webhook") && note.contains("(500)") && note.contains("try 3"), "{note}");
    let started = Instant::now();
    for number in 0..30 {
        merge_status(&service.there(), "billy", json!({"result": format!("turn {number}")})).await;
        let told = |o: &DynamicObject| o.data["status"]["result"] == format!("turn {number}");
        object_with(&service.here(), "billy", "has the status", told).await;
        sleep(Duration::from_millis(200)).await;
    }
    let entries = clusters.provider.audit().entries_since(mark).unwrap();
    let tries = writes(&service, "billy", &entries);
    assert!(
        tries <= 12,
        "{tries} tries in {:?}: news of a status is no reason to try again",
        started.elapsed()
    );
    let said = events(&service, "SyncFailed").await.unwrap();
    assert_eq!(said.len(), 1, "one Event");
    let repeated = |event: &Event| event.series.as_ref().map_or(1, |series| series.count);
    assert!(repeated(&said[0]) <= 2, "and not one per try: {}", repeated(&said[0]));
    assert_eq!(service.there().get("billy").await.unwrap().data["spec"]["intent"], "ride");
    close_webhook(&service).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
}

#[tokio::test]
async fn two_writers_of_one_field_slow_down_and_are_named() {
    let service = Service::bind(clusters().await, "contested").await;
    service.create("billy", &json!({"intent": "ours"})).await;
    service.arrives("billy").await;
    let operator = PatchParams { field_manager: Some("operator".to_owned()), ..PatchParams::default() };
    let theirs = Patch::Merge(json!({"spec": {"intent": "theirs"}}));
    let (end, mut turns) = (Instant::now() + Duration::from_secs(20), 0);
    while Instant::now() < end {
        if service.there().get("billy").await.unwrap().data["spec"]["intent"] == "ours" {
            service.there().patch("billy", &operator, &theirs).await.unwrap();
            turns += 1;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!((3..=10).contains(&turns), "{turns} turns in 20 s");
    let note = event(&service, "billy", "Contested").await;
    assert!(note.contains("spec.intent") && note.contains("operator"), "{note}");
    object_with(&service.there(), "billy", "is as we say in the end", |o| o.data["spec"]["intent"] == "ours")
        .await;
    // A new word does not wait for the pause of the old one.
    service.there().patch("billy", &operator, &theirs).await.unwrap();
    merge(&service.here(), "billy", json!({"spec": {"intent": "new"}})).await;
    let asked = Instant::now();
    object_with(&service.there(), "billy", "has the new word", |o| o.data["spec"]["intent"] == "new").await;
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn while_a_namespace_of_the_provider_is_made_anew_one_event_says_so() {
    let service = Service::bind(clusters().await, "anew").await;
    let names: Vec<_> = (0..10).map(|number| format!("c{number}")).collect();
    for name in &names {
        service.create(name, &json!({"intent": "ride"})).await;
    }
    for name in &names {
        service.arrives(name).await;
    }
    let before = service.there().get("c0").await.unwrap().uid();
    // Something holds one of them, and so the namespace.
    merge(&service.there(), "c9", json!({"metadata": {"finalizers": ["anew.dev/hold"]}})).await;
    let namespaces: Api<Namespace> = Api::all(service.provider.clone());
    let namespace = format!("{}-{}", service.contract_namespace(), service.name);
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    eventually("an Event says so", SOON, async || {
        Ok::<_, kube::Error>(events(&service, "NamespaceUnavailable").await?.pop())
    })
    .await
    .unwrap();
    sleep(Duration::from_secs(5)).await;
    merge(&service.there(), "c9", json!({"metadata": {"finalizers": null}})).await;
    for name in &names {
        let is_back = |o: &DynamicObject| o.metadata.deletion_timestamp.is_none() && o.uid() != before;
        eventually(&format!("{name} is back"), SOON * 3, async || {
            Ok::<_, kube::Error>(service.there().get_opt(name).await?.filter(|o| is_back(o)))
        })
        .await
        .unwrap();
    }
    let said = events(&service, "NamespaceUnavailable").await.unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(events(&service, "SyncFailed").await.unwrap().is_empty(), "not one per object");
}

/// The provider's namespace becomes somebody else's, and another one is answered in its place.
#[tokio::test]
async fn a_namespace_that_is_answered_anew_with_another_one_is_followed() {
    let service = Service::bind(clusters().await, "another-ns").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let former = format!("{}-another-ns", service.contract_namespace());
    let namespaces: Api<Namespace> = Api::all(service.provider.clone());
    let foreign =
        json!({"metadata": {"annotations": {"kube-bind.io/api-service-namespace": "somebody/else"}}});
    namespaces.patch(&former, &PatchParams::default(), &Patch::Merge(&foreign)).await.unwrap();
    let requests: Api<APIServiceNamespace> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    requests.delete("another-ns", &DeleteParams::default()).await.unwrap();
    let mapped = eventually("another one is answered", SOON, async || {
        let request = requests.get_opt("another-ns").await?;
        let answer = request.and_then(|request| request.status?.namespace);
        Ok::<_, kube::Error>(answer.filter(|namespace| !namespace.is_empty() && *namespace != former))
    })
    .await
    .unwrap();
    let there: Api<DynamicObject> =
        Api::namespaced_with(service.provider.clone(), &mapped, &service.resource);
    object_with(&there, "billy", "has a copy there", |_| true).await;
    merge_status(&there, "billy", json!({"result": "from there"})).await;
    object_with(&service.here(), "billy", "has the status", |o| o.data["status"]["result"] == "from there")
        .await;
    assert!(service.there().get_opt("billy").await.unwrap().is_some(), "what was there stays");
}

#[tokio::test]
async fn an_object_whose_namespace_the_provider_does_not_answer_says_so() {
    let service = Service::bind(clusters().await, "no-place").await;
    let mapped = format!("{}-no-place-east", service.contract_namespace());
    let rules = json!({
        "apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["namespaces"],
    });
    let namespaces: Api<Namespace> = Api::all(service.provider.clone());
    let wanted = serde_json::from_value(json!({"metadata": {"name": mapped}})).unwrap();
    let tried = PostParams { dry_run: true, ..PostParams::default() };
    let expression = format!("object.metadata.name != '{mapped}'");
    refuse(&service.provider, "no-place", rules, &expression, async || {
        namespaces.create(&tried, &wanted).await.is_err()
    })
    .await;
    create_namespace(&service.consumer, "no-place-east").await;
    let here = Api::namespaced_with(service.consumer.clone(), "no-place-east", &service.resource);
    let placeless = cowboy(&service.resource, "placeless", &json!({"intent": "ride"}));
    here.create(&PostParams::default(), &placeless).await.unwrap();
    let said = reasons::event(&service.consumer, "placeless", "NamespaceUnavailable").await;
    let note = said.note.unwrap_or_default();
    assert!(note.contains("has not answered APIServiceNamespace no-place-east"), "{note}");
    allow_again(&service.provider, "no-place").await;
    let there = Api::namespaced_with(service.provider.clone(), &mapped, &service.resource);
    object_with(&there, "placeless", "arrives", |_| true).await;
}
