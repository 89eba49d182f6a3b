//! The real binary with the rules of its chart, against a real control plane.

#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy takes the helpers of a test for other code")]

mod chart;
mod commands;
mod leftover;
mod mistakes;
mod reasons;
mod refused;
mod requests;
mod scene;

use k8s_openapi::{
    api::{core::v1::Namespace, rbac::v1::Role},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{
        APIServiceExport, APIServiceNamespace, BoundSchema, CONDITION_PROVIDER_IN_SYNC, ClusterBinding,
    },
    condition,
    kubeconfig::parse,
};
use portolan_testkit::{eventually, kubeconfig, watch_until, watch_until_gone, workload};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, is_forbidden};

#[tokio::test]
async fn a_kubeconfig_is_made_once_and_printed_each_time() {
    let scene = Scene::shared("printed").await;
    let first = scene.kubeconfig(&["--consumer", "printed", "--exports", "scene=printed"]).await;
    let access = parse(first.stdout.as_bytes()).unwrap();
    assert_eq!(access.namespace, "kube-bind-printed");
    assert_eq!(access.server, scene.control_plane().server_url());
    for note in
        ["note: the API server grants less time than requested", "is reachable from this machine only"]
    {
        assert!(first.stderr.contains(note), "{}", first.stderr);
    }

    let namespaces: Api<Namespace> = Api::all(scene.client());
    let made = namespaces.get("kube-bind-printed").await.unwrap();
    assert_eq!(made.labels()["kube-bind.io/consumer"], "printed");
    let arguments =
        ["--consumer", "printed", "--exports", "tier=gold", "--server", "https://provider.example/"];
    let second = scene.kubeconfig(&arguments).await;
    assert_ne!(first.stdout, second.stdout, "a new token");
    assert_eq!(parse(second.stdout.as_bytes()).unwrap().server, "https://provider.example");
    let kept = namespaces.get("kube-bind-printed").await.unwrap();
    assert_eq!(kept.uid(), made.uid());
    assert_eq!(kept.annotations()["kube-bind.io/exports"], "tier=gold");
    scene.kubeconfig(&["--consumer", "printed"]).await;
    assert_eq!(
        namespaces.get("kube-bind-printed").await.unwrap().resource_version(),
        kept.resource_version()
    );
}

#[tokio::test]
async fn a_mistake_on_the_command_line_is_one_line() {
    let scene = Scene::shared("mistaken").await;
    let code = async |arguments: &[&str]| {
        let output = scene.command(arguments).await;
        assert_eq!(
            (output.stdout.as_str(), output.stderr.trim_end().lines().count()),
            ("", 1),
            "{}",
            output.stderr
        );
        (output.status.code().unwrap(), output.stderr)
    };
    assert_eq!(code(&["--consumer", "Mistaken"]).await.0, 64);
    assert_eq!(code(&["--consumer", "mistaken", "--exports", "a b"]).await.0, 64);
    assert_eq!(code(&["--consumer", "mistaken", "--ca-file", "/no/such/file"]).await.0, 64);

    let metadata = ObjectMeta { name: Some("kube-bind-mistaken".to_owned()), ..ObjectMeta::default() };
    let foreign = Namespace { metadata, ..Namespace::default() };
    Api::all(scene.client()).create(&PostParams::default(), &foreign).await.unwrap();
    let (status, said) = code(&["--consumer", "mistaken"]).await;
    assert_eq!(status, 1);
    assert!(
        said.contains("kubectl label namespace kube-bind-mistaken kube-bind.io/consumer=mistaken"),
        "{said}"
    );
}

#[tokio::test]
async fn a_labelled_crd_is_exported_for_as_long_as_it_is_labelled() {
    let scene = Scene::shared("lifecycle").await;
    let namespace = scene.consumer("lifecycle").await.namespace;
    scene.create_crd("mangos", "Namespaced").await;
    let name = scene.crd_name("mangos");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &namespace);
    let schemas: Api<BoundSchema> = Api::namespaced(scene.client(), &namespace);
    let in_sync = |export: &APIServiceExport| {
        export.status.as_ref().is_some_and(|s| condition::is_true(&s.conditions, CONDITION_PROVIDER_IN_SYNC))
    };
    let export = watch_until(exports.clone(), &name, in_sync, SOON).await.unwrap();
    assert_eq!(
        json!(export.spec),
        json!({
            "informerScope": "Namespaced", "isolation": "Prefixed",
            "resources": [{"group": scene.group(), "resource": "mangos"}],
        })
    );
    let schema = schemas.get(&name).await.unwrap();
    assert_eq!(schema.owner_references()[0].uid, export.uid().unwrap());
    assert_eq!(hash(&schema), hash(&export));
    let introduced: Api<ClusterBinding> = Api::namespaced(scene.client(), &namespace);
    let introduced = watch_until(introduced, "cluster", |_| true, SOON).await.unwrap();
    assert_eq!(introduced.spec.provider_pretty_name, "Portolan provider");

    // Another version, and other fields: the schema follows in place.
    let versions = json!([version("v1", true, &json!({"maximum": 10.0})), version("v2", false, &json!({}))]);
    scene.patch_crd("mangos", &json!({"spec": {"versions": versions}})).await;
    let followed = watch_until(schemas.clone(), &name, |s| s.spec.versions.len() == 2, SOON).await.unwrap();
    assert_eq!(followed.uid(), schema.uid());
    let follows = |export: &APIServiceExport| hash(export) == hash(&followed) && in_sync(export);
    assert_eq!(watch_until(exports.clone(), &name, follows, SOON).await.unwrap().uid(), export.uid());

    // A version that is no longer served goes from the schema, and the export stays what it was.
    let mut versions = json!([version("v1", false, &json!({})), version("v2", true, &json!({}))]);
    scene.patch_crd("mangos", &json!({"spec": {"versions": versions}})).await;
    versions[0]["served"] = false.into();
    scene.patch_crd("mangos", &json!({"spec": {"versions": versions}})).await;
    let without = |s: &BoundSchema| s.spec.versions.iter().all(|v| v.name == "v2" || !v.served);
    let followed = watch_until(schemas.clone(), &name, without, SOON).await.unwrap();
    assert_eq!(followed.uid(), schema.uid());
    let follows = |export: &APIServiceExport| hash(export) == hash(&followed) && in_sync(export);
    assert_eq!(watch_until(exports.clone(), &name, follows, SOON).await.unwrap().uid(), export.uid());

    scene.patch_crd("mangos", &json!({"metadata": {"labels": {"kube-bind.io/exported": null}}})).await;
    watch_until_gone(exports, &name, SOON).await.unwrap();
    watch_until_gone(schemas, &name, SOON).await.unwrap();
}

fn hash(object: &impl kube::ResourceExt) -> Option<String> {
    object.annotations().get("kube-bind.io/source-spec-hash").cloned()
}

fn version(name: &str, storage: bool, size: &Value) -> Value {
    let mut size = size.clone();
    size["type"] = "integer".into();
    let schema =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": size}}}});
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema}})
}

#[tokio::test]
async fn the_selector_of_a_consumer_decides_what_it_gets() {
    let scene = Scene::shared("selected").await;
    let namespace = scene.consumer("selected").await.namespace;
    scene.create_crd("pears", "Namespaced").await;
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &namespace);
    let name = scene.crd_name("pears");
    watch_until(exports.clone(), &name, |_| true, SOON).await.unwrap();
    scene.kubeconfig(&["--consumer", "selected", "--exports", "scene=none"]).await;
    watch_until_gone(exports.clone(), &name, SOON).await.unwrap();

    // A selector that cannot be read changes nothing, and is said.
    scene.kubeconfig(&["--consumer", "selected", "--exports", "scene=selected"]).await;
    watch_until(exports.clone(), &name, |_| true, SOON).await.unwrap();
    let broken = json!({"metadata": {"annotations": {"kube-bind.io/exports": "a b"}}});
    let namespaces: Api<Namespace> = Api::all(scene.client());
    namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(broken)).await.unwrap();
    scene.event(&namespace, "InvalidSelector").await;
    assert!(exports.get_opt(&name).await.unwrap().is_some());
}

#[tokio::test]
async fn an_export_of_somebody_else_is_left_alone() {
    let scene = Scene::shared("foreign").await;
    let namespace = scene.consumer("foreign").await.namespace;
    let name = scene.crd_name("kiwis");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &namespace);
    let theirs: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": name},
        "spec": {
            "informerScope": "Cluster", "isolation": "None", "resources": [{"group": scene.group(), "resource": "kiwis"}],
        },
    }))
    .unwrap();
    let theirs = exports.create(&PostParams::default(), &theirs).await.unwrap();
    scene.create_crd("kiwis", "Namespaced").await;
    scene.event(&name, "NotOurs").await;
    scene.patch_crd("kiwis", &json!({"metadata": {"labels": {"kube-bind.io/exported": null}}})).await;
    // The next CRD is handled after this one. Its schema is somebody else's, too.
    let schemas: Api<BoundSchema> = Api::namespaced(scene.client(), &namespace);
    let limes = scene.crd_name("limes");
    let schema = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": limes},
        "spec": {
            "group": scene.group(), "informerScope": "Namespaced", "scope": "Namespaced",
            "names": {"plural": "limes", "kind": "Lime"}, "versions": [version("v1", true, &json!({}))],
        },
    });
    schemas.create(&PostParams::default(), &serde_json::from_value(schema).unwrap()).await.unwrap();
    scene.create_crd("limes", "Namespaced").await;
    let in_sync = |export: &APIServiceExport| {
        condition::find(&export.status.as_ref()?.conditions, CONDITION_PROVIDER_IN_SYNC).cloned()
    };
    let missing = |e: &APIServiceExport| in_sync(e).is_some_and(|c| c.reason == "BoundSchemaMissing");
    watch_until(exports.clone(), &limes, missing, SOON).await.unwrap();
    schemas.delete(&limes, &DeleteParams::default()).await.unwrap();
    let holds = |e: &APIServiceExport| in_sync(e).is_some_and(|c| c.reason.is_empty());
    watch_until(exports.clone(), &limes, holds, SOON).await.unwrap();
    assert_eq!(exports.get(&name).await.unwrap().resource_version(), theirs.resource_version());
    assert!(schemas.get_opt(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_cluster_scoped_crd_is_not_exported_and_says_why() {
    let scene = Scene::shared("scoped").await;
    let namespace = scene.consumer("scoped").await.namespace;
    scene.create_crd("regions", "Cluster").await;
    scene.event(&scene.crd_name("regions"), "NotExportable").await;
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &namespace);
    assert!(exports.get_opt(&scene.crd_name("regions")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_consumer_works_in_its_namespaces_and_nowhere_else() {
    let scene = Scene::shared("rights").await;
    let consumer = scene.consumer("rights").await;
    let crd = scene.crd("plums", "Namespaced");
    workload::install(&scene.client(), &crd).await.unwrap();
    let theirs = kubeconfig::client(&consumer.kubeconfig).await.unwrap();
    let exports: Api<APIServiceExport> = Api::namespaced(theirs.clone(), &consumer.namespace);
    watch_until(exports, &scene.crd_name("plums"), |_| true, SOON).await.unwrap();
    let mapped = scene.answered(&theirs, &consumer.namespace, "prod").await;
    assert_eq!(mapped, "kube-bind-rights-prod");
    let made = Api::<Namespace>::all(scene.client()).get(&mapped).await.unwrap();
    assert_eq!(made.annotations()["kube-bind.io/api-service-namespace"], "kube-bind-rights/prod");
    assert_eq!(made.labels()["kube-bind.io/contract"], "kube-bind-rights");

    let resource = scene.resource("plums");
    let plum = DynamicObject::new("plum", &resource).data(json!({"spec": {"size": 1}}));
    let here: Api<DynamicObject> = Api::namespaced_with(theirs.clone(), &mapped, &resource);
    // The authorizer hears of new rights a moment after they were written.
    let created = async || here.create(&PostParams::default(), &plum).await.map(Some);
    eventually("a plum", SOON, created).await.unwrap();
    here.delete("plum", &DeleteParams::default()).await.unwrap();
    let elsewhere: Api<DynamicObject> = Api::namespaced_with(theirs.clone(), "default", &resource);
    assert!(is_forbidden(&elsewhere.create(&PostParams::default(), &plum).await.unwrap_err()));
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(theirs.clone(), &mapped);
    assert!(is_forbidden(&secrets.list(&kube::api::ListParams::default()).await.unwrap_err()));
    let contract: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(theirs, &consumer.namespace);
    assert!(is_forbidden(&contract.list(&kube::api::ListParams::default()).await.unwrap_err()));

    // Rights follow the exports, and come back when somebody takes them away.
    let roles: Api<Role> = Api::namespaced(scene.client(), &mapped);
    let grants = |role: &Role, plurals: &[&str]| {
        let granted = role.rules.clone().unwrap_or_default();
        granted.len() == 1 && granted[0].resources.as_deref().unwrap() == plurals
    };
    scene.create_crd("figs", "Namespaced").await;
    watch_until(roles.clone(), "kube-binder-exports", |role| grants(role, &["figs", "plums"]), SOON)
        .await
        .unwrap();
    scene.patch_crd("figs", &json!({"metadata": {"labels": {"scene": "none"}}})).await;
    watch_until(roles.clone(), "kube-binder-exports", |role| grants(role, &["plums"]), SOON).await.unwrap();
    let before = roles.get("kube-binder-exports").await.unwrap().uid();
    roles.delete("kube-binder-exports", &DeleteParams::default()).await.unwrap();
    let again = |role: &Role| role.uid() != before && grants(role, &["plums"]);
    watch_until(roles, "kube-binder-exports", again, SOON).await.unwrap();
}

#[tokio::test]
async fn consumers_whose_names_run_together_are_kept_apart() {
    let scene = Scene::shared("apart").await;
    let (first, second) = (scene.consumer("apart").await, scene.consumer("apart-b").await);
    let client = scene.client();
    let plain = scene.answered(&client, &first.namespace, "b-c").await;
    let other = scene.answered(&client, &second.namespace, "c").await;
    assert_eq!(plain, "kube-bind-apart-b-c");
    assert_ne!(plain, other);
    assert!(other.starts_with("kube-bind-apart-b-c-"), "{other}");
    // A contract namespace is not for the objects of another consumer either.
    let inside = scene.answered(&client, &first.namespace, "b").await;
    assert_ne!(inside, second.namespace);

    let metadata = ObjectMeta { name: Some("kube-bind-apart-taken".to_owned()), ..ObjectMeta::default() };
    let foreign = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &foreign).await.unwrap();
    let beside = scene.answered(&client, &first.namespace, "taken").await;
    assert!(beside.starts_with("kube-bind-apart-taken-"), "{beside}");

    // What is gone is forgotten only in name: asked again, the same namespace answers.
    let requests: Api<APIServiceNamespace> = Api::namespaced(client.clone(), &second.namespace);
    requests.delete("c", &DeleteParams::default()).await.unwrap();
    assert_eq!(scene.answered(&client, &second.namespace, "c").await, other);
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let scene = Scene::of_its_own("rest").await;
    let consumer = scene.consumer("rest").await;
    scene.create_crd("dates", "Namespaced").await;
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &consumer.namespace);
    let reported = |export: &APIServiceExport| export.status.is_some();
    watch_until(exports.clone(), &scene.crd_name("dates"), reported, SOON).await.unwrap();
    let mapped = scene.answered(&scene.client(), &consumer.namespace, "prod").await;

    let all: Api<ClusterBinding> = Api::namespaced(scene.client(), &consumer.namespace);
    let judged = |binding: &ClusterBinding| {
        let conditions = binding.status.as_ref().map(|status| status.conditions.as_slice());
        condition::find(conditions.unwrap_or_default(), "Healthy").cloned()
    };
    let first = watch_until(all.clone(), "cluster", |binding| judged(binding).is_some(), SOON).await.unwrap();
    // Another writer of the same status, and news that change nothing.
    let connected = json!([{"op": "add", "path": "/status/conditions/1", "value": {
        "type": "Connected", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }}]);
    let patch = Patch::Json::<()>(serde_json::from_value(connected).unwrap());
    let theirs = kubeconfig::client(&consumer.kubeconfig).await.unwrap();
    let bindings: Api<ClusterBinding> = Api::namespaced(theirs.clone(), &consumer.namespace);
    let heartbeat = Patch::Merge(json!({"status": {"lastHeartbeatTime": "2026-01-01T00:00:00Z"}}));
    bindings.patch_status("cluster", &PatchParams::default(), &heartbeat).await.unwrap();
    let another = |binding: &ClusterBinding| judged(binding) != judged(&first);
    watch_until(all, "cluster", another, SOON).await.unwrap();
    let as_consumer: Api<APIServiceExport> = Api::namespaced(theirs, &consumer.namespace);
    as_consumer.patch_status(&scene.crd_name("dates"), &PatchParams::default(), &patch).await.unwrap();
    let counts = scene.writes_when_settled().await;
    let expected = [
        ("create apiserviceexports", 1),
        ("create apiservicenamespaces", 0),
        ("create boundschemas", 1),
        ("create clusterbindings", 1),
        ("create namespaces", 1),
        ("create rolebindings", 1),
        ("create roles", 1),
        ("patch apiserviceexports", 1),
        ("patch apiservicenamespaces", 1),
        // The heartbeat is judged when there is none yet, and when it comes.
        ("patch clusterbindings", 2),
        ("patch customresourcedefinitions", 5),
    ];
    for (what, times) in expected {
        assert_eq!(counts.get(what).copied().unwrap_or_default(), times, "{what} in {counts:?}");
    }
    assert_eq!(counts.values().sum::<usize>(), 15, "{counts:?}");

    scene.patch_crd("dates", &json!({"metadata": {"annotations": {"irrelevant": "true"}}})).await;
    let namespaces: Api<Namespace> = Api::all(scene.client());
    let irrelevant = Patch::Merge(json!({"metadata": {"labels": {"irrelevant": "true"}}}));
    for namespace in [&mapped, &consumer.namespace] {
        namespaces.patch(namespace, &PatchParams::default(), &irrelevant).await.unwrap();
    }
    assert_eq!(scene.writes_when_settled().await, counts);
    let scene = scene.restarted().await;
    assert_eq!(scene.writes_when_settled().await, counts, "a restart writes nothing");
    let still = exports.get(&scene.crd_name("dates")).await.unwrap().status.unwrap().conditions;
    assert!(
        condition::is_true(&still, "Connected") && condition::is_true(&still, CONDITION_PROVIDER_IN_SYNC)
    );
}

#[tokio::test]
async fn the_crds_of_the_contract_are_installed() {
    let scene = Scene::shared("installed").await;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client());
    for crd in portolan_core::crds::provider() {
        let look = async || crds.get_opt(&crd.name_any()).await;
        let installed = eventually("the CRD is installed", SOON, look).await.unwrap();
        assert!(workload::is_established(&installed));
    }
}
