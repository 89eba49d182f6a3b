//! `podLogs`: there is no node here, so a server plays the kubelet.

use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    fake::Fake,
    subscriptions::Events,
    support::{apply, named, rule, world},
};

fn query(pod: &str) -> String {
    format!(
        "subscription{{podLogs(name:\"{pod}\",namespace:\"logs\",container:\"main\",tailLines:2){{message container}}}}"
    )
}

async fn pod(name: &str, node: Option<&str>) {
    let world = world().await;
    let api: Api<Pod> = Api::namespaced(world.cluster.client(), "logs");
    let pod: Value = json!({"metadata": {"name": name}, "spec": {
        "nodeName": node, "automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}],
    }});
    apply(&api, &serde_json::from_value(pod).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_line_by_line_to_who_may_read_it() {
    let world = world().await;
    world.namespace("logs").await;
    let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
    apply(&Api::namespaced(world.cluster.client(), "logs"), &account).await;
    let kubelet = Fake::start(|_| (200, "one\nt\u{fc}o \"2\"\n".to_owned())).await;
    let nodes: Api<Node> = Api::all(world.cluster.client());
    apply(&nodes, &Node { metadata: named("here"), ..Node::default() }).await;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }});
    nodes.patch_status("here", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    pod("runs", Some("here")).await;
    pod("waits", None).await;

    let mut log = Events::open(&world.gateway, &world.admin, &query("runs")).await;
    for line in ["one", "t\u{fc}o \"2\""] {
        let answer = log.answer().await;
        assert_eq!(answer["data"]["podLogs"], json!({"message": line, "container": "main"}), "{answer}");
    }
    assert_eq!(log.next().await.0, "complete");
    let asked = kubelet.take();
    assert!(
        asked[0].path.starts_with("/containerLogs/logs/runs/main") && asked[0].path.contains("tailLines=2")
    );
    assert!(
        !asked[0].has_token(&world.admin),
        "the API server asks the kubelet with a credential of its own"
    );

    let mut unscheduled = Events::open(&world.gateway, &world.admin, &query("waits")).await;
    assert_eq!(unscheduled.next().await.0, "complete", "a pod without a node has an empty log");
    let mut missing = Events::open(&world.gateway, &world.admin, &query("missing")).await;
    assert_eq!(missing.answer().await["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let reader = world.limited("logs", "reader", vec![rule("", &["pods"], &["get"])]).await;
    let mut refused = Events::open(&world.gateway, &reader, &query("runs")).await;
    assert_eq!(refused.answer().await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert!(kubelet.take().is_empty(), "nothing was read for who may not");
}
