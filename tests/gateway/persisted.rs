//! Persisted documents, as clients of both protocols name them.

use portolan_core::digest::sha256_hex;
use portolan_testkit::{eventually, workdir::Workdir};
use serde_json::{Value, json};

use super::support::{Gateway, SOON, rule, world};

const NAMES: &str =
    "{v1{ConfigMaps(namespace:\"persisted\",labelselector:\"test=list\"){items{metadata{name}}}}}";

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

/// G29: hashes, ids, and what a client may keep.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, from the first document to the last refusal")]
async fn documents_are_named_and_answers_are_of_one_caller() {
    let world = world().await;
    world.namespace("persisted").await;
    world.config_map("persisted", "a", &[]).await;
    let home = Workdir::new("persisted").unwrap();
    let write = |file: &str, text: &str| {
        std::fs::write(home.path().join(".aside"), text).unwrap();
        std::fs::rename(home.path().join(".aside"), home.path().join(file)).unwrap();
    };
    write("names.graphql", NAMES);
    write("write.graphql", "mutation{v1{deleteConfigMap(name:\"a\",namespace:\"persisted\")}}");
    let directory = format!("--persisted-documents={}", home.path().display());
    let gateway = Gateway::start("persisted", &[("a.json", &world.document)], &[&directory]).await;
    let post = async |body: Value| gateway.post("a", Some(&world.admin), &body).await;
    let hashed = |hash: &str| json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});

    let expected = json!({"data": {"v1": {"ConfigMaps": {"items": [{"metadata": {"name": "a"}}]}}}});
    assert_eq!(post(json!({"documentId": "names"})).await.json(), expected);
    assert_eq!(post(json!({"extensions": hashed(&sha256_hex(NAMES.as_bytes()))})).await.json(), expected);
    let unknown = post(json!({"extensions": hashed(&"0".repeat(64))})).await;
    assert_eq!(
        (unknown.status, code(&unknown.json()), unknown.json()["errors"][0]["message"].as_str()),
        (200, "PERSISTED_QUERY_NOT_FOUND", Some("PersistedQueryNotFound"))
    );
    assert!(unknown.headers.contains("cache-control: no-store"), "{}", unknown.headers);
    let wrong = post(json!({"query": NAMES, "extensions": hashed(&"0".repeat(64))})).await;
    assert_eq!((wrong.status, code(&wrong.json())), (400, "PERSISTED_QUERY_MISMATCH"));
    // A file that comes later.
    write("kind.graphql", "{v1{Namespace(name:\"default\"){kind}}}");
    let found = async || {
        let answer = gateway.post("a", Some(&world.admin), &json!({"documentId": "kind"})).await;
        answer.text.contains("\"kind\":\"Namespace\"").then_some(())
    };
    eventually("a new document is found", SOON, found).await.unwrap();

    // GET, and what is kept of it.
    let get = async |token: &str, id: &str, headers: &str| {
        gateway.send(&format!("GET /a/graphql?documentId={id}"), Some(token), headers, b"").await
    };
    let tag = |headers: &str| {
        headers.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap()
    };
    let first = get(&world.admin, "names", "").await;
    assert_eq!(first.json(), expected);
    assert!(
        first.headers.contains("cache-control: private") && first.headers.contains("vary: authorization"),
        "{}",
        first.headers
    );
    let known = format!("if-none-match: {}\r\n", tag(&first.headers).replace("w/", "W/"));
    let again = get(&world.admin, "names", &known).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let reader = world.limited("persisted", "reader", vec![rule("", &["configmaps"], &["list"])]).await;
    let others = get(&reader, "names", &known).await;
    assert_eq!((others.status, others.json()), (200, expected.clone()), "the tag is of another caller");
    assert_eq!(get("expired", "names", &known).await.status, 401);
    world.config_map("persisted", "b", &[]).await;
    assert_eq!(get(&world.admin, "names", &known).await.status, 200, "the data have changed");
    let mutation = get(&world.admin, "write", "").await;
    assert!(mutation.status == 405 && mutation.headers.contains("allow: post"), "{}", mutation.headers);

    let flags = [&*directory, "--persisted-only"];
    let strict = Gateway::start("persisted-only", &[("a.json", &world.document)], &flags).await;
    let post = async |body: Value| strict.post("a", Some(&world.admin), &body).await.json();
    assert!(post(json!({"documentId": "names"})).await.get("errors").is_none());
    assert!(post(json!({"query": NAMES})).await.get("errors").is_none(), "it is one of them");
    let own = "{v1{Namespaces{items{kind}}}}";
    for body in [
        json!({"query": own}),
        json!({"query": own, "extensions": hashed(&sha256_hex(own.as_bytes()))}),
        json!({"query": "{__schema{types{name}}}"}),
    ] {
        assert_eq!(code(&post(body.clone()).await), "PERSISTED_DOCUMENTS_ONLY", "{body}");
    }
    let batch =
        strict.post("a", Some(&world.admin), &json!([{"query": own}, {"documentId": "names"}])).await.json();
    assert_eq!(code(&batch[0]), "PERSISTED_DOCUMENTS_ONLY");
    assert!(batch[1].get("errors").is_none(), "{batch}");
}
