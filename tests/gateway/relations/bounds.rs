//! What relations may take: memory, time, and whatever others say of themselves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{
    fake::{Asked, Fake, Reply, refusal},
    support::{Gateway, World, world},
};

const PODS: usize = 200;
/// Far below what all copies would take: 280 MB.
const MEMORY_MB: f64 = 80.0;

/// The schema of the real cluster, served by a server that says anything.
fn document_of(fake: &Fake, world: &World, more: &Value) -> Value {
    let mut document = world.document.clone();
    document["x-cluster-metadata"] = fake.document()["x-cluster-metadata"].clone();
    for (name, definition) in more.as_object().into_iter().flatten() {
        document["definitions"][name] = definition.clone();
    }
    document
}

fn owned(name: &str) -> Value {
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true});
    json!({"name": name, "namespace": "n", "uid": name, "ownerReferences": [owner]})
}

/// Pods of one `ReplicaSet`.
fn pods(asked: &Asked) -> Reply {
    let pod = |number: usize| json!({"metadata": owned(&format!("pod-{number:04}"))});
    match asked.path.split('?').next().unwrap_or_default() {
        "/api/v1/namespaces/n/pods" => {
            let items: Vec<_> = (0..PODS).map(pod).collect();
            (200, json!({"metadata": {"resourceVersion": "7"}, "items": items}).to_string())
        }
        "/apis/apps/v1/namespaces/n/replicasets/r" => {
            (200, json!({"metadata": {"name": "r", "namespace": "n", "uid": "r"}}).to_string())
        }
        "/api/v1/namespaces/n/events" => (200, json!({"metadata": {}, "items": []}).to_string()),
        _ => refusal(404, "NotFound", "there is nothing"),
    }
}

/// Each level writes all of the one below once for each of its objects: a small question, and a small cluster.
#[tokio::test(flavor = "multi_thread")]
async fn relations_of_relations_stay_within_the_limit() {
    let fake = Fake::start(pods).await;
    let document = document_of(&fake, world().await, &Value::Null);
    let flags = ["--max-response-bytes=16000000"];
    let gateway = Gateway::start("relations-bomb", &[("f.json", &document)], &flags).await;
    gateway
        .until("f", "t", "{v1{Pods(namespace:\"n\",limit:1){items{kind}}}}", |answer| answer.status == 200)
        .await;
    let at_rest = gateway.process.rss_mb().unwrap();
    std::fs::write(format!("/proc/{}/clear_refs", gateway.process.pid()), "5").unwrap();
    let query = "{v1{Pods(namespace:\"n\"){items{owner{owned(kind:\"Pod\"){owner{owned(kind:\"Pod\"){metadata{name}}}}}}}}}";
    let answer = gateway.post("f", Some("t"), &json!({"query": query})).await;
    let peak = gateway.process.peak_rss_mb().unwrap() - at_rest;
    assert!(peak < MEMORY_MB && answer.text.len() < 20_000_000, "{peak} MB for {} bytes", answer.text.len());
    let answer = answer.json();
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "RESPONSE_TOO_LARGE"), "{errors:?}");
    assert_eq!(errors.len(), 100, "more are not told");
    let owners = answer["data"]["v1"]["Pods"]["items"].as_array().unwrap().iter().map(|item| &item["owner"]);
    let whole: Vec<_> = owners.filter(|owner| !owner.is_null()).collect();
    assert!(!whole.is_empty() && whole.len() < PODS / 10, "{} of them", whole.len());
    let all = |value: &Value| value.as_array().map(Vec::len);
    assert!(
        whole.iter().all(|owner| all(&owner["owned"]) == Some(PODS)
            && all(&owner["owned"][0]["owner"]["owned"]) == Some(PODS))
    );
}

/// What has nothing to do with each other is asked for side by side.
#[tokio::test(flavor = "multi_thread")]
async fn relations_of_one_level_are_read_side_by_side() {
    const SLOW: Duration = Duration::from_millis(500);
    let fake = Fake::start(|asked| {
        if asked.path.contains("/namespaces/n/") {
            tokio::task::block_in_place(|| std::thread::sleep(SLOW));
        }
        pods(asked)
    })
    .await;
    let document = document_of(&fake, world().await, &Value::Null);
    let gateway = Gateway::start("relations-slow", &[("f.json", &document)], &[]).await;
    let query = json!({"query": "{v1{Pods(namespace:\"n\"){items{a:owner{kind} b:events{reason} c:owner{metadata{name}} d:owned(kind:\"Pod\"){kind}}}}}"});
    gateway.post("f", Some("t"), &query).await;
    let begin = Instant::now();
    let answer = gateway.post("f", Some("t"), &query).await.json();
    let took = begin.elapsed();
    let item = json!({"a": {"kind": "ReplicaSet"}, "b": [], "c": {"metadata": {"name": "r"}}, "d": []});
    assert_eq!(answer["data"]["v1"]["Pods"]["items"][PODS - 1], item, "{}", answer["errors"]);
    // One after another: five times as long as one.
    assert!(took >= 2 * SLOW && took < 4 * SLOW, "{took:?}");
}

/// Custom resources may have anything where kinds that are built in have a claim, or volumes.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_resource_has_its_relations() {
    let fake = Fake::start(|asked| {
        if asked.path != "/apis/x.io/v1/namespaces/n/widgets" {
            return pods(asked);
        }
        let specs = [
            json!({"volumes": "a", "volumeName": 7, "claimRef": "b", "selector": []}),
            json!("text"),
            json!([1]),
        ];
        let items: Vec<_> = (0..).zip(specs).map(|(number, spec): (usize, _)| {
            json!({"metadata": owned(&format!("w{number}")), "spec": spec, "involvedObject": number})
        }).collect();
        (200, json!({"metadata": {}, "items": items}).to_string())
    })
    .await;
    let widget = json!({
        "type": "object",
        "properties": {"metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}},
        "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "Widget"}],
        "x-kubernetes-plural": "widgets", "x-kubernetes-scope": "Namespaced",
        "x-kubernetes-verbs": ["get", "list", "watch"],
    });
    let document = document_of(&fake, world().await, &json!({"x.Widget": widget}));
    let gateway = Gateway::start("relations-odd", &[("f.json", &document)], &[]).await;
    let query = "{x_io{v1{Widgets(namespace:\"n\"){items{metadata{name} owner{kind} events{reason}}}}}}";
    let answer = gateway.post("f", Some("t"), &json!({"query": query})).await.json();
    let item =
        |name: &str| json!({"metadata": {"name": name}, "owner": {"kind": "ReplicaSet"}, "events": []});
    let expected = json!({"x_io": {"v1": {"Widgets": {"items": [item("w0"), item("w1"), item("w2")]}}}});
    assert_eq!((&answer["data"], &answer["errors"]), (&expected, &Value::Null), "{answer}");
}
