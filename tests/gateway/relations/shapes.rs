//! What relations show of a real cluster: neither another object of the same name, nor what belongs to nobody here.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Secret},
};
use kube::{Api, ResourceExt as _};
use portolan_testkit::eventually;
use serde_json::{Value, json};

use super::{
    super::support::{SOON, World, apply},
    NAMESPACE, read, related,
};

/// A volume that is promised to a claim.
fn volume(name: &str, source: (&str, Value), claim: &Value) -> PersistentVolume {
    let mut spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "claimRef": claim});
    spec[source.0] = source.1;
    read(json!({"metadata": {"name": name}, "spec": spec}))
}

/// A Secret without a namespace is in none: neither here, nor wherever there is one of that name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_namespace_leads_nowhere() {
    let world = related().await;
    let client = world.cluster.client();
    let claim = json!({"name": "nobody", "namespace": NAMESPACE});
    for (name, secret) in [
        ("relations-rbd-1", json!({"name": "hidden"})),
        ("relations-rbd-2", json!({"name": "hidden-too"})),
        ("relations-rbd-3", json!({"name": "hidden", "namespace": NAMESPACE})),
    ] {
        let source = json!({"monitors": ["m"], "image": "i", "secretRef": secret});
        apply(&Api::all(client.clone()), &volume(name, ("rbd", source), &claim)).await;
    }
    let hidden: Secret = read(json!({"metadata": {"name": "hidden-too"}, "type": "Opaque"}));
    apply(&Api::namespaced(client, NAMESPACE), &hidden).await;
    let one = |name: &str| {
        format!("PersistentVolume(name:\"{name}\"){{spec{{rbd{{secret{{metadata{{namespace}}}}}}}}}}")
    };
    let query = format!("{{v1{{a:{} b:{}}}}}", one("relations-rbd-1"), one("relations-rbd-3"));
    let answer = world.ask(&query, json!({})).await;
    let found = |secret: Value| json!({"spec": {"rbd": {"secret": secret}}});
    let there = json!({"metadata": {"namespace": NAMESPACE}});
    assert_eq!(answer, json!({"data": {"v1": {"a": found(Value::Null), "b": found(there.clone())}}}));
    let all = "{v1{PersistentVolumes{items{metadata{name} spec{rbd{secret{metadata{namespace}}}}}}}}";
    let answer = world.ask(all, json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let items = answer["data"]["v1"]["PersistentVolumes"]["items"].as_array().unwrap();
    let secrets: Vec<_> = items
        .iter()
        .filter(|item| !item["spec"]["rbd"].is_null())
        .map(|item| &item["spec"]["rbd"]["secret"])
        .collect();
    assert_eq!(secrets, [&Value::Null, &Value::Null, &there]);
}

/// The claim of then, and not one that is called so now.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_volume_has_no_claim() {
    let world = related().await;
    let client = world.cluster.client();
    let claim: PersistentVolumeClaim = read(json!({"metadata": {"name": "again"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &claim).await;
    for (name, uid) in
        [("relations-before", json!("00000000-0000-0000-0000-000000000000")), ("relations-now", Value::Null)]
    {
        let claim = json!({"name": "again", "namespace": NAMESPACE, "uid": uid});
        apply(&Api::all(client.clone()), &volume(name, ("hostPath", json!({"path": "/x"})), &claim)).await;
    }
    let one = |name: &str| format!("PersistentVolume(name:\"{name}\"){{claim{{kind metadata{{name}}}}}}");
    let answer = world
        .ask(&format!("{{v1{{before:{} now:{}}}}}", one("relations-before"), one("relations-now")), json!({}))
        .await;
    let now = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "again"}});
    assert_eq!(answer, json!({"data": {"v1": {"before": {"claim": null}, "now": {"claim": now}}}}));
}

/// The kubelet has the name of a Node where others have its uid.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_node_are_those_of_its_kubelet_too() {
    let world = related().await;
    let client = world.cluster.client();
    let mut nodes = Vec::new();
    for name in ["relations-node-1", "relations-node-2"] {
        let node: Node = apply(&Api::all(client.clone()), &read(json!({"metadata": {"name": name}}))).await;
        for (reason, uid) in [("FromKubelet", name.to_owned()), ("FromController", node.uid().unwrap())] {
            let event: Event = read(
                json!({"metadata": {"name": format!("{name}.{}", reason.to_lowercase())}, "reason": reason,
                "involvedObject": {"kind": "Node", "name": name, "uid": uid}}),
            );
            apply(&Api::namespaced(client.clone(), "default"), &event).await;
        }
        nodes.push(name);
    }
    let reasons = |node: &Value| {
        let events = node["events"].as_array().unwrap_or_else(|| panic!("{node}"));
        let ours = events.iter().filter(|event| event["reason"].as_str().unwrap().starts_with("From"));
        let mut all: Vec<_> =
            ours.map(|event| format!("{} {}", event["reason"], event["involvedObject"]["name"])).collect();
        all.sort();
        all
    };
    let expected =
        |name: &str| [format!("\"FromController\" \"{name}\""), format!("\"FromKubelet\" \"{name}\"")];
    let fields = "metadata{name} events{reason involvedObject{name}}";
    let answer = world
        .ask(
            &format!("{{v1{{Node(name:\"{}\"){{{fields}}} Nodes{{items{{{fields}}}}}}}}}", nodes[0]),
            json!({}),
        )
        .await;
    assert_eq!(reasons(&answer["data"]["v1"]["Node"]), expected(nodes[0]), "{answer}");
    for node in answer["data"]["v1"]["Nodes"]["items"].as_array().unwrap() {
        let name = node["metadata"]["name"].as_str().unwrap();
        if nodes.contains(&name) {
            assert_eq!(reasons(node), expected(name), "{answer}");
        }
    }
}

/// A second Deployment, and a `ReplicaSet` of a kind that the cluster does not have.
async fn with_strangers(world: &World) {
    let client = world.cluster.client();
    let labels = json!({"app": "api"});
    let deployment: Deployment = read(
        json!({"metadata": {"name": "api"}, "spec": {"replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    apply(&Api::namespaced(client.clone(), NAMESPACE), &deployment).await;
    let labels = json!({"app": "rollout"});
    let set: ReplicaSet = read(
        json!({"metadata": {"name": "rollout", "labels": labels, "ownerReferences": [{"apiVersion": "rollouts.io/v1", "kind": "Rollout",
        "name": "r", "uid": "00000000-0000-0000-0000-000000000001", "controller": true}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    apply(&Api::namespaced(client, NAMESPACE), &set).await;
}

/// Relations of relations are followed for what belongs to somebody; and an object is a whole one, however it was read.
#[tokio::test(flavor = "multi_thread")]
async fn relations_of_strangers_are_not_followed() {
    let world = related().await;
    with_strangers(world).await;
    let down = "{apps{v1{Deployment(name:\"web\",namespace:\"relations\"){owned(kind:\"ReplicaSet\"){owner{kind metadata{name}}}}}}}";
    let answer = world.ask(down, json!({})).await;
    let owner = json!({"kind": "Deployment", "metadata": {"name": "web"}});
    assert_eq!(answer, json!({"data": {"apps": {"v1": {"Deployment": {"owned": [{"owner": owner}]}}}}}));
    let mine =
        "{apps{v1{ReplicaSets(namespace:\"relations\",labelselector:\"app=rollout\"){items{owner{kind}}}}}}";
    let answer = world.ask(mine, json!({})).await;
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["apps", "v1", "ReplicaSets", "items", 0, "owner"]),
        "{answer}"
    );

    let up = "{apps{v1{ReplicaSets(namespace:\"relations\",labelselector:\"app in (web,api)\"){items{owner{object}}}}}}";
    eventually("both Deployments have a ReplicaSet", SOON, async || {
        let answer = world.ask(up, json!({})).await;
        let items = answer["data"]["apps"]["v1"]["ReplicaSets"]["items"].as_array().unwrap().clone();
        (items.len() == 2).then(|| {
            for item in items {
                let object = &item["owner"]["object"];
                assert_eq!(
                    (&object["apiVersion"], &object["kind"]),
                    (&json!("apps/v1"), &json!("Deployment")),
                    "{item}"
                );
                assert_eq!(
                    object["spec"]["selector"]["matchLabels"]["app"], object["metadata"]["name"],
                    "{item}"
                );
            }
        })
    })
    .await
    .unwrap();
}
