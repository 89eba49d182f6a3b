//! Mistakes of the provider's administrator, which take nothing away from a consumer.

use k8s_openapi::api::{core::v1::Namespace, events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{
        APIServiceExport, APIServiceNamespace, APIServiceNamespaceSpec, CONDITION_PROVIDER_IN_SYNC,
    },
    condition,
};
use portolan_testkit::{watch_until, watch_until_gone};
use serde_json::{Value, json};

use crate::{
    refused::{expire, not_renewed, renewed, spoil},
    scene::{SOON, Scene},
};

/// The reason of `ProviderInSync`, empty where it is True.
fn in_sync(export: &APIServiceExport) -> Option<String> {
    let conditions = &export.status.as_ref()?.conditions;
    condition::find(conditions, CONDITION_PROVIDER_IN_SYNC).map(|said| said.reason.clone())
}

/// Says that a konnector uses an export.
pub async fn connect(exports: &Api<APIServiceExport>, name: &str) {
    watch_until(exports.clone(), name, |export| in_sync(export).is_some(), SOON).await.unwrap();
    let connected = json!([{"op": "add", "path": "/status/conditions/-", "value": {
        "type": "Connected", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }}]);
    let patch = Patch::Json::<()>(serde_json::from_value(connected).unwrap());
    exports.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn label(namespaces: &Api<Namespace>, name: &str, consumer: Value) {
    let patch = json!({"metadata": {"labels": {"kube-bind.io/consumer": consumer}}});
    namespaces.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn a_contract_namespace_that_loses_its_label_keeps_what_it_has() {
    let scene = Scene::shared("unlabelled").await;
    let contract = scene.consumer("unlabelled").await.namespace;
    scene.create_crd("mangos", "Namespaced").await;
    let name = scene.crd_name("mangos");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &contract);
    let namespaces: Api<Namespace> = Api::all(scene.client());
    connect(&exports, &name).await;
    let before = exports.get(&name).await.unwrap();

    label(&namespaces, &contract, Value::Null).await;
    let told = |export: &APIServiceExport| {
        export.metadata.deletion_timestamp.is_some() || in_sync(export).as_deref() == Some("NoContract")
    };
    let kept = watch_until(exports.clone(), &name, told, SOON).await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none(), "it is withdrawn: {kept:?}");
    scene.event(&name, "NoContract").await;
    // Whoever asks for something there is told, too.
    let requests: Api<APIServiceNamespace> = Api::namespaced(scene.client(), &contract);
    let asked = APIServiceNamespace::new("unlabelled-west", APIServiceNamespaceSpec {});
    requests.create(&PostParams::default(), &asked).await.unwrap();
    scene.event("unlabelled-west", "NoContract").await;
    // The konnector that goes on with what there is keeps its way in.
    expire(&scene, &contract).await;
    renewed(&scene, &contract).await;

    label(&namespaces, &contract, "unlabelled".into()).await;
    let well = |export: &APIServiceExport| in_sync(export).is_some_and(|reason| reason.is_empty());
    let after = watch_until(exports.clone(), &name, well, SOON).await.unwrap();
    assert_eq!(after.uid(), before.uid());
    let answered = |request: &APIServiceNamespace| request.status.is_some();
    watch_until(requests, "unlabelled-west", answered, SOON).await.unwrap();

    // The label and the CRD still withdraw, and the konnector has its time to clean up.
    label(&namespaces, &contract, Value::Null).await;
    watch_until(exports.clone(), &name, told, SOON).await.unwrap();
    scene.patch_crd("mangos", &json!({"metadata": {"labels": {"kube-bind.io/exported": null}}})).await;
    let withdrawing = |export: &APIServiceExport| in_sync(export).as_deref() == Some("Withdrawing");
    watch_until(exports.clone(), &name, withdrawing, SOON).await.unwrap();
    // The end of the namespace is the end of what is in it, label or not.
    namespaces.delete(&contract, &DeleteParams::default()).await.unwrap();
    watch_until_gone(exports, &name, SOON * 4).await.unwrap();
}

#[tokio::test]
async fn a_restart_forgets_no_kubeconfig_in_a_namespace_without_its_label() {
    let scene = Scene::of_its_own("forgotten").await;
    let contract = scene.consumer("forgotten").await.namespace;
    label(&Api::all(scene.client()), &contract, Value::Null).await;
    spoil(&scene, &contract).await;
    expire(&scene, &contract).await;
    not_renewed(&scene, &contract).await;
    let events: Api<Event> = Api::namespaced(scene.client(), &contract);
    events.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    // It is told once by each provider that looks.
    let scene = scene.restarted().await;
    not_renewed(&scene, &contract).await;
}
