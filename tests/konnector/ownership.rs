//! Nothing that is not ours is changed or deleted, on either side.

use k8s_openapi::{
    api::events::v1::Event, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ObjectMeta, PostParams},
};
use portolan_core::api::kubebind::{
    APIServiceBinding, APIServiceBindingBundle, APIServiceExport, BoundSchema,
};
use portolan_testkit::eventually::eventually;
use serde_json::json;

use crate::support::{
    SOON, Service, binding_condition, bundle_condition, clusters, cowboy, create_bundle, create_namespace,
    kind_of, kubeconfig_for, merge, object_with, write_secret,
};

#[tokio::test]
async fn a_foreign_crd_is_left_alone_and_bound_once_it_is_gone() {
    let service = Service::offer(clusters().await, "foreign-crd").await;
    let (mut foreign, _) = kind_of("foreign-crd");
    foreign.spec.names.short_names = Some(vec!["mine".to_owned()]);
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let before = crds.create(&PostParams::default(), &foreign).await.unwrap();
    write_secret(&service.consumer, "foreign-crd", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "foreign-crd", "foreign-crd").await;
    let expected = ("False", "ForeignCustomResourceDefinition");
    let said = binding_condition(&service.consumer, &service.export(), "Connected", expected).await;
    assert_eq!(said.message, "CustomResourceDefinition cowboys.foreign-crd.dev is not owned by kube-bind.");
    let after = crds.get(&service.export()).await.unwrap();
    assert_eq!((after.uid(), &after.spec.names.short_names), (before.uid(), &foreign.spec.names.short_names));

    crds.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_foreign_object_on_the_provider_is_reported_and_left_as_it_is() {
    let service = Service::bind(clusters().await, "foreign-obj").await;
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    let theirs = cowboy(&service.resource, "billy", &json!({"intent": "theirs"}));
    service.there().create(&PostParams::default(), &theirs).await.unwrap();
    let origin = service.create("billy", &json!({"intent": "ours"})).await;
    let events: Api<Event> = Api::namespaced(service.consumer.clone(), "foreign-obj");
    eventually("an Event says that the name is taken", SOON, async || {
        let all = events.list(&kube::api::ListParams::default()).await?;
        let about = |e: &Event| e.regarding.as_ref().and_then(|r| r.uid.clone()) == origin.uid();
        Ok::<_, anyhow::Error>(
            all.items.into_iter().find(|e| about(e) && e.reason.as_deref() == Some("ForeignObject")),
        )
    })
    .await
    .unwrap();
    assert_eq!(service.there().get("billy").await.unwrap().data["spec"]["intent"], "theirs");

    // Deleting ours does not touch theirs.
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    crate::support::object_gone(&service.here(), "billy").await;
    assert_eq!(service.there().get("billy").await.unwrap().data["spec"]["intent"], "theirs");

    // When theirs goes, ours takes the name.
    service.create("billy", &json!({"intent": "ours"})).await;
    service.there().delete("billy", &DeleteParams::default()).await.unwrap();
    object_with(&service.there(), "billy", "is ours now", |c| c.data["spec"]["intent"] == "ours").await;
}

#[tokio::test]
async fn objects_that_the_provider_made_in_a_mapped_namespace_stay() {
    let service = Service::bind(clusters().await, "provider-made").await;
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    let theirs = cowboy(&service.resource, "sheriff", &json!({"intent": "theirs"}));
    service.there().create(&PostParams::default(), &theirs).await.unwrap();
    // A later change of ours comes after the konnector has seen theirs.
    merge(&service.here(), "first", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "first", "follows", |c| c.data["spec"]["intent"] == "rest").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(service.there().get_opt("sheriff").await.unwrap().is_some());
    assert!(service.here().get_opt("sheriff").await.unwrap().is_none());
}

#[tokio::test]
async fn two_bundles_with_the_same_export_name_the_conflict_and_the_second_takes_over() {
    let service = Service::bind(clusters().await, "twice").await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let first = bindings.get(&service.export()).await.unwrap();
    create_bundle(&service.consumer, "twice-again", "twice").await;
    let conflict =
        bundle_condition(&service.consumer, "twice-again", "Synced", ("False", "SyncErrors")).await;
    assert!(conflict.message.contains("belongs to bundle twice"), "{}", conflict.message);
    assert_eq!(bindings.get(&service.export()).await.unwrap().uid(), first.uid());

    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("twice", &DeleteParams::default()).await.unwrap();
    bundle_condition(&service.consumer, "twice-again", "Ready", ("True", "")).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    assert_ne!(bindings.get(&service.export()).await.unwrap().uid(), first.uid());
}

#[tokio::test]
async fn two_bundles_with_the_same_crd_name_the_conflict_and_the_second_takes_over() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "same-crd").await;
    // Another provider calls its export otherwise, and means the same kind.
    let kubeconfig = kubeconfig_for(clusters, "same-crd-too", "test=none").await;
    let contract = "kube-bind-same-crd-too";
    let schemas: Api<BoundSchema> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let mut schema = schemas.get(&service.export()).await.unwrap();
    schema.metadata = ObjectMeta { name: Some(service.export()), ..ObjectMeta::default() };
    let schemas: Api<BoundSchema> = Api::namespaced(service.provider.clone(), contract);
    schemas.create(&PostParams::default(), &schema).await.unwrap();
    let export: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": "same-crd-export"},
        "spec": {
            "informerScope": "Namespaced", "isolation": "Prefixed",
            "resources": [{"group": service.resource.group, "resource": "cowboys", "versions": ["v1alpha1"]}],
        },
    }))
    .unwrap();
    Api::namespaced(service.provider.clone(), contract)
        .create(&PostParams::default(), &export)
        .await
        .unwrap();
    write_secret(&service.consumer, "same-crd-too", "kubeconfig", &kubeconfig).await;
    create_bundle(&service.consumer, "same-crd-too", "same-crd-too").await;

    let expected = ("False", "ForeignCustomResourceDefinition");
    let said = binding_condition(&service.consumer, "same-crd-export", "Connected", expected).await.message;
    let names = [
        "APIServiceBinding cowboys.same-crd.dev of bundle same-crd,",
        "APIServiceBinding same-crd-export of bundle same-crd-too",
    ];
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
    let conflict =
        bundle_condition(&service.consumer, "same-crd-too", "Synced", ("False", "SyncErrors")).await;
    assert!(conflict.message.contains("of bundle same-crd,"), "{}", conflict.message);
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    assert_eq!(bundles.get("same-crd-too").await.unwrap().status.unwrap().conflicts, Some(1));
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;

    bundles.delete("same-crd", &DeleteParams::default()).await.unwrap();
    binding_condition(&service.consumer, "same-crd-export", "Ready", ("True", "")).await;
    bundle_condition(&service.consumer, "same-crd-too", "Ready", ("True", "")).await;
    bundles.delete("same-crd-too", &DeleteParams::default()).await.unwrap();
    crate::support::no_crd(&service).await;
}

#[tokio::test]
async fn consumers_whose_names_spell_the_same_do_not_share_a_namespace() {
    let clusters = clusters().await;
    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let short = Service::bind(clusters, "pre").await;
    let long = Service::bind(clusters, "pre-fix").await;
    for (service, namespace) in [(&short, "fix-x"), (&long, "x")] {
        create_namespace(&consumer, namespace).await;
        let here: Api<DynamicObject> = Api::namespaced_with(consumer.clone(), namespace, &service.resource);
        let object = cowboy(&service.resource, "billy", &json!({"intent": service.name}));
        here.create(&PostParams::default(), &object).await.unwrap();
    }
    for service in [&short, &long] {
        let everywhere: Api<DynamicObject> = Api::all_with(provider.clone(), &service.resource);
        let copy = eventually("the copy is there", SOON, async || {
            Ok::<_, anyhow::Error>(
                everywhere.list(&kube::api::ListParams::default()).await?.items.into_iter().next(),
            )
        })
        .await
        .unwrap();
        assert_eq!(copy.annotations()["kube-bind.io/cluster-namespace"], service.contract_namespace());
    }
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(provider);
    let of = async |contract: &str| {
        let selector = kube::api::ListParams::default().labels(&format!("kube-bind.io/contract={contract}"));
        namespaces.list(&selector).await.unwrap().items.into_iter().map(|n| n.name_any()).collect::<Vec<_>>()
    };
    let (of_short, of_long) = (of("kube-bind-pre").await, of("kube-bind-pre-fix").await);
    assert!(!of_short.is_empty() && !of_long.is_empty());
    assert!(of_short.iter().all(|name| !of_long.contains(name)), "{of_short:?} {of_long:?}");
}

#[tokio::test]
async fn what_the_go_konnector_has_written_is_taken_over() {
    let service = Service::bind(clusters().await, "taken-over").await;
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    // What it leaves on the provider: a whole object by Update, with the first of the marks.
    let mut left = cowboy(&service.resource, "billy", &json!({"intent": "ride", "former": "yes"}));
    let mark = ("kube-bind.io/cluster-namespace".to_owned(), service.contract_namespace());
    left.annotations_mut().extend([mark]);
    let former = PostParams { field_manager: Some("konnector".to_owned()), ..PostParams::default() };
    let left = service.there().create(&former, &left).await.unwrap();
    service.create("billy", &json!({"intent": "rest"})).await;
    let taken = object_with(&service.there(), "billy", "is taken over", |copy| {
        let managers = copy.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
        copy.data["spec"] == json!({"intent": "rest"}) && !managers.collect::<Vec<_>>().contains(&"konnector")
    })
    .await;
    assert_eq!(taken.uid(), left.uid());
}
