//! Requests for exports: what they name is exported to their consumer, and to nobody else.

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use portolan_core::{
    api::kubebind::{
        APIServiceExport, APIServiceExportRequest, APIServiceNamespace, BoundSchema, RequestPhase,
    },
    condition::find,
};
use portolan_testkit::{kubeconfig, watch_until, watch_until_gone};
use serde_json::{Value, json};

use crate::{
    mistakes::connect,
    scene::{SOON, Scene, is_forbidden},
};

fn request(scene: &Scene, name: &str, plurals: &[&str], more: &Value) -> APIServiceExportRequest {
    let resource = |plural: &&str| json!({"group": scene.group(), "resource": plural, "versions": ["v1"]});
    let mut spec = json!({"resources": plurals.iter().map(resource).collect::<Vec<_>>()});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExportRequest",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn phase(request: &APIServiceExportRequest) -> RequestPhase {
    request.status.as_ref().map_or(RequestPhase::Pending, |status| status.phase)
}

#[tokio::test]
async fn a_request_exports_what_it_names_to_its_consumer_alone() {
    let scene = Scene::shared("requested").await;
    // Neither consumer's selector chooses anything.
    for name in ["asks", "asks-not"] {
        scene.kubeconfig(&["--consumer", name, "--exports", "scene=nothing"]).await;
    }
    scene.create_crd("mangos", "Namespaced").await;
    scene.create_crd("papayas", "Namespaced").await;
    let requests: Api<APIServiceExportRequest> = Api::namespaced(scene.client(), "kube-bind-asks");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), "kube-bind-asks");
    let seeds = json!({"namespaces": [{"name": "orchard"}, {"name": "orchard"}]});
    requests.create(&PostParams::default(), &request(&scene, "fruit", &["mangos"], &seeds)).await.unwrap();
    let done = |request: &APIServiceExportRequest| phase(request) == RequestPhase::Succeeded;
    let done = watch_until(requests.clone(), "fruit", done, SOON).await.unwrap();
    let conditions = done.status.unwrap().conditions;
    assert!(
        ["ExportsReady", "PermissionClaim", "Ready"]
            .iter()
            .all(|c| portolan_core::condition::is_true(&conditions, c))
    );
    let export = exports.get(&scene.crd_name("mangos")).await.unwrap();
    assert!(exports.get_opt(&scene.crd_name("papayas")).await.unwrap().is_none());
    let others: Api<APIServiceExport> = Api::namespaced(scene.client(), "kube-bind-asks-not");
    assert!(others.get_opt(&export.name_any()).await.unwrap().is_none());
    // A namespace that the provider wants to have on the consumer.
    let namespaces: Api<APIServiceNamespace> = Api::namespaced(scene.client(), "kube-bind-asks");
    let seeded =
        watch_until(namespaces, "orchard", |namespace| namespace.status.is_some(), SOON).await.unwrap();
    assert_eq!(seeded.labels()["kube-bind.io/owner"], "provider");

    // What is no longer there to be exported is withdrawn, request or not.
    scene.patch_crd("mangos", &json!({"metadata": {"labels": {"kube-bind.io/exported": null}}})).await;
    watch_until_gone(exports.clone(), &export.name_any(), SOON).await.unwrap();
    scene.patch_crd("mangos", &json!({"metadata": {"labels": {"kube-bind.io/exported": "true"}}})).await;
    watch_until(exports, &export.name_any(), |_| true, SOON).await.unwrap();
}

#[tokio::test]
async fn a_request_that_cannot_be_met_says_why_and_grants_nothing() {
    let scene = Scene::shared("unmet").await;
    scene.kubeconfig(&["--consumer", "unmet", "--exports", "scene=nothing"]).await;
    scene.create_crd("mangos", "Namespaced").await;
    let requests: Api<APIServiceExportRequest> = Api::namespaced(scene.client(), "kube-bind-unmet");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), "kube-bind-unmet");
    let twice = json!({"group": "", "resource": "secrets", "selector": {"namedResources": [{"name": "n"}]}});
    let claims = json!({"permissionClaims": [twice, twice]});
    requests.create(&PostParams::default(), &request(&scene, "twice", &["mangos"], &claims)).await.unwrap();
    let failed = |request: &APIServiceExportRequest| phase(request) == RequestPhase::Failed;
    let failed = watch_until(requests.clone(), "twice", failed, SOON).await.unwrap().status.unwrap();
    assert_eq!(find(&failed.conditions, "PermissionClaim").unwrap().reason, "DuplicatePermissionClaim");
    assert_eq!(failed.terminal_message.as_deref(), Some("secrets is claimed more than once."));
    scene.event("twice", "RequestFailed").await;

    let missing = request(&scene, "missing", &["mangos", "papayas"], &json!({}));
    requests.create(&PostParams::default(), &missing).await.unwrap();
    let reason = |request: &APIServiceExportRequest| {
        let conditions = request.status.clone().unwrap_or_default().conditions;
        find(&conditions, "ExportsReady").map(|said| said.reason.clone())
    };
    let said = |request: &APIServiceExportRequest| reason(request).as_deref() == Some("SchemaNotFound");
    let waits = watch_until(requests.clone(), "missing", said, SOON).await.unwrap();
    assert_eq!(phase(&waits), RequestPhase::Pending);
    assert!(exports.get_opt(&scene.crd_name("mangos")).await.unwrap().is_none(), "half of it is none of it");
    // It may still come.
    scene.create_crd("papayas", "Namespaced").await;
    let done = |request: &APIServiceExportRequest| phase(request) == RequestPhase::Succeeded;
    watch_until(requests, "missing", done, SOON).await.unwrap();
    for plural in ["mangos", "papayas"] {
        exports.get(&scene.crd_name(plural)).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_request_has_been_granted_stays_while_another_part_of_it_cannot_be_had() {
    let scene = Scene::shared("partly").await;
    scene.kubeconfig(&["--consumer", "partly", "--exports", "scene=nothing"]).await;
    let requests: Api<APIServiceExportRequest> = Api::namespaced(scene.client(), "kube-bind-partly");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), "kube-bind-partly");
    let schemas: Api<BoundSchema> = Api::namespaced(scene.client(), "kube-bind-partly");
    // One of two schemas is somebody else's.
    let theirs = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema",
        "metadata": {"name": scene.crd_name("papayas")},
        "spec": {
            "group": scene.group(), "informerScope": "Namespaced", "scope": "Namespaced",
            "names": {"plural": "papayas", "kind": "Papaya"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    schemas.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    for plural in ["mangos", "papayas"] {
        scene.create_crd(plural, "Namespaced").await;
    }
    let both = request(&scene, "both", &["mangos", "papayas"], &json!({}));
    requests.create(&PostParams::default(), &both).await.unwrap();
    let said = |request: &APIServiceExportRequest| {
        let conditions = request.status.clone().unwrap_or_default().conditions;
        find(&conditions, "ExportsReady").map(|said| (said.reason.clone(), said.message.clone()))
    };
    let lacks = |text: &'static str| {
        move |request: &APIServiceExportRequest| {
            said(request).is_some_and(|(reason, why)| reason == "BoundSchemaNotFound" && why.contains(text))
        }
    };
    watch_until(requests.clone(), "both", lacks("is not usable"), SOON).await.unwrap();
    let mangos = scene.crd_name("mangos");
    let before = exports.get(&mangos).await.unwrap();
    connect(&exports, &mangos).await;
    let stays = async || {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let now = exports.get(&mangos).await.unwrap();
        assert_eq!((now.uid(), now.metadata.deletion_timestamp), (before.uid(), None));
    };
    stays().await;
    // The other part is withdrawn altogether.
    let label = |value: &Value| json!({"metadata": {"labels": {"kube-bind.io/exported": value}}});
    scene.patch_crd("papayas", &label(&Value::Null)).await;
    watch_until(requests.clone(), "both", lacks("lacks the label"), SOON).await.unwrap();
    stays().await;

    schemas.delete(&scene.crd_name("papayas"), &DeleteParams::default()).await.unwrap();
    scene.patch_crd("papayas", &label(&"true".into())).await;
    let done = |request: &APIServiceExportRequest| phase(request) == RequestPhase::Succeeded;
    watch_until(requests, "both", done, SOON).await.unwrap();
    stays().await;
}

#[tokio::test]
async fn a_consumer_cannot_ask_for_itself() {
    let scene = Scene::shared("itself").await;
    let consumer = scene.consumer("itself").await;
    let client = kubeconfig::client(&consumer.kubeconfig).await.unwrap();
    let requests: Api<APIServiceExportRequest> = Api::namespaced(client, &consumer.namespace);
    let own = request(&scene, "own", &["mangos"], &json!({}));
    assert!(is_forbidden(&requests.create(&PostParams::default(), &own).await.unwrap_err()));
}
