//! Reads from memory: what they show, to whom, and how old it is.

mod checker;
mod life;
mod owned;

use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding};
use kube::{Api, api::DeleteParams};
use portolan_testkit::{ControlPlane, eventually, workdir::Workdir};
use serde_json::{Value, json};

use super::support::{Gateway, SOON, World, account, apply, named, role_ref, rule, subject, world};

/// A gateway with a credential of its own.
pub(super) struct Remembering {
    pub(super) gateway: Gateway,
    _credentials: Workdir,
}

impl Remembering {
    /// Starts one over the cluster `a`, where its account has these rights.
    pub(super) async fn start(
        (cluster, document): (&ControlPlane, &Value),
        name: &str,
        rules: Vec<PolicyRule>,
        flags: &[&str],
    ) -> Self {
        let credentials = Workdir::new(&format!("gateway-{name}-credentials")).unwrap();
        std::fs::write(credentials.path().join("a"), reader(cluster, name, rules).await).unwrap();
        let flag = format!("--memory-credentials={}", credentials.path().display());
        let flags = [&[flag.as_str()], flags].concat();
        let gateway = Gateway::start(name, &[("a.json", document)], &flags).await;
        Self { gateway, _credentials: credentials }
    }

    /// Asks with extensions.
    pub(super) async fn ask(&self, token: &str, query: &str, extensions: Value) -> Value {
        let body = json!({"query": query, "extensions": extensions});
        self.gateway.post("a", Some(token), &body).await.json()
    }

    /// Asks until the answer is from memory.
    pub(super) async fn remembered(&self, token: &str, query: &str) -> Value {
        eventually(&format!("{query} is answered from memory"), SOON, async || {
            let answer = self.ask(token, query, json!({})).await;
            if source(&answer) == "memory" { Ok(Some(answer)) } else { anyhow::bail!("{answer}") }
        })
        .await
        .unwrap()
    }
}

/// Where an answer is from.
pub(super) fn source(answer: &Value) -> &str {
    answer["extensions"]["source"].as_str().unwrap_or_default()
}

/// The token of an account with rights in the whole cluster.
pub(super) async fn reader(cluster: &ControlPlane, name: &str, rules: Vec<PolicyRule>) -> String {
    let client = cluster.client();
    account(&client, "default", name).await;
    let role = ClusterRole { metadata: named(name), rules: Some(rules), ..ClusterRole::default() };
    apply(&Api::all(client.clone()), &role).await;
    let binding = ClusterRoleBinding {
        metadata: named(name),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(vec![subject("default", name)]),
    };
    apply(&Api::all(client), &binding).await;
    cluster.token_for("default", name, &[], 3600).await.unwrap()
}

pub(super) fn reads(group: &str, resources: &[&str]) -> PolicyRule {
    rule(group, resources, &["get", "list", "watch"])
}

fn names(answer: &Value) -> Vec<&str> {
    let items = answer["data"]["v1"]["ConfigMaps"]["items"].as_array();
    let items = items.ok_or_else(|| answer.to_string()).unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn list(namespace: &str, more: &str) -> String {
    format!(
        "{{v1{{ConfigMaps(namespace:\"{namespace}\"{more}){{resourceVersion continue remainingItemCount items{{kind metadata{{name labels resourceVersion}} data}}}}}}}}"
    )
}

fn one(namespace: &str, name: &str) -> String {
    format!(
        "{{v1{{ConfigMap(namespace:\"{namespace}\",name:\"{name}\"){{apiVersion metadata{{name uid}} data}}}}}}"
    )
}

/// The same question to memory and to the API server has the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn memory_answers_as_the_api_server_does() {
    let world = world().await;
    world.namespace("memory-same").await;
    for (name, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("d-1", "5"), ("d.1", "4")] {
        world.config_map("memory-same", name, &[("n", value)]).await;
    }
    let own = vec![reads("", &["configmaps", "namespaces"])];
    let memory = Remembering::start((&world.cluster, &world.document), "memory-same", own, &[]).await;
    let first = memory.ask(&world.admin, &list("memory-same", ""), json!({})).await;
    assert_eq!(source(&first), "cluster", "nothing is kept before it is asked for twice: {first}");
    memory.remembered(&world.admin, &list("memory-same", "")).await;
    memory.remembered(&world.admin, "{v1{Namespace(name:\"memory-same\"){metadata{name}}}}").await;
    let questions = [
        list("memory-same", ""),
        list("memory-same", ",labelselector:\"test=list\""),
        list("memory-same", ",labelselector:\"test in (list,x),!none\",limit:2"),
        list("memory-same", ",labelselector:\"test!=list\""),
        list("memory-same", ",sortBy:\"data.n\",labelselector:\"test=list\""),
        list("memory-same", ",fieldselector:\"metadata.name=b\""),
        list("memory-same", ",fieldselector:\"metadata.name!=b,metadata.namespace=memory-same\""),
        list("memory-same", ",limit:2"),
        list("memory-none", ""),
        one("memory-same", "d.1"),
        "{v1{Namespaces(labelselector:\"kubernetes.io/metadata.name=memory-same\"){items{apiVersion kind metadata{name} status{phase}}}}}".to_owned(),
        "{v1{ConfigMaps(fieldselector:\"metadata.namespace=memory-same\"){items{metadata{namespace name}}}}}".to_owned(),
        "{v1{ConfigMaps(namespace:\"memory-same\",labelselector:\"test=list\",sortBy:\"spec.x\"){items{kind}}}}".to_owned(),
    ];
    for question in &questions {
        let remembered = memory.ask(&world.admin, question, json!({})).await;
        let through = memory.ask(&world.admin, question, json!({"memory": false})).await;
        assert_eq!((source(&remembered), source(&through)), ("memory", "cluster"), "{question}");
        let [remembered, through] = [remembered, through].map(plain);
        assert_eq!(remembered, through, "{question}");
    }
    // What memory does not have, or does not understand.
    for question in [
        one("memory-same", "none"),
        list("memory-same", ",labelselector:\"a b\""),
        list("memory-same", ",fieldselector:\"data.n=1\""),
        "{v1{ConfigMap(namespace:\"memory-same\",name:\"a\"){metadata{managedFields{manager}}}}}".to_owned(),
        "{v1{ConfigMapYaml(namespace:\"memory-same\",name:\"a\")}}".to_owned(),
    ] {
        let answer = memory.ask(&world.admin, &question, json!({})).await;
        assert_eq!(source(&answer), "cluster", "{answer}");
    }
    let both = "{v1{a:ConfigMap(namespace:\"memory-same\",name:\"a\"){kind} b:ConfigMap(namespace:\"memory-same\",name:\"none\"){kind}}}";
    let answer = memory.ask(&world.admin, both, json!({})).await;
    assert_eq!((source(&answer), &answer["errors"][0]["extensions"]["code"]), ("mixed", &json!("NOT_FOUND")));
    let log = memory.gateway.process.log_tail(2000);
    assert!(log.contains("read from memory") && log.contains("system:serviceaccount:default:admin"), "{log}");
}

/// An answer without what differs on purpose: where it is from, and lists of a later version of the cluster.
fn plain(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("extensions");
    if let Some(list) = answer["data"]["v1"].get_mut("ConfigMaps").and_then(Value::as_object_mut) {
        list.remove("resourceVersion");
        // A token has the version in it.
        if let Some(token) = list.get_mut("continue").filter(|token| *token != "") {
            *token = json!("more");
        }
    }
    answer
}

/// Pages are of one version, whoever answers for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_with_every_replica_and_with_the_api_server() {
    let world = world().await;
    world.namespace("memory-pages").await;
    for name in ["a", "b", "c", "d", "e"] {
        world.config_map("memory-pages", name, &[]).await;
    }
    let own = || vec![reads("", &["configmaps"])];
    let start = async |name| Remembering::start((&world.cluster, &world.document), name, own(), &[]).await;
    let (memory, replica) = (start("memory-pages").await, start("memory-replica").await);
    let page = |more: &str| list("memory-pages", &format!(",labelselector:\"test=list\",limit:2{more}"));
    let all =
        |more: &str| format!("{{v1{{ConfigMaps(limit:2{more}){{continue items{{metadata{{name}}}}}}}}}}");
    memory.remembered(&world.admin, &page("")).await;
    for question in [&page as &dyn Fn(&str) -> String, &all] {
        let first = memory.ask(&world.admin, &question(""), json!({})).await;
        assert_eq!((source(&first), names(&first).len()), ("memory", 2), "{first}");
        let token = first["data"]["v1"]["ConfigMaps"]["continue"].as_str().unwrap().to_owned();
        let next = question(&format!(",continue:\"{token}\""));
        let here = memory.ask(&world.admin, &next, json!({})).await;
        let there = replica.ask(&world.admin, &next, json!({})).await;
        let through = memory.ask(&world.admin, &next, json!({"memory": false})).await;
        assert_eq!((names(&here), names(&there)), (names(&through), names(&through)));
    }
    // A change between two pages: the API server still has the version of the first one.
    let first = memory.ask(&world.admin, &page(""), json!({})).await;
    assert_eq!(names(&first), ["a", "b"]);
    let token = first["data"]["v1"]["ConfigMaps"]["continue"].as_str().unwrap().to_owned();
    world.config_maps("memory-pages").delete("c", &DeleteParams::default()).await.unwrap();
    world.config_map("memory-pages", "bb", &[]).await;
    let next = page(&format!(",continue:\"{token}\""));
    eventually("memory has the change", SOON, async || {
        let now =
            memory.ask(&world.admin, &list("memory-pages", ",labelselector:\"test=list\""), json!({})).await;
        (source(&now) == "memory" && names(&now) == ["a", "b", "bb", "d", "e"]).then_some(())
    })
    .await
    .unwrap();
    let second = memory.ask(&world.admin, &next, json!({})).await;
    assert_eq!((source(&second), names(&second)), ("cluster", vec!["c", "d"]), "{second}");
}

/// Nobody is shown what the API server would refuse; a right that is taken away counts for ten seconds at most.
#[tokio::test(flavor = "multi_thread")]
async fn memory_shows_nothing_that_the_api_server_would_refuse() {
    let world = world().await;
    for namespace in ["memory-mine", "memory-theirs"] {
        world.namespace(namespace).await;
        world.config_map(namespace, "a", &[("secret", namespace)]).await;
    }
    let own = vec![reads("", &["configmaps"])];
    let memory = Remembering::start((&world.cluster, &world.document), "memory-rights", own, &[]).await;
    let rules = || vec![rule("", &["configmaps"], &["get", "list"])];
    let mine = world.limited("memory-mine", "mine", rules()).await;
    let nobody = world.limited("memory-mine", "nobody", Vec::new()).await;
    let only_get = world.limited("memory-mine", "only-get", vec![rule("", &["configmaps"], &["get"])]).await;
    let mut of_one = rule("", &["configmaps"], &["get"]);
    of_one.resource_names = Some(vec!["a".to_owned()]);
    let only_one = world.limited("memory-mine", "only-one", vec![of_one]).await;
    // A caller with rights in one namespace is enough to fill it.
    memory.remembered(&mine, &list("memory-mine", "")).await;
    memory.remembered(&mine, &one("memory-mine", "a")).await;
    memory.remembered(&only_get, &one("memory-mine", "a")).await;
    let answer = memory.ask(&only_one, &one("memory-mine", "a"), json!({})).await;
    assert_eq!((source(&answer), answer.get("errors")), ("cluster", None), "{answer}");
    let everywhere = "{v1{ConfigMaps{items{metadata{name}}}}}".to_owned();
    let refused = [
        (&mine, one("memory-theirs", "a")),
        (&mine, list("memory-theirs", "")),
        (&mine, everywhere.clone()),
        (&nobody, one("memory-mine", "a")),
        (&nobody, list("memory-mine", "")),
        (&only_get, list("memory-mine", "")),
        (&only_one, list("memory-mine", "")),
    ];
    for (token, question) in &refused {
        for _ in 0..3 {
            let answer = memory.ask(token, question, json!({})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{question}: {answer}");
            assert!(!answer.to_string().contains("secret"), "{answer}");
        }
    }
    assert_eq!(source(&memory.ask(&world.admin, &everywhere, json!({})).await), "memory");
    let bindings: Api<RoleBinding> = Api::namespaced(world.cluster.client(), "memory-mine");
    bindings.delete("mine", &DeleteParams::default()).await.unwrap();
    let revoked = Instant::now();
    let shown = eventually("the right has ended", SOON, async || {
        let asked = revoked.elapsed();
        let answer = memory.ask(&mine, &list("memory-mine", ""), json!({})).await;
        if answer["errors"][0]["extensions"]["code"] == "FORBIDDEN" {
            Ok(Some(asked))
        } else {
            anyhow::bail!("{answer}")
        }
    });
    let shown = shown.await.unwrap();
    // The API server itself takes a moment to learn of it.
    assert!(shown < Duration::from_secs(11), "{shown:?}");
}

/// Whoever writes reads it at once: here, and with its version on every other replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_in_the_next_read() {
    let world = world().await;
    world.namespace("memory-writes").await;
    world.config_map("memory-writes", "a", &[("n", "x")]).await;
    let own = || vec![reads("", &["configmaps"])];
    let start = async |name| Remembering::start((&world.cluster, &world.document), name, own(), &[]).await;
    let (memory, replica) = (start("memory-writes").await, start("memory-writes-2").await);
    let question = one("memory-writes", "a");
    memory.remembered(&world.admin, &question).await;
    replica.remembered(&world.admin, &question).await;
    let mut from_memory = 0;
    for number in 0..50 {
        let write = format!(
            "mutation{{v1{{updateConfigMap(namespace:\"memory-writes\",name:\"a\",object:{{data:{{n:\"{number}\"}}}}){{metadata{{resourceVersion}}}}}}}}"
        );
        let written = memory.ask(&world.admin, &write, json!({})).await;
        let version = written["extensions"]["resourceVersion"].clone();
        assert_eq!(version, written["data"]["v1"]["updateConfigMap"]["metadata"]["resourceVersion"]);
        let here = memory.ask(&world.admin, &question, json!({})).await;
        let there = replica.ask(&world.admin, &question, json!({"minResourceVersion": version})).await;
        for answer in [here, there] {
            assert_eq!(answer["data"]["v1"]["ConfigMap"]["data"]["n"], json!(number.to_string()), "{answer}");
            from_memory += usize::from(source(&answer) == "memory");
        }
    }
    assert!(from_memory > 90, "{from_memory} of 100");
    // A version that is not there, and one that cannot be compared.
    for (version, code) in [("999999999999", None), ("07", None), ("x", None)] {
        let answer = memory.ask(&world.admin, &question, json!({"minResourceVersion": version})).await;
        assert_eq!(
            (source(&answer), answer["errors"][0]["extensions"]["code"].as_str()),
            ("cluster", code),
            "{answer}"
        );
    }
    let answer = memory.ask(&world.admin, &question, json!({"minResourceVersion": 7})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID", "{answer}");
    // Of a delete, no version is known.
    let delete = "mutation{v1{deleteConfigMap(namespace:\"memory-writes\",name:\"a\")}}";
    let deleted = memory.ask(&world.admin, delete, json!({})).await;
    assert_eq!(deleted["data"]["v1"]["deleteConfigMap"], true, "{deleted}");
    let answer = memory.ask(&world.admin, &question, json!({})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND", "{answer}");
}

/// A GET has the same tag, however old memory is.
#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_an_answer_is_that_of_its_data() {
    let world = world().await;
    world.namespace("memory-tags").await;
    world.config_map("memory-tags", "a", &[]).await;
    let own = vec![reads("", &["configmaps"])];
    let memory = Remembering::start((&world.cluster, &world.document), "memory-tags", own, &[]).await;
    let question = one("memory-tags", "a");
    memory.remembered(&world.admin, &question).await;
    let line =
        question.bytes().fold("GET /a/graphql?query=".to_owned(), |line, byte| format!("{line}%{byte:02x}"));
    let tag = async || {
        let answer = memory.gateway.send(&line, Some(&world.admin), "", b"").await;
        assert!(answer.text.contains("cacheAgeMs"), "{answer:?}");
        answer.values("etag")[0].to_owned()
    };
    let first = tag().await;
    let ages = |answer: &Value| answer["extensions"]["cacheAgeMs"].as_u64();
    let begin = memory.ask(&world.admin, &question, json!({})).await;
    eventually("memory has another age", SOON, async || {
        (ages(&memory.ask(&world.admin, &question, json!({})).await) != ages(&begin)).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(tag().await, first);
}

/// The metrics of a gateway that begin with a text.
pub(super) async fn metric(gateway: &Gateway, begin: &str) -> Option<f64> {
    let metrics = gateway.process.metrics().await.ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(begin)?.trim().parse().ok())
}

/// What this world's gateway may keep.
pub(super) const fn of(world: &World) -> (&ControlPlane, &Value) {
    (&world.cluster, &world.document)
}
