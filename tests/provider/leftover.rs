//! Namespaces that nobody asks for any more, with something in them.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::APIServiceNamespace;
use portolan_testkit::watch_until_gone;
use serde_json::json;

use crate::scene::{SOON, Scene};

#[tokio::test]
async fn a_namespace_that_is_not_empty_says_so_and_is_not_looked_at_for_ever() {
    let scene = Scene::shared("left").await;
    let contract = scene.consumer("left").await.namespace;
    let mapped = scene.answered(&scene.client(), &contract, "west").await;
    let maps: Api<ConfigMap> = Api::namespaced(scene.client(), &mapped);
    let theirs = serde_json::from_value(json!({"metadata": {"name": "theirs"}})).unwrap();
    maps.create(&PostParams::default(), &theirs).await.unwrap();
    let requests: Api<APIServiceNamespace> = Api::namespaced(scene.client(), &contract);
    requests.delete("west", &DeleteParams::default()).await.unwrap();
    scene.event(&mapped, "NamespaceNotEmpty").await;

    // Each look is a Role that is made and deleted. The log is a moment behind.
    let looks = async || {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        scene.writes_to(&mapped, "kube-bind-sweep")
    };
    let before = looks().await;
    assert!(before > 0, "it was looked at when the Event was written");
    let namespaces: Api<Namespace> = Api::all(scene.client());
    let news = Patch::Merge(json!({"metadata": {"annotations": {"news": "true"}}}));
    namespaces.patch(&mapped, &PatchParams::default(), &news).await.unwrap();
    assert_eq!(looks().await, before, "nobody can have emptied it within a moment");

    // Asked for in between, it is looked at again at once.
    assert_eq!(scene.answered(&scene.client(), &contract, "west").await, mapped);
    maps.delete("theirs", &DeleteParams::default()).await.unwrap();
    requests.delete("west", &DeleteParams::default()).await.unwrap();
    watch_until_gone(namespaces, &mapped, SOON * 3).await.unwrap();
}
