//! Ownership of a claimed object: its copy follows it, and is deleted with it.

use super::*;

#[tokio::test]
async fn a_providers_object_comes_to_the_consumer_and_goes_with_its_original() {
    let service = bind(clusters().await, "provided", &by_label("configmaps", "provided")).await;
    let (here, there) = (here::<ConfigMap>(&service), there::<ConfigMap>(&service));
    // The provider has a namespace for the consumer's as soon as anything of it is bound.
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let original = make(&there, map("theirs", Some("provided"), "one")).await;
    let value = |m: &ConfigMap, value: &str| m.data.as_ref().is_some_and(|data| data["key"] == value);
    let copy = watch_until(here.clone(), "theirs", |m| value(m, "one"), SOON).await.unwrap();
    assert_eq!(owner(&copy), Some("provider"));
    assert_eq!(copy.annotations()["kube-bind.io/provider-uid"], original.uid().unwrap());
    watch_until(there.clone(), "theirs", |m| owner(m) == Some("provider"), SOON).await.unwrap();
    change(&there, "theirs", json!({"data": {"key": "two"}})).await;
    watch_until(here.clone(), "theirs", |m| value(m, "two"), SOON).await.unwrap();
    here.delete("theirs", &DeleteParams::default()).await.unwrap();
    watch_until(here.clone(), "theirs", |m| value(m, "two") && m.uid() != copy.uid(), SOON).await.unwrap();
    // A copy that somebody makes of the copy is their own.
    let mut own = json!(here.get("theirs").await.unwrap());
    own["metadata"] = json!({"name": "own", "labels": own["metadata"]["labels"],
        "annotations": own["metadata"]["annotations"]});
    make(&here, own).await;
    there.delete("theirs", &DeleteParams::default()).await.unwrap();
    watch_until_gone(here.clone(), "theirs", SOON).await.unwrap();
    assert!(here.get_opt("own").await.unwrap().is_some());
}

#[tokio::test]
async fn deleting_a_bundle_removes_the_copies_on_both_sides_and_nothing_else() {
    let service = bind(clusters().await, "dropped", &by_label("configmaps", "dropped")).await;
    let (here, there) = both_owned(&service, "dropped").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("dropped", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, "dropped", SOON).await.unwrap();
    assert!(
        there.get_opt("mine").await.unwrap().is_none() && here.get_opt("theirs").await.unwrap().is_none()
    );
    assert_eq!(owner(&here.get("mine").await.unwrap()), None);
    assert_eq!(owner(&there.get("theirs").await.unwrap()), None);
}

#[tokio::test]
async fn a_withdrawn_export_leaves_both_sides_what_they_have() {
    let service = bind(clusters().await, "retracted", &by_label("configmaps", "retracted")).await;
    let (here, there) = both_owned(&service, "retracted").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    change(&crds, &service.export(), json!({"metadata": {"labels": {"kube-bind.io/exported": null}}})).await;
    no_crd(&service).await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    watch_until_gone(bindings, &service.export(), SOON).await.unwrap();
    assert!(here.get_opt("theirs").await.unwrap().is_some(), "people may live on it");
    assert_eq!(owner(&here.get("mine").await.unwrap()), None);
    assert_eq!(owner(&there.get("mine").await.unwrap()), Some("consumer"), "its copy stays");
}

/// A `ConfigMap` of each side, in sync.
async fn both_owned(service: &Service, label: &str) -> (Api<ConfigMap>, Api<ConfigMap>) {
    let (here, there) = (here::<ConfigMap>(service), there::<ConfigMap>(service));
    make(&here, map("mine", Some(label), "m")).await;
    watch_until(there.clone(), "mine", |_| true, SOON).await.unwrap();
    watch_until(here.clone(), "mine", |m| owner(m).is_some(), SOON).await.unwrap();
    make(&there, map("theirs", Some(label), "t")).await;
    watch_until(here.clone(), "theirs", |_| true, SOON).await.unwrap();
    watch_until(there.clone(), "theirs", |m| owner(m).is_some(), SOON).await.unwrap();
    (here, there)
}

#[tokio::test]
async fn bindings_that_claim_the_same_kind_leave_one_another_alone() {
    let clusters = Clusters::start("co-claimed").await;
    grant(&clusters.consumer.client()).await;
    // A second kind of the same provider, for the same consumer, that claims what its objects refer to: its
    // watches show everything.
    let (mut too, resource) = kind_of("co-claimed-too");
    too.labels_mut().insert("test".to_owned(), "co-claimed".to_owned());
    let reference = json!([{"resource": "configmaps", "selector": {"references": [{
        "group": "co-claimed-too.dev", "resource": "cowboys", "jsonPath": {"name": "spec.map"}}]}}]);
    too.annotations_mut().insert("kube-bind.io/permission-claims".to_owned(), reference.to_string());
    workload::install(&clusters.provider.client(), &too).await.unwrap();
    grant_group(&clusters.consumer.client(), &resource.group).await;
    let service = bind(&clusters, "co-claimed", &by_label("configmaps", "co-claimed")).await;
    binding_condition(&service.consumer, "cowboys.co-claimed-too.dev", "Ready", ("True", "")).await;
    let second = Service { resource, ..service };
    second.create("clara", &json!({"map": "second"})).await;
    let service = Service { resource: kind_of("co-claimed").1, ..second };

    let (here, there) = both_owned(&service, "co-claimed").await;
    make(&here, map("second", None, "s")).await;
    watch_until(there.clone(), "second", |_| true, SOON).await.unwrap();
    watch_until(here.clone(), "second", |m| owner(m).is_some(), SOON).await.unwrap();
    let (consumer, provider) = (clusters.consumer.audit(), clusters.provider.audit());
    // A write is logged after it is seen.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let marks = (consumer.mark().unwrap(), provider.mark().unwrap());
    // What was written last is seen by the watches of both.
    for audit in [&consumer, &provider] {
        audit.settled(std::time::Duration::from_secs(2)).await.unwrap();
    }
    let writes = |entries: Vec<AuditEntry>| {
        let of_maps = |e: &AuditEntry| e.object_ref.as_ref().is_some_and(|o| o.resource == "configmaps");
        let entries = entries.into_iter().filter(|e| e.is_write() && of_maps(e));
        entries.filter(|e| e.user.username.contains("kube-bind")).map(|e| e.line()).collect::<Vec<_>>()
    };
    assert_eq!(writes(consumer.entries_since(marks.0).unwrap()), Vec::<String>::new());
    assert_eq!(writes(provider.entries_since(marks.1).unwrap()), Vec::<String>::new());
    for name in ["mine", "second"] {
        assert_eq!(owner(&here.get(name).await.unwrap()), Some("consumer"));
    }
    assert_eq!(owner(&there.get("theirs").await.unwrap()), Some("provider"));

    // Both claim it now: the label stays until the last of them has let go.
    change(&here, "second", json!({"metadata": {"labels": {"claimed": "co-claimed"}}})).await;
    let claimed_by = |m: &ConfigMap| m.annotations().get("kube-bind.io/claimed-by").cloned();
    let copy = there.get("second").await.unwrap();
    assert_eq!(claimed_by(&copy).as_deref(), Some("cowboys.co-claimed-too.dev"));
    let clara = Api::<kube::api::DynamicObject>::namespaced_with(
        service.consumer.clone(),
        "co-claimed",
        &kind_of("co-claimed-too").1,
    );
    merge(&clara, "clara", json!({"spec": {"map": "none"}})).await;
    let taken_over = |m: &ConfigMap| claimed_by(m).as_deref() == Some("cowboys.co-claimed.dev");
    watch_until(there.clone(), "second", taken_over, SOON).await.unwrap();
    watch_until(here.clone(), "second", |m| owner(m) == Some("consumer"), SOON).await.unwrap();
}

#[tokio::test]
async fn a_restart_writes_nothing_but_what_was_missed() {
    let clusters = Clusters::start("reread").await;
    grant(&clusters.consumer.client()).await;
    let service = bind(&clusters, "reread", &by_label("configmaps", "reread")).await;
    let (here, there) = both_owned(&service, "reread").await;
    make(&here, map("missed", Some("reread"), "m")).await;
    watch_until(here.clone(), "missed", |m| owner(m).is_some(), SOON).await.unwrap();
    let (consumer, provider) = (clusters.consumer.audit(), clusters.provider.audit());
    clusters.konnector.kill();
    here.delete("missed", &DeleteParams::default()).await.unwrap();
    let marks = (consumer.mark().unwrap(), provider.mark().unwrap());
    let (_again, _) = konnector(&clusters.konnector_kubeconfig).await;
    watch_until_gone(there.clone(), "missed", SOON).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    for audit in [&consumer, &provider] {
        audit.settled(std::time::Duration::from_secs(2)).await.unwrap();
    }
    let wrote = |entries: Vec<AuditEntry>| {
        let claimed = entries.into_iter().filter(AuditEntry::is_write);
        let claimed = claimed.filter(|e| e.object_ref.as_ref().is_some_and(|o| o.resource == "configmaps"));
        claimed.filter(|e| e.user.username.contains("kube-bind")).map(|e| e.line()).collect::<Vec<_>>()
    };
    assert_eq!(wrote(consumer.entries_since(marks.0).unwrap()), Vec::<String>::new());
    let deleted = wrote(provider.entries_since(marks.1).unwrap());
    assert!(deleted.len() == 1 && deleted[0].contains("delete"), "{deleted:?}");
}
