//! Ownership of an object on the provider: it follows from what we have made, not from our annotations.

use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_testkit::{eventually::eventually, ports::free_port};
use serde_json::{Value, json};

use crate::{
    failing::{close_webhook, open_webhook},
    support::{
        Clusters, SOON, Service, clusters, command, cowboy, konnector, merge, merge_status, object_gone,
        object_with,
    },
};

const MARKS: [&str; 4] = [
    "kube-bind.io/cluster-namespace",
    "kube-bind.io/consumer-namespace",
    "kube-bind.io/consumer-uid",
    "kube-bind.io/origin-name",
];

/// Waits for an Event on an object, and gives its note.
pub async fn event(service: &Service, name: &str, reason: &str) -> String {
    eventually(&format!("{name} has an Event {reason}"), SOON * 2, async || {
        let all = events(service, reason).await?;
        let about =
            |event: &&Event| event.regarding.as_ref().is_some_and(|on| on.name.as_deref() == Some(name));
        Ok::<_, kube::Error>(all.iter().find(about).and_then(|event| event.note.clone()))
    })
    .await
    .unwrap()
}

/// The Events of a reason in the namespace of a service.
pub async fn events(service: &Service, reason: &str) -> Result<Vec<Event>, kube::Error> {
    let api: Api<Event> = Api::namespaced(service.consumer.clone(), &service.name);
    let all = api.list(&ListParams::default()).await?.items;
    Ok(all.into_iter().filter(|event| event.reason.as_deref() == Some(reason)).collect())
}

async fn marked(service: &Service, name: &str) -> DynamicObject {
    let has_all = |o: &DynamicObject| MARKS.iter().all(|mark| o.annotations().contains_key(*mark));
    object_with(&service.there(), name, "has its marks", has_all).await
}

async fn recorded(service: &Service, name: &str) -> DynamicObject {
    let here = |o: &DynamicObject| o.annotations().contains_key("kube-bind.io/provider-uid");
    object_with(&service.here(), name, "has recorded its copy", here).await
}

/// As a controller does that makes children of the same kind.
async fn child(service: &Service, name: &str, parent: &DynamicObject, with_fields: bool) -> DynamicObject {
    let mut child = cowboy(&service.resource, name, &json!({"intent": "theirs"}));
    child.metadata.annotations.clone_from(&parent.metadata.annotations);
    child.metadata.labels.clone_from(&parent.metadata.labels);
    if with_fields {
        child.metadata.managed_fields.clone_from(&parent.metadata.managed_fields);
    }
    let operator = PostParams { field_manager: Some("operator".to_owned()), ..PostParams::default() };
    service.there().create(&operator, &child).await.unwrap()
}

#[tokio::test]
async fn a_child_with_the_marks_of_its_parent_stays_and_is_not_overwritten() {
    let service = Service::bind(clusters().await, "children").await;
    service.create("parent", &json!({"intent": "ride"})).await;
    service.arrives("parent").await;
    let parent = marked(&service, "parent").await;
    let children =
        [child(&service, "plain", &parent, false).await, child(&service, "deep", &parent, true).await];
    service.here().delete("parent", &DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "parent").await;
    for name in ["plain", "deep"] {
        service.create(name, &json!({"intent": "ours"})).await;
        let note = event(&service, name, "ForeignObject").await;
        assert!(note.contains("is not the copy of this one"), "{note}");
    }
    // A later step of ours comes after the konnector has seen all of that.
    service.create("last", &json!({"intent": "ride"})).await;
    service.arrives("last").await;
    for child in &children {
        let now = service.there().get(&child.name_any()).await.unwrap();
        assert_eq!(json!(now), json!(child), "a child was changed");
        service.here().delete(&child.name_any(), &DeleteParams::default()).await.unwrap();
        object_gone(&service.here(), &child.name_any()).await;
        assert_eq!(json!(service.there().get(&child.name_any()).await.unwrap()), json!(child));
    }
}

async fn strip(service: &Service, name: &str) {
    let none: Value = MARKS.iter().map(|mark| ((*mark).to_owned(), Value::Null)).collect();
    merge(&service.there(), name, json!({"metadata": {"annotations": none}})).await;
}

#[tokio::test]
async fn marks_that_were_taken_off_are_put_back() {
    let service = Service::bind(clusters().await, "stripped").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    recorded(&service, "billy").await;
    for taken in [&MARKS[..], &MARKS[..1], &MARKS[2..]] {
        let none: Value = taken.iter().map(|mark| ((*mark).to_owned(), Value::Null)).collect();
        merge(&service.there(), "billy", json!({"metadata": {"annotations": none}})).await;
        assert_eq!(marked(&service, "billy").await.uid(), copy.uid());
    }
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "billy").await;
    object_gone(&service.here(), "billy").await;
    // An Event is written a moment after what it is about.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(events(&service, "ForeignObject").await.unwrap().is_empty());
}

/// Takes our finalizer off while no konnector is there to put it back, and deletes the object.
async fn lose(service: &Service, name: &str) {
    merge(&service.here(), name, json!({"metadata": {"finalizers": null}})).await;
    service.here().delete(name, &DeleteParams::default()).await.unwrap();
    object_gone(&service.here(), name).await;
}

/// Restores an object as a backup does: annotations and spec, with a new uid, and no managed fields.
async fn restore(service: &Service, was: &DynamicObject, spec: &Value) -> DynamicObject {
    let mut back = cowboy(&service.resource, &was.name_any(), spec);
    back.metadata.annotations.clone_from(&was.metadata.annotations);
    let velero = PostParams { field_manager: Some("velero".to_owned()), ..PostParams::default() };
    service.here().create(&velero, &back).await.unwrap()
}

fn is_for(origin: &DynamicObject) -> impl Fn(&DynamicObject) -> bool {
    let uid = origin.uid();
    move |copy: &DynamicObject| copy.annotations().get("kube-bind.io/consumer-uid") == uid.as_ref()
}

#[tokio::test]
async fn after_backups_copies_are_found_by_their_uids_and_what_is_left_is_counted() {
    let clusters = Clusters::start("backups").await;
    let service = Service::bind(&clusters, "backups").await;
    let names = ["bare", "restored", "back", "left", "taken"];
    for name in names {
        service.create(name, &json!({"intent": "ride"})).await;
        service.arrives(name).await;
    }
    let mut copies = Vec::new();
    for name in names {
        recorded(&service, name).await;
        copies.push(marked(&service, name).await);
    }
    merge_status(&service.there(), "restored", json!({"result": "of the earlier one"})).await;
    object_with(&service.here(), "restored", "has a status", |o| !o.data["status"].is_null()).await;
    clusters.konnector.kill();

    // Marks are taken off a copy whose object is deleted meanwhile.
    strip(&service, "bare").await;
    service.here().delete("bare", &DeleteParams::default()).await.unwrap();
    // Nor is anything else left of ours on another.
    strip(&service, "taken").await;
    // Managed fields are cleared in this way.
    let cleared = json!({"metadata": {"managedFields": [{}]}, "spec": {"intent": "theirs"}});
    merge(&service.there(), "taken", cleared).await;
    let taken = service.there().get("taken").await.unwrap();
    let ours: Vec<_> = taken
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some("kube-bind.io"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    // The consumer is restored with new uids, and the provider does not take what it says at first.
    let was = service.here().get("restored").await.unwrap();
    lose(&service, "restored").await;
    let restored = restore(&service, &was, &json!({"intent": "rest"})).await;
    let port = free_port().unwrap();
    open_webhook(&service, &format!("https://127.0.0.1:{port}/"), &["restored"]).await;
    // The provider is restored with new uids and without managed fields.
    let mut back = cowboy(&service.resource, "back", &json!({"intent": "ride"}));
    back.metadata.annotations.clone_from(&copies[2].metadata.annotations);
    service.there().delete("back", &DeleteParams::default()).await.unwrap();
    object_gone(&service.there(), "back").await;
    let velero = PostParams { field_manager: Some("velero".to_owned()), ..PostParams::default() };
    let back = service.there().create(&velero, &back).await.unwrap();
    // The backup is older than this one.
    lose(&service, "left").await;

    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    object_gone(&service.there(), "bare").await;
    object_gone(&service.here(), "bare").await;
    object_with(&service.there(), "taken", "follows", |copy| copy.data["spec"]["intent"] == "ride").await;
    let note = event(&service, "restored", "EarlierObject").await;
    assert!(note.contains("belongs to an earlier object of this name"), "{note}");
    assert!(service.here().get("restored").await.unwrap().data["status"].is_null(), "not its own status");
    close_webhook(&service).await;
    let taken = object_with(&service.there(), "restored", "is taken over", is_for(&restored)).await;
    assert_eq!((taken.uid(), &taken.data["spec"]["intent"]), (copies[1].uid(), &json!("rest")));
    object_with(&service.here(), "restored", "has its status", |o| !o.data["status"].is_null()).await;
    merge(&service.here(), "back", json!({"spec": {"intent": "rest"}})).await;
    let follows =
        object_with(&service.there(), "back", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(follows.uid(), back.uid(), "nothing is made twice");
    orphans(&clusters, &service).await;
}

/// One copy has no object. It is reported, and deleted only when somebody asks for it.
async fn orphans(clusters: &Clusters, service: &Service) {
    let told = ("True", "OriginGone");
    let said =
        crate::support::binding_condition(&service.consumer, &service.export(), "OrphanedCopies", told).await;
    assert!(said.message.starts_with("1 copy on the provider has no object"));
    crate::support::binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let admin = clusters.consumer.kubeconfig();
    let run = async |arguments: &[&str]| {
        let output = command(&admin, arguments).await;
        assert!(output.status.success(), "{} {}", output.stdout, output.stderr);
        output.stdout
    };
    let list = run(&["orphans"]).await;
    assert!(list.contains("backups/left") && list.contains("1 copies have no object"), "{list}");
    let checked = command(&admin, &["check"]).await.stdout;
    assert!(checked.contains("1 copies have no object here"), "{checked}");
    let dry = run(&["orphans", "delete", "--bundle", "backups"]).await;
    assert!(dry.contains("would delete") && dry.contains("dry run: 1 copies"), "{dry}");
    assert!(service.there().get_opt("left").await.unwrap().is_some());
    let deleted = run(&["orphans", "delete", "--yes"]).await;
    assert!(deleted.contains("deleted: "), "{deleted}");
    object_gone(&service.there(), "left").await;
    for name in ["restored", "back"] {
        assert!(service.there().get_opt(name).await.unwrap().is_some(), "{name} has its object");
    }
    let bindings: Api<DynamicObject> = Api::all_with(
        service.consumer.clone(),
        &kube::api::ApiResource::erase::<portolan_core::api::kubebind::APIServiceBinding>(&()),
    );
    let silent = |binding: &DynamicObject| !binding.data["status"].to_string().contains("OrphanedCopies");
    object_with(&bindings, &service.export(), "says nothing of orphans", silent).await;
}

#[tokio::test]
async fn the_status_of_an_earlier_object_that_does_not_go_is_not_shown() {
    let clusters = Clusters::start("earlier").await;
    let service = Service::bind(&clusters, "earlier").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    merge(&service.there(), "billy", json!({"metadata": {"finalizers": ["earlier.dev/hold"]}})).await;
    merge_status(&service.there(), "billy", json!({"result": "of the earlier one"})).await;
    object_with(&service.here(), "billy", "has a status", |o| !o.data["status"].is_null()).await;
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "is terminating", |o| o.metadata.deletion_timestamp.is_some())
        .await;
    // Somebody forces the deletion.
    clusters.konnector.kill();
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    service.here().patch("billy", &PatchParams::default(), &none).await.unwrap();
    object_gone(&service.here(), "billy").await;
    service.create("billy", &json!({"intent": "rest"})).await;
    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    let told = event(&service, "billy", "EarlierObject").await;
    assert!(told.contains("earlier object of this name") && told.contains("finalizers"), "{told}");
    merge_status(&service.there(), "billy", json!({"result": "still of the earlier one"})).await;
    service.create("other", &json!({"intent": "ride"})).await;
    service.arrives("other").await;
    assert!(service.here().get("billy").await.unwrap().data["status"].is_null());
    merge(&service.there(), "billy", json!({"metadata": {"finalizers": null}})).await;
    object_with(&service.there(), "billy", "is a new one", |o| o.data["spec"]["intent"] == "rest").await;
}
