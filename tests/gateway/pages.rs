//! The console and the start page as files, and the list of clusters for them.

use serde_json::json;

use super::support::{Gateway, world};

const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_under_a_strict_policy() {
    let gateway = &world().await.gateway;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/a/graphql", "text/html; charset=utf-8"),
        ("/api/clusters/a/graphql", "text/html; charset=utf-8"),
        ("/assets/console.js", "text/javascript; charset=utf-8"),
        ("/assets/console.css", "text/css; charset=utf-8"),
    ] {
        let answer = gateway.send(&format!("GET {path}"), None, BROWSER, b"").await;
        assert_eq!(answer.status, 200, "{path}");
        for header in [
            &format!("content-type: {content_type}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "etag: \"",
        ] {
            assert!(answer.headers.contains(header), "{path}: {header}: {}", answer.headers);
        }
        assert!(!answer.headers.contains("unsafe"), "{}", answer.headers);
    }
    let packed = gateway.send("GET /assets/console.js", None, "accept-encoding: gzip\r\n", b"").await;
    assert!(packed.headers.contains("content-encoding: gzip"), "{}", packed.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_cluster_tells_nothing_about_it() {
    let gateway = &world().await.gateway;
    let known = gateway.send("GET /a/graphql", None, BROWSER, b"").await;
    let unknown = gateway.send("GET /nowhere/graphql", None, BROWSER, b"").await;
    assert_eq!((known.status, known.text), (unknown.status, unknown.text));
    // A program that does not ask for a page needs a token, as before.
    for accept in ["", "accept: */*\r\n", "accept: application/json\r\n"] {
        let answer = gateway.send("GET /a/graphql?query=%7B__typename%7D", None, accept, b"").await;
        assert_eq!(answer.status, 401, "{accept}");
    }
    let posted = gateway.send("POST /a/graphql", None, BROWSER, b"{}").await;
    assert_eq!(posted.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_listed_for_whom_it_accepts() {
    let world = world().await;
    let mut elsewhere = world.document.clone();
    elsewhere["x-cluster-metadata"]["host"] = json!("https://127.0.0.1:1");
    // Both names are also parts of our own paths.
    let documents =
        [("assets.json", &world.document), ("api.json", &world.document), ("down.json", &elsewhere)];
    let gateway = Gateway::start("listed", &documents, &[]).await;
    let ask = async |token: Option<&str>, headers: &str| {
        gateway.send("GET /api/clusters", token, headers, b"").await
    };
    let listed = ask(Some(&world.admin), "").await;
    assert_eq!(listed.json(), json!({"clusters": ["api", "assets"], "unanswered": 1}), "{}", listed.text);
    for token in [None, Some("nonsense")] {
        let refused = ask(token, "").await;
        assert_eq!(refused.status, 401, "{}", refused.text);
        assert!(!refused.text.contains("assets"), "{}", refused.text);
    }
    assert_eq!(ask(Some(&world.admin), "impersonate-user: system:admin\r\n").await.status, 403);
    for name in ["assets", "api"] {
        let answer = gateway.post(name, Some(&world.admin), &json!({"query": "{__typename}"})).await;
        assert_eq!(answer.json(), json!({"data": {"__typename": "Query"}}), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    let world = world().await;
    let gateway = Gateway::start("no-console", &[("a.json", &world.document)], &["--console=false"]).await;
    for (path, status) in
        [("/", 404), ("/assets/console.js", 404), ("/api/clusters", 404), ("/a/graphql", 401)]
    {
        let answer = gateway.send(&format!("GET {path}"), None, BROWSER, b"").await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.headers.contains("text/html"), "{path}");
    }
}
