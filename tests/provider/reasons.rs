//! Events that tell the provider's administrator what somebody else has made impossible.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
use portolan_core::{
    api::kubebind::{APIServiceNamespace, APIServiceNamespaceSpec},
    names,
};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn a_conversion_that_consumers_cannot_use_is_told() {
    let scene = Scene::shared("dropped").await;
    let mut crd = json!(scene.crd("cowboys", "Namespaced"));
    crd["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "default", "name": "converter", "path": "/convert"}},
    }});
    let crds: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(scene.client());
    crds.create(&PostParams::default(), &serde_json::from_value(crd).unwrap()).await.unwrap();
    scene.event(&scene.crd_name("cowboys"), "ConversionDropped").await;
}

#[tokio::test]
async fn a_request_for_a_namespace_that_cannot_be_or_is_taken_is_told() {
    let scene = Scene::shared("taken").await;
    let consumer = scene.consumer("taken").await;
    let requests: Api<APIServiceNamespace> = Api::namespaced(scene.client(), &consumer.namespace);
    let ask = async |name: &str| {
        let request = APIServiceNamespace::new(name, APIServiceNamespaceSpec {});
        requests.create(&PostParams::default(), &request).await.unwrap();
    };
    ask("taken.dots").await;
    scene.event("taken.dots", "InvalidName").await;

    let namespaces: Api<Namespace> = Api::all(scene.client());
    for hashed in [false, true] {
        let name = names::mapped_namespace(&consumer.namespace, "taken-west", hashed);
        let theirs = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        namespaces.create(&PostParams::default(), &theirs).await.unwrap();
    }
    ask("taken-west").await;
    scene.event("taken-west", "NamespaceNotUsable").await;
    let unanswered = requests.get("taken-west").await.unwrap();
    assert!(unanswered.status.and_then(|status| status.namespace).is_none_or(|name| name.is_empty()));
}
