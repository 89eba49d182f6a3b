//! Relations between objects: where they lead, how many calls that takes, and who may follow them.

mod bounds;
mod shapes;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use portolan_testkit::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    memory::{Remembering, source},
    support::{Gateway, SOON, World, apply, rule, world},
};

const NAMESPACE: &str = "relations";

/// A cluster with objects that lead to each other.
async fn related() -> &'static World {
    static DONE: OnceCell<()> = OnceCell::const_new();
    let world = world().await;
    DONE.get_or_init(|| async { Box::pin(prepare(world)).await }).await;
    world
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn prepare(world: &World) {
    world.namespace(NAMESPACE).await;
    let client = world.cluster.client();
    let selector = json!({"matchLabels": {"app": "web"}});
    let container = json!({"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "none", "optional": true}}],
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "k"}}}]});
    let one: ConfigMap = read(json!({"metadata": {"name": "one"}, "data": {"k": "v"}}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &one).await;
    let hidden: Secret = read(json!({"metadata": {"name": "hidden"}, "type": "Opaque"}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &hidden).await;
    let deployment: Deployment =
        read(json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": selector,
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}}}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &deployment).await;
    let service: Service = read(
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
    );
    apply(&Api::namespaced(client.clone(), NAMESPACE), &service).await;
    let empty: Service = read(json!({"metadata": {"name": "empty"}, "spec": {"ports": [{"port": 80}]}}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &empty).await;
    let budget: PodDisruptionBudget =
        read(json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": selector}}));
    apply(&Api::namespaced(client.clone(), NAMESPACE), &budget).await;
    let volume: PersistentVolume =
        read(json!({"metadata": {"name": "relations-disk"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "storageClassName": "",
        "claimRef": {"name": "disk", "namespace": NAMESPACE}}}));
    apply(&Api::all(client.clone()), &volume).await;
    let claim: PersistentVolumeClaim = read(
        json!({"metadata": {"name": "disk"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "", "volumeName": "relations-disk", "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    apply(&Api::namespaced(client.clone(), NAMESPACE), &claim).await;
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    eventually("the controllers make three pods", SOON, async || {
        let found = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        (found.items.len() == 3).then_some(())
    })
    .await
    .unwrap();
    let pod: Pod =
        read(json!({"metadata": {"name": "db"}, "spec": {"containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}]}}));
    apply(&pods, &pod).await;
}

/// Calls of the API server so far, by verb.
async fn calls(gateway: &Gateway) -> BTreeMap<String, u64> {
    let metrics = gateway.process.metrics().await.unwrap();
    let mut calls = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("portolan_gateway_upstream_calls_total{")) {
        let verb = line.split("verb=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        *calls.entry(verb.to_owned()).or_default() += count;
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parents_of_a_list_are_asked_for_together() {
    let world = related().await;
    let gateway = Gateway::start("relations", &[("a.json", &world.document)], &[]).await;
    let query = "{v1{Pods(namespace:\"relations\",labelselector:\"app=web\"){items{\
        owner{kind metadata{name} owner{apiVersion kind metadata{name} object}} events{reason} \
        spec{containers{envFrom{configMapRef{name} configMap{data}} env{valueFrom{key:secretKeyRef{name} secret{metadata{name}}}}}}}}}}";
    let ask = async || gateway.post("a", Some(&world.admin), &json!({"query": query})).await.json();
    let first = ask().await;
    let before = calls(&gateway).await;
    let answer = ask().await;
    let after = calls(&gateway).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let items = answer["data"]["v1"]["Pods"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{first}");
    for item in items {
        let owner = &item["owner"];
        assert_eq!(
            (&owner["kind"], &owner["owner"]["kind"]),
            (&json!("ReplicaSet"), &json!("Deployment")),
            "{item}"
        );
        assert_eq!(owner["owner"]["apiVersion"], "apps/v1");
        assert_eq!(
            (&owner["owner"]["metadata"]["name"], &owner["owner"]["object"]["spec"]["replicas"]),
            (&json!("web"), &json!(3))
        );
        assert!(item["events"].is_array(), "{item}");
        let container = &item["spec"]["containers"][0];
        assert_eq!(
            container["envFrom"],
            json!([
                {"configMapRef": {"name": "one"}, "configMap": {"data": {"k": "v"}}},
                {"configMapRef": {"name": "none"}, "configMap": null},
            ])
        );
        assert_eq!(
            container["env"][0]["valueFrom"],
            json!({"key": {"name": "hidden"}, "secret": {"metadata": {"name": "hidden"}}})
        );
        assert_eq!(item.as_object().unwrap().len(), 3, "nothing else is told: {item}");
    }
    let more = |verb: &str| after.get(verb).unwrap_or(&0) - before.get(verb).unwrap_or(&0);
    // Lists of Pods, Events and ConfigMaps; one ReplicaSet, one Deployment and one Secret.
    assert_eq!((more("list"), more("get")), (3, 3), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_lead_down_up_and_across() {
    let world = related().await;
    let down = "{apps{v1{Deployment(name:\"web\",namespace:\"relations\"){selected{kind owner{kind}} \
        owned(kind:\"ReplicaSet\"){kind metadata{namespace} owned(kind:\"v1/Pod\"){apiVersion kind}}}}}}";
    let answer = world.ask(down, json!({})).await;
    let web = &answer["data"]["apps"]["v1"]["Deployment"];
    assert_eq!(
        web["selected"],
        json!(vec![json!({"kind": "Pod", "owner": {"kind": "ReplicaSet"}}); 3]),
        "{answer}"
    );
    let pods = json!(vec![json!({"apiVersion": "v1", "kind": "Pod"}); 3]);
    assert_eq!(
        web["owned"],
        json!([{"kind": "ReplicaSet", "metadata": {"namespace": NAMESPACE}, "owned": pods}]),
        "{answer}"
    );

    let across = "{v1{Services(namespace:\"relations\"){items{metadata{name} selected{metadata{labels}}}} \
        Pod(name:\"db\",namespace:\"relations\"){claims{metadata{name} volume{metadata{name} claim{metadata{name} kind}}}}} \
        policy{v1{PodDisruptionBudget(name:\"web\",namespace:\"relations\"){selected{kind}}}} \
        rbac_authorization_k8s_io{v1{ClusterRoleBinding(name:\"gateway-tests-admin\"){roleRef{name} role{kind} clusterRole{kind metadata{name}}}}}}";
    let answer = world.ask(across, json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let data = &answer["data"];
    let services = &data["v1"]["Services"]["items"];
    assert_eq!(services[0], json!({"metadata": {"name": "empty"}, "selected": []}), "{answer}");
    assert_eq!(services[1]["selected"].as_array().unwrap().len(), 3, "{answer}");
    let disk = json!({"metadata": {"name": "relations-disk"}, "claim": {"metadata": {"name": "disk"}, "kind": "PersistentVolumeClaim"}});
    assert_eq!(
        data["v1"]["Pod"],
        json!({"claims": [{"metadata": {"name": "disk"}, "volume": disk}]}),
        "{answer}"
    );
    assert_eq!(data["policy"]["v1"]["PodDisruptionBudget"]["selected"].as_array().unwrap().len(), 3);
    let binding = &data["rbac_authorization_k8s_io"]["v1"]["ClusterRoleBinding"];
    let role = json!({"kind": "ClusterRole", "metadata": {"name": "cluster-admin"}});
    assert_eq!(*binding, json!({"roleRef": {"name": "cluster-admin"}, "role": null, "clusterRole": role}));

    let kind = json!({"k": "Nonsense", "no": false});
    let query = "query($k:String!,$no:Boolean!){v1{Pod(name:\"db\",namespace:\"relations\"){owned(kind:$k){kind} events @include(if:$no){kind}}}}";
    let answer = world.ask(query, kind).await;
    assert_eq!(answer["data"]["v1"]["Pod"], json!({"owned": null}), "{answer}");
    assert_eq!(answer["errors"][0]["path"], json!(["v1", "Pod", "owned"]));
    let watch = world
        .ask(
            "mutation{v1{updateConfigMap(name:\"one\",namespace:\"relations\",object:{}){owner{kind}}}}",
            json!({}),
        )
        .await;
    assert_eq!(watch["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{watch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_is_behind_the_rights_of_the_caller() {
    let world = related().await;
    let rules = vec![rule("", &["pods"], &["get", "list"]), rule("", &["configmaps"], &["get"])];
    let limited = world.limited(NAMESPACE, "relations-reader", rules).await;
    let query = "{v1{Pods(namespace:\"relations\",labelselector:\"app=web\"){items{kind owner{kind} \
        spec{containers{env{valueFrom{secret{kind}}}}}}}}}";
    let answer = world.gateway.post("a", Some(&limited), &json!({"query": query})).await.json();
    let items = answer["data"]["v1"]["Pods"]["items"].as_array().unwrap();
    let nothing = json!({"kind": "Pod", "owner": null, "spec": {"containers": [{"env": [{"valueFrom": {"secret": null}}]}]}});
    assert_eq!(items.as_slice(), [nothing.clone(), nothing.clone(), nothing], "{answer}");
    let errors = answer["errors"].as_array().unwrap();
    assert!(
        errors.len() == 6 && errors.iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"),
        "{answer}"
    );
    let paths: Vec<_> = errors.iter().map(|error| &error["path"]).collect();
    assert!(paths.contains(&&json!(["v1", "Pods", "items", 2, "owner"])), "{paths:?}");

    let small =
        Gateway::start("relations-small", &[("a.json", &world.document)], &["--max-query-depth=8"]).await;
    let deep = "{v1{Pods{items{owner{owner{owner{owner{owner{kind}}}}}}}}}";
    let refused = small.post("a", Some(&world.admin), &json!({"query": deep})).await.json();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_in_many_places_counts_each_time() {
    let world = related().await;
    let text = "x".repeat(60_000);
    let namespace = "relations-size";
    world.namespace(namespace).await;
    world.config_map(namespace, "big", &[("text", &text)]).await;
    for n in 0..3 {
        let pod: Pod = read(json!({"metadata": {"name": format!("p{n}")}, "spec": {"containers": [
            {"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "big"}}]}]}}));
        let pods = Api::namespaced(world.cluster.client(), namespace);
        eventually("there is an account for pods", SOON, async || {
            let made = Api::<Pod>::create(&pods, &PostParams::default(), &pod).await;
            made.is_ok().then_some(())
        })
        .await
        .unwrap();
    }
    let gateway =
        Gateway::start("relations-size", &[("a.json", &world.document)], &["--max-response-bytes=150000"])
            .await;
    let query = "{v1{Pods(namespace:\"relations-size\"){items{spec{containers{envFrom{configMap{data}}}}}}}}";
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": query})).await.json();
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(
        (errors.len(), errors[0]["extensions"]["code"].as_str()),
        (1, Some("RESPONSE_TOO_LARGE")),
        "{errors:?}"
    );
    assert_eq!(
        errors[0]["path"],
        json!(["v1", "Pods", "items", 2, "spec", "containers", 0, "envFrom", 0, "configMap"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_are_followed_in_memory() {
    let world = related().await;
    let rules = vec![
        rule("", &["pods", "services"], &["list", "watch"]),
        rule("apps", &["replicasets"], &["list", "watch"]),
    ];
    let remembering = Remembering::start((&world.cluster, &world.document), "relations", rules, &[]).await;
    let query = "{v1{Services(namespace:\"relations\"){items{metadata{name} selected{metadata{name} owner{kind metadata{name}}}}}}}";
    let answer = remembering.remembered(&world.admin, query).await;
    let through = remembering.ask(&world.admin, query, json!({"memory": false})).await;
    assert_eq!((source(&answer), source(&through)), ("memory", "cluster"));
    assert_eq!(answer["data"], through["data"]);
    assert_eq!(
        answer["data"]["v1"]["Services"]["items"][1]["selected"][0]["owner"]["kind"], "ReplicaSet",
        "{answer}"
    );
}
