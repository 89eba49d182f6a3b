//! One question to several clusters: two that the caller may use, one that does not know it, and one that is dead.

mod proof;
mod silence;
mod unlike;

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::Api;
use portolan_testkit::{ControlPlane, ControlPlaneOptions, raw::RawAnswer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::OnceCell};

use super::support::{self, Gateway, World, apply, named, rule, world};

/// How long a cluster is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The gateway over the fleet.
struct Fleet {
    gateway: Gateway,
    _far: ControlPlane,
    /// An administrator of the far cluster, whom no other one knows.
    stranger: String,
    /// Accepts connections and never answers.
    _dead: TcpListener,
}

async fn fleet() -> (&'static World, &'static Fleet) {
    static SHARED: OnceCell<Fleet> = OnceCell::const_new();
    let world = world().await;
    let fleet = SHARED.get_or_init(|| async { Box::pin(Fleet::start(world)).await }).await;
    (world, fleet)
}

impl Fleet {
    async fn start(world: &World) -> Self {
        let far = ControlPlane::start(ControlPlaneOptions::named("gateway-far")).await.unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut poor = labelled(&world.document, &json!({"env": "prod", "region": "us"}));
        poor["definitions"]
            .as_object_mut()
            .unwrap()
            .retain(|_, definition| definition["x-kubernetes-plural"] != "deployments");
        let mut gone = labelled(&world.document, &json!({"env": "dead"}));
        gone["x-cluster-metadata"]["host"] =
            json!(format!("https://127.0.0.1:{}", dead.local_addr().unwrap().port()));
        let rich = labelled(&world.document, &json!({"env": "prod", "region": "eu"}));
        let strange = labelled(&support::document(&far).await, &json!({"env": "prod"}));
        let flag = format!("--fleet-timeout={}s", PATIENCE.as_secs());
        let documents = [("rich", &rich), ("poor", &poor), ("gone", &gone), ("strange", &strange)];
        let gateway = Gateway::start("fleet", &documents, &[&flag]).await;
        prepare(world).await;
        Self { gateway, stranger: support::administrator(&far).await, _far: far, _dead: dead }
    }

    async fn post(&self, token: Option<&str>, query: &str) -> RawAnswer {
        self.gateway.post("fleet", token, &json!({"query": query})).await
    }

    async fn ask(&self, token: &str, query: &str) -> Value {
        let answer = self.post(Some(token), query).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

fn labelled(document: &Value, labels: &Value) -> Value {
    let mut document = document.clone();
    document["x-cluster-metadata"]["labels"] = labels.clone();
    document
}

async fn prepare(world: &World) {
    let client = world.cluster.client();
    let namespace = Namespace { metadata: named("fleet"), ..Namespace::default() };
    apply(&Api::all(client.clone()), &namespace).await;
    world.config_map("fleet", "one", &[("size", &"x".repeat(5000))]).await;
    let spec = json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    let deployment: Deployment = serde_json::from_value(spec).unwrap();
    apply(&Api::namespaced(client, "fleet"), &deployment).await;
}

fn codes(answer: &Value) -> Vec<(&str, &str, &Value)> {
    let errors = answer["errors"].as_array();
    errors
        .into_iter()
        .flatten()
        .map(|error| {
            let extensions = &error["extensions"];
            (extensions["cluster"].as_str().unwrap(), extensions["code"].as_str().unwrap(), &error["path"])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_answers_for_itself() {
    let (world, fleet) = fleet().await;
    let query = "{clusters(selector:\"env in (prod)\"){name error labels \
        v1{ConfigMaps(namespace:\"fleet\",labelselector:\"test=list\"){items{metadata{name}}}} \
        apps{v1{all:Deployments(namespace:\"fleet\"){items{metadata{name}}}}}}}";
    let answer = fleet.ask(&world.admin, query).await;
    let maps = json!({"ConfigMaps": {"items": [{"metadata": {"name": "one"}}]}});
    // The cluster that refuses the token is not there.
    let expected = json!([
        {"name": "poor", "error": "the cluster does not have apps.v1.Deployments",
         "labels": {"env": "prod", "region": "us"}, "v1": maps, "apps": {"v1": {"all": null}}},
        {"name": "rich", "error": null, "labels": {"env": "prod", "region": "eu"}, "v1": maps,
         "apps": {"v1": {"all": {"items": [{"metadata": {"name": "web"}}]}}}},
    ]);
    assert_eq!(answer["data"]["clusters"], expected, "{answer}");
    let path = json!(["clusters", 0, "apps", "v1", "all"]);
    assert_eq!(codes(&answer), [("poor", "GRAPHQL_VALIDATION_FAILED", &path)]);

    let named =
        "{some:clusters(names:[\"strange\",\"rich\",\"nowhere\"]){name error __typename v1{__typename}}}";
    let answer = fleet.ask(&world.admin, named).await;
    let refusal = "the token is not accepted, or there is no such cluster";
    let expected = json!([
        {"name": "strange", "error": refusal, "__typename": "FleetCluster", "v1": null},
        {"name": "rich", "error": null, "__typename": "FleetCluster", "v1": {"__typename": "V1Query"}},
        {"name": "nowhere", "error": refusal, "__typename": "FleetCluster", "v1": null},
    ]);
    assert_eq!(answer["data"]["some"], expected, "{answer}");
    assert_eq!(
        fleet.ask(&world.admin, "{clusters(selector:\"env=none\"){name}}").await,
        json!({"data": {"clusters": []}})
    );
    let stranger = fleet.ask(&fleet.stranger, "{clusters{name}}").await;
    let found: Vec<_> =
        stranger["data"]["clusters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(found.contains(&&json!("strange")) && !found.contains(&&json!("rich")), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cluster_costs_nobody_else() {
    let (world, fleet) = fleet().await;
    let query = "{clusters(selector:\"env in (prod,dead)\"){name error v1{ConfigMap(name:\"one\",namespace:\"fleet\"){metadata{name}}}}}";
    for patience in [PATIENCE, Duration::from_secs(1)] {
        let begin = Instant::now();
        let answer = fleet.ask(&world.admin, query).await;
        let took = begin.elapsed();
        let one = json!({"ConfigMap": {"metadata": {"name": "one"}}});
        let expected = json!([
            {"name": "gone", "error": "the cluster did not answer in time", "v1": null},
            {"name": "poor", "error": null, "v1": one},
            {"name": "rich", "error": null, "v1": one},
        ]);
        assert_eq!(answer["data"]["clusters"], expected, "{answer}");
        assert_eq!(codes(&answer), [("gone", "TIMEOUT", &json!(["clusters", 0]))]);
        assert!(took < patience * 5, "{took:?}");
    }
    let alone = fleet.post(Some(&world.admin), "{clusters(names:\"gone\"){name}}").await;
    assert_eq!((alone.status, codes(&alone.json())[0].1), (200, "TIMEOUT"), "{}", alone.text);
    let metrics = fleet.gateway.process.metrics().await.unwrap();
    for line in [
        "portolan_gateway_fleet_clusters_total{cluster=\"gone\",result=\"unanswered\"}",
        "portolan_gateway_fleet_clusters_total{cluster=\"rich\",result=\"ok\"}",
        "portolan_gateway_fleet_requests_total{result=\"ok\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_decides_what_a_caller_sees() {
    let (world, fleet) = fleet().await;
    let rules = vec![rule("", &["configmaps"], &["get"])];
    let limited = world.limited("fleet", "fleet-reader", rules).await;
    let query = "query($n:String!){clusters(selector:\"env=prod\"){name v1{ConfigMap(name:\"one\",namespace:$n){metadata{name}} Secrets(namespace:$n){items{kind}}}}}";
    let body = json!({"query": query, "variables": {"n": "fleet"}});
    let answer = fleet.gateway.post("fleet", Some(&limited), &body).await.json();
    for (index, name) in ["poor", "rich"].into_iter().enumerate() {
        let expected =
            json!({"name": name, "v1": {"ConfigMap": {"metadata": {"name": "one"}}, "Secrets": null}});
        assert_eq!(answer["data"]["clusters"][index], expected, "{answer}");
        assert_eq!(codes(&answer)[index], (name, "FORBIDDEN", &json!(["clusters", index, "v1", "Secrets"])));
    }
    for query in [
        "{clusters{name}}",
        "{clusters(selector:\"env=none\"){name}}",
        "{__schema{types{name}}}",
        "{nonsense}",
        "{",
    ] {
        for token in [None, Some("nonsense")] {
            let answer = fleet.post(token, query).await;
            assert_eq!(
                (answer.status, answer.json()["errors"][0]["extensions"]["code"].as_str()),
                (401, Some("UNAUTHENTICATED")),
                "{query}"
            );
        }
    }
    let sdl = fleet.gateway.send("GET /fleet/schema.graphql", Some("nonsense"), "", b"").await;
    assert_eq!(sdl.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_what_the_clusters_have_together() {
    let (world, fleet) = fleet().await;
    let query = "{clusters(names:\"poor\"){name} cluster:__type(name:\"FleetCluster\"){fields{name}} versions:__type(name:\"AppsV1Query\"){fields{name}} __schema{queryType{name} mutationType{name}}}";
    let answer = fleet.ask(&world.admin, query).await;
    let fields = |key: &str| answer["data"][key]["fields"].as_array().unwrap().clone();
    for field in ["name", "error", "labels", "v1", "apps", "typeByCategory"] {
        assert!(fields("cluster").contains(&json!({"name": field})), "{field}: {answer}");
    }
    assert!(fields("versions").contains(&json!({"name": "Deployments"})), "one cluster has them");
    assert_eq!(answer["data"]["__schema"], json!({"queryType": {"name": "Query"}, "mutationType": null}));
    let sdl = fleet.gateway.send("GET /fleet/schema.graphql", Some(&world.admin), "", b"").await;
    assert!(
        sdl.text.contains("type FleetCluster {") && !sdl.text.contains("type Mutation"),
        "{}",
        sdl.status
    );

    let refused = [
        ("{clusters(selector:\"env=prod\"){v1{Nonsense{kind}}}}", "none of the clusters has v1.Nonsense"),
        (
            "{clusters(names:\"poor\"){apps{v1{Deployments{items{kind}}}}}}",
            "none of the clusters has apps.v1.Deployments",
        ),
        ("mutation{v1{deleteConfigMap(name:\"one\",namespace:\"fleet\")}}", "only queries"),
        ("{v1{ConfigMaps{items{kind}}}}", "clusters are below"),
        ("{clusters(selector:\"env in prod\"){name}}", "not a label selector"),
        ("{clusters(names:3){name}}", "String"),
        ("query($s:String!){clusters(selector:$s){name}}", "$s needs a value"),
        ("{clusters(selector:$s){name}}", "$s is not declared"),
        ("{clusters(selector:\"env=prod\"){name{a}}}", "plain value"),
        ("{clusters(selector:\"env=prod\"){v1}}", "needs a selection"),
        ("{clusters(selector:\"env=prod\"){...on Other{name}}}", "cannot be in a selection"),
        ("{clusters(selector:\"env=prod\"){__schema{types{name}}}}", "a cluster has no `__schema`"),
        (
            "{clusters(names:[\"rich\"]){v1{ConfigMap(name:\"one\",namespace:\"fleet\"){nonsense}}}}",
            "nonsense",
        ),
    ];
    for (query, expected) in refused {
        let body = json!({"query": query}).to_string();
        let modern = "accept: application/graphql-response+json\r\n";
        let answer = fleet.gateway.post_with("fleet", Some(&world.admin), modern, &body).await;
        let errors = answer.json()["errors"].as_array().unwrap().clone();
        let says = |error: &Value| error["message"].as_str().unwrap().contains(expected);
        assert!(answer.status == 400 && errors.iter().any(says), "{query}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_all_clusters_together() {
    let world = world().await;
    fleet().await;
    let documents =
        [("one", labelled(&world.document, &json!({}))), ("two", labelled(&world.document, &json!({})))];
    let documents = documents.each_ref().map(|(name, document)| (*name, document));
    let flags = ["--max-response-bytes=9000", "--max-query-complexity=12"];
    let gateway = Gateway::start("fleet-limits", &documents, &flags).await;
    let ask =
        async |query: &str| gateway.post("fleet", Some(&world.admin), &json!({"query": query})).await.json();
    let one = "v1{ConfigMap(name:\"one\",namespace:\"fleet\"){data}}";
    let alone = ask(&format!("{{clusters(names:\"one\"){{{one}}}}}")).await;
    assert_eq!(alone["errors"], Value::Null, "{alone}");
    let together = ask(&format!("{{clusters{{name {one}}}}}")).await;
    assert_eq!(
        codes(&together).iter().map(|(_, code, _)| *code).collect::<Vec<_>>(),
        ["RESPONSE_TOO_LARGE"; 2],
        "{together}"
    );
    let calls: Vec<_> = (0..7).map(|n| format!("c{n}:Namespace(name:\"fleet\"){{kind}}")).collect();
    let many = ask(&format!("{{clusters{{v1{{{}}}}}}}", calls[..7].join(" "))).await;
    assert_eq!(many["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{many}");
}
