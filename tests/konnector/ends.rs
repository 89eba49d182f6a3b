//! Ends that people choose: policies, cascades, commands, and kinds and namespaces that go.

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PropagationPolicy},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport};
use portolan_testkit::eventually::{eventually, watch_until, watch_until_gone};
use serde_json::json;

use crate::support::{
    Clusters, SOON, Service, binding_condition, clusters, command, copies, create_bundle, create_namespace,
    konnector, merge, no_crd, object_gone, object_with,
};

const ORPHAN: &str = "kube-bind.io/deletion-policy";

fn bundles(service: &Service) -> Api<APIServiceBindingBundle> {
    Api::all(service.consumer.clone())
}

fn bindings(service: &Service) -> Api<APIServiceBinding> {
    Api::all(service.consumer.clone())
}

fn cascade(policy: PropagationPolicy) -> DeleteParams {
    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }
}

async fn arrive(service: &Service, names: &[&str]) {
    for name in names {
        service.create(name, &json!({"intent": "ride"})).await;
        service.arrives(name).await;
    }
}

#[tokio::test]
async fn objects_and_bundles_that_say_orphan_leave_their_copies() {
    let service = Service::bind(clusters().await, "says-orphan").await;
    arrive(&service, &["a", "b", "c"]).await;
    merge(&service.here(), "a", json!({"metadata": {"annotations": {ORPHAN: "Orphan"}}})).await;
    for name in ["a", "b"] {
        service.here().delete(name, &DeleteParams::default()).await.unwrap();
        object_gone(&service.here(), name).await;
    }
    object_gone(&service.there(), "b").await;
    assert!(service.there().get_opt("a").await.unwrap().is_some(), "its origin said Orphan");

    let says = Patch::Merge(json!({"metadata": {"annotations": {ORPHAN: "Orphan"}}}));
    bundles(&service).patch("says-orphan", &PatchParams::default(), &says).await.unwrap();
    bundles(&service).delete("says-orphan", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles(&service), "says-orphan", SOON).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 2, "a and c");
}

#[tokio::test]
async fn cascades_do_what_they_do_elsewhere_in_kubernetes() {
    let service = Service::bind(clusters().await, "cascades").await;
    arrive(&service, &["a"]).await;
    bundles(&service).delete("cascades", &cascade(PropagationPolicy::Foreground)).await.unwrap();
    // The garbage collector hears of new kinds every 30 s.
    watch_until_gone(bundles(&service), "cascades", SOON * 3).await.unwrap();
    assert!(
        bindings(&service).get_opt(&service.export()).await.unwrap().is_none(),
        "the bundle waits for it"
    );
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);

    // Without its bundle, a binding goes on like one that was made by hand.
    create_bundle(&service.consumer, "cascades", "cascades").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    bundles(&service).delete("cascades", &cascade(PropagationPolicy::Orphan)).await.unwrap();
    watch_until_gone(bundles(&service), "cascades", SOON * 3).await.unwrap();
    let alone = bindings(&service).get(&service.export()).await.unwrap();
    assert_eq!((alone.owner_references().len(), alone.metadata.deletion_timestamp), (0, None));
    arrive(&service, &["b"]).await;

    // Without its binding, a kind and its objects are left to themselves.
    bindings(&service).delete(&service.export(), &cascade(PropagationPolicy::Orphan)).await.unwrap();
    watch_until_gone(bindings(&service), &service.export(), SOON * 3).await.unwrap();
    let left = object_with(&service.here(), "b", "is let go", |object| object.finalizers().is_empty()).await;
    assert_eq!(left.metadata.deletion_timestamp, None);
    let copy = service.there().get("b").await.unwrap();

    // Whoever binds again takes the kind over with its objects, and they find their copies.
    create_bundle(&service.consumer, "cascades", "cascades").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    merge(&service.here(), "b", json!({"spec": {"intent": "rest"}})).await;
    let follows = object_with(&service.there(), "b", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(follows.uid(), copy.uid());
    bundles(&service).delete("cascades", &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);
}

/// As where a backup tool has replaced the bundle, or somebody has taken its finalizer off.
#[tokio::test]
async fn bindings_whose_bundle_is_gone_unheard_take_nothing_with_them() {
    let clusters = Clusters::start("torn-out").await;
    let service = Service::bind(&clusters, "torn-out").await;
    arrive(&service, &["a"]).await;
    let copy = service.arrives("a").await;
    clusters.konnector.kill();
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    bundles(&service).patch("torn-out", &PatchParams::default(), &bare).await.unwrap();
    bundles(&service).delete("torn-out", &DeleteParams::default()).await.unwrap();
    let goes = |binding: &APIServiceBinding| binding.metadata.deletion_timestamp.is_some();
    watch_until(bindings(&service), &service.export(), goes, SOON).await.unwrap();

    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    watch_until_gone(bindings(&service), &service.export(), SOON).await.unwrap();
    object_with(&service.here(), "a", "is let go", |object| object.finalizers().is_empty()).await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let left = crds.get(&service.export()).await.unwrap();
    let why = &left.annotations()["kube-bind.io/withdrawn"];
    assert!(why.ends_with("of bundle torn-out was deleted, because the bundle does not exist"), "{why}");
    assert_eq!((left.owner_references().len(), &left.metadata.deletion_timestamp), (0, &None));
    assert_eq!(copies(&service).await, 1);
    create_bundle(&service.consumer, "torn-out", "torn-out").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    merge(&service.here(), "a", json!({"spec": {"intent": "rest"}})).await;
    let follows = object_with(&service.there(), "a", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(follows.uid(), copy.uid());
}

/// As after an upgrade from the Go konnector: nothing has our finalizer, and the CRD lacks our label.
#[tokio::test]
async fn what_a_former_konnector_has_brought_does_not_hang_while_the_provider_is_away() {
    let clusters = Clusters::start("former").await;
    let service = Service::bind(&clusters, "former").await;
    arrive(&service, &["a"]).await;
    clusters.konnector.kill();
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null, "annotations": null}}));
    let params = PatchParams::default();
    bundles(&service).patch("former", &params, &bare).await.unwrap();
    bindings(&service).patch(&service.export(), &params, &bare).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": {"kube-bind.io/managed-by": null}}}));
    crds.patch(&service.export(), &params, &unlabelled).await.unwrap();
    clusters.provider.stop_apiserver();

    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    let held = |binding: &APIServiceBinding| !binding.finalizers().is_empty();
    watch_until(bindings(&service), &service.export(), held, SOON).await.unwrap();
    let held = |bundle: &APIServiceBindingBundle| !bundle.finalizers().is_empty();
    watch_until(bundles(&service), "former", held, SOON).await.unwrap();
    bundles(&service).delete("former", &DeleteParams::default()).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Connected", ("False", "UnbindPending")).await;
    assert_eq!(crds.get(&service.export()).await.unwrap().metadata.deletion_timestamp, None);
    clusters.provider.start_apiserver().await.unwrap();
    // The konnector looks for the provider every 15 s by now.
    watch_until_gone(bundles(&service), "former", SOON * 3).await.unwrap();
    no_crd(&service).await;
    assert_eq!(copies(&service).await, 0);
}

#[tokio::test]
async fn a_namespace_and_a_kind_that_are_deleted_take_their_copies_along_and_do_not_hang() {
    let service = Service::bind(clusters().await, "deleted-ns").await;
    arrive(&service, &["a", "b"]).await;
    let namespaces: Api<Namespace> = Api::all(service.consumer.clone());
    namespaces.delete("deleted-ns", &DeleteParams::default()).await.unwrap();
    // Its controller looks again after some seconds, and longer where there are many kinds.
    watch_until_gone(namespaces, "deleted-ns", SOON * 3).await.unwrap();
    assert_eq!(copies(&service).await, 0);

    create_namespace(&service.consumer, "deleted-ns").await;
    arrive(&service, &["c"]).await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let first = crds.get(&service.export()).await.unwrap().uid();
    crds.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    // The binding is still there, so it comes back.
    let again = |crd: &CustomResourceDefinition| crd.uid() != first;
    watch_until(crds, &service.export(), again, SOON).await.unwrap();
    assert_eq!(copies(&service).await, 0);
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let made = eventually("the kind is served again", SOON, async || {
        let object = crate::support::cowboy(&service.resource, "d", &json!({"intent": "ride"}));
        service.here().create(&kube::api::PostParams::default(), &object).await.map(Some)
    });
    made.await.unwrap();
    service.arrives("d").await;
}

#[tokio::test]
async fn a_bundle_whose_provider_is_gone_for_good_can_be_released() {
    let clusters = Clusters::start("released").await;
    let service = Service::bind(&clusters, "released").await;
    arrive(&service, &["a", "b"]).await;
    for name in ["a", "b"] {
        object_with(&service.here(), name, "names its copy", names_its_copy).await;
    }
    clusters.provider.stop_apiserver();
    bundles(&service).delete("released", &DeleteParams::default()).await.unwrap();
    service.here().delete("b", &DeleteParams::default()).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Connected", ("False", "UnbindPending")).await;

    let released = command(&clusters.consumer.kubeconfig(), &["release", "--bundle", "released"]).await;
    assert!(released.status.success(), "{}", released.stderr);
    for said in ["finalizer from 2 objects", "kubectl delete crd cowboys.released.dev", "2 in namespace"] {
        assert!(released.stdout.contains(said), "{said}: {}", released.stdout);
    }
    assert!(bundles(&service).get_opt("released").await.unwrap().is_none());
    assert!(bindings(&service).get_opt(&service.export()).await.unwrap().is_none());
    object_gone(&service.here(), "b").await;
    let kept = service.here().get("a").await.unwrap();
    assert_eq!((kept.finalizers().len(), kept.metadata.deletion_timestamp), (0, None));
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    crds.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    no_crd(&service).await;

    let nothing = command(&clusters.consumer.kubeconfig(), &["release", "--bundle", "released"]).await;
    assert_eq!(nothing.status.code(), Some(1));
    assert!(nothing.stderr.contains("there is no APIServiceBindingBundle released"), "{}", nothing.stderr);
    assert!(clusters.konnector.exited().is_none());
}

fn names_its_copy(object: &DynamicObject) -> bool {
    object.annotations().contains_key("kube-bind.io/provider-uid")
}

#[tokio::test]
async fn a_plan_tells_what_would_go_and_a_drain_takes_everything_away() {
    let clusters = Clusters::start("drained").await;
    let service = Service::bind(&clusters, "drained").await;
    arrive(&service, &["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        object_with(&service.here(), name, "names its copy", names_its_copy).await;
    }
    let kubeconfig = clusters.consumer.kubeconfig();
    let planned = command(&kubeconfig, &["plan", "delete", "drained"]).await;
    assert!(planned.status.success(), "{}", planned.stderr);
    for said in [
        "CustomResourceDefinition cowboys.drained.dev with 3 objects",
        "deleted from the provider: 3 copies: 3 in namespace kube-bind-drained-drained",
        "It keeps the Secret default/drained",
    ] {
        assert!(planned.stdout.contains(said), "{said}: {}", planned.stdout);
    }
    assert_eq!(copies(&service).await, 3, "a plan changes nothing");

    assert_eq!(command(&kubeconfig, &["drain"]).await.status.code(), Some(64), "of everything, or of one");
    let drained = command(&kubeconfig, &["drain", "--all", "--timeout", "25s"]).await;
    assert!(drained.status.success(), "{} {}", drained.stdout, drained.stderr);
    assert!(drained.stdout.contains("drained: nothing is left"), "{}", drained.stdout);
    assert_eq!(copies(&service).await, 0);
    no_crd(&service).await;

    // Nothing is left either where somebody has deleted the kinds themselves.
    clusters.konnector.kill();
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    for kind in ["apiservicebindings.kube-bind.io", "apiservicebindingbundles.kube-bind.io"] {
        crds.delete(kind, &DeleteParams::default()).await.unwrap();
        watch_until_gone(crds.clone(), kind, SOON).await.unwrap();
    }
    let drained = command(&kubeconfig, &["drain", "--all", "--timeout", "5s"]).await;
    assert!(drained.status.success(), "{} {}", drained.stdout, drained.stderr);
}

/// As after a restore of the provider's backup: it waits for a word that was given before.
#[tokio::test]
async fn a_provider_hears_again_that_nothing_is_left_of_an_export() {
    let clusters = Clusters::start("heard-again").await;
    let service = Service::bind(&clusters, "heard-again").await;
    clusters.konnector.kill();
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let withdraw =
        |value: Option<&str>| Patch::Merge(json!({"metadata": {"labels": {"kube-bind.io/exported": value}}}));
    let params = PatchParams::default();
    crds.patch(&service.export(), &params, &withdraw(None)).await.unwrap();
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let is_going = |export: &APIServiceExport| export.metadata.deletion_timestamp.is_some();
    watch_until(exports.clone(), &service.export(), is_going, SOON).await.unwrap();
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    bindings(&service).patch(&service.export(), &params, &released).await.unwrap();
    bindings(&service).delete(&service.export(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(bindings(&service), &service.export(), SOON).await.unwrap();

    let (_konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    watch_until_gone(exports, &service.export(), SOON).await.unwrap();
    crds.patch(&service.export(), &params, &withdraw(Some("true"))).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
}
