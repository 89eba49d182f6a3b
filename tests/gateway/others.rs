//! Servers that are not stock API servers: aggregated APIs, older clusters, and those who only pretend.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use portolan_testkit::{eventually, relay::Relay};
use serde_json::{Value, json};

use super::{
    fake::{self, Asked, Fake, refusal, widgets},
    support::{Gateway, SOON, world},
};

const NAMES: &str = "{x_io{v1{Widgets{items{metadata{name}}}}}}";

fn names(answer: &Value) -> Vec<&str> {
    let items = answer["data"]["x_io"]["v1"]["Widgets"]["items"].as_array();
    items.unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn nowhere() -> (u16, String) {
    refusal(404, "NotFound", "the server could not find the requested resource")
}

/// G04: metadata alone is a form that not every server knows. What was learned is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_serve_metadata_alone_are_asked_for_all() {
    let list = |asked: &Asked| asked.path.starts_with("/apis/x.io/v1/widgets");
    let refuses = Fake::start(move |asked| match (list(asked), asked.wants_metadata()) {
        (true, true) => refusal(406, "NotAcceptable", "only JSON"),
        (true, false) => (200, widgets(&["a", "b"])),
        _ => nowhere(),
    })
    .await;
    let ignores =
        Fake::start(move |asked| if list(asked) { (200, widgets(&["a", "b"])) } else { nowhere() }).await;
    let documents = [("refuses.json", &refuses.document()), ("ignores.json", &ignores.document())];
    let gateway = Gateway::start("forms", &documents, &[]).await;
    for (cluster, fake, expected) in [("refuses", &refuses, [2, 1]), ("ignores", &ignores, [1, 1])] {
        for requests in expected {
            let answer = gateway.post(cluster, Some("t"), &json!({"query": NAMES})).await;
            assert_eq!(names(&answer.json()), ["a", "b"], "{cluster}: {}", answer.text);
            assert_eq!(fake.take().len(), requests, "{cluster}");
        }
    }
}

/// A page may be empty although others follow it: what they have is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_is_not_the_end_of_a_category() {
    let fake = Fake::start(|asked| match asked.path.as_str() {
        path if path.contains("continue=next") => (200, widgets(&["a"])),
        path if path.starts_with("/apis/x.io/") => {
            (200, json!({"metadata": {"continue": "next"}, "items": []}).to_string())
        }
        _ => nowhere(),
    })
    .await;
    let mut document = fake.document();
    document["definitions"]["x.Widget"]["x-kubernetes-categories"] = json!(["all"]);
    let gateway = Gateway::start("empty-page", &[("a.json", &document)], &[]).await;
    let query = json!({"query": "{resourcesByCategory(name:\"all\",limit:1){kind metadata yaml}}"});
    let answer = gateway.post("a", Some("t"), &query).await.json();
    let found = &answer["data"]["resourcesByCategory"];
    assert_eq!(
        (&found[0]["kind"], &found[0]["metadata"]["name"]),
        (&json!("Widget"), &json!("a")),
        "{answer}"
    );
}

/// G12: an aggregated API shows each caller something else, and so do lists and subscriptions through the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn callers_of_an_aggregated_api_get_their_own_answers() {
    let fake = Fake::start(|asked| match asked.path.split('?').next() {
        Some("/apis/x.io/v1/widgets") if asked.has_token("alice") => (200, widgets(&["a1"])),
        Some("/apis/x.io/v1/widgets") if asked.has_token("bob") => (200, widgets(&["b1"])),
        _ => nowhere(),
    })
    .await;
    let gateway = Gateway::start("aggregated", &[("f.json", &fake.document())], &[]).await;
    for _ in 0..3 {
        for (token, expected) in [("alice", "a1"), ("bob", "b1")] {
            let answer = gateway.post("f", Some(token), &json!({"query": NAMES})).await;
            assert_eq!(names(&answer.json()), [expected]);
            let asked = fake.take();
            assert!(asked.len() == 1 && asked[0].has_token(token), "{asked:?}");
        }
    }
}

/// G33: what the review of a caller may answer, and what that means.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_is_refused_says_what_it_says() {
    let status = Arc::new(AtomicU16::new(201));
    let now = Arc::clone(&status);
    let fake = Fake::start(move |asked| {
        if asked.path.starts_with("/apis/x.io/v1/widgets") {
            return (200, widgets(&["a"]));
        }
        match now.load(Ordering::Relaxed) {
            // The third review is the one that this server knows.
            404 if asked.path.contains("selfsubjectreviews") => (410, String::new()),
            403 => refusal(403, "Forbidden", "selfsubjectreviews is forbidden: User \"u\" cannot create it"),
            1403 => refusal(403, "Forbidden", "User \"system:anonymous\" cannot create selfsubjectreviews"),
            201 => (201, json!({"status": {"userInfo": {"username": "u"}}}).to_string()),
            1201 => (201, json!({"status": {"userInfo": {"username": "system:anonymous"}}}).to_string()),
            other => refusal(other, "Other", "no"),
        }
    })
    .await;
    let gateway = Gateway::start("reviews", &[("f.json", &fake.document())], &[]).await;
    let table = [
        (201, 200, None),
        (403, 200, None),
        (1403, 401, Some("UNAUTHENTICATED")),
        (401, 401, Some("UNAUTHENTICATED")),
        (1201, 401, Some("UNAUTHENTICATED")),
        (429, 503, Some("UNAVAILABLE")),
        (500, 503, Some("UNAVAILABLE")),
    ];
    for (review, expected, code) in table {
        status.store(review, Ordering::Relaxed);
        // A token of its own, since verdicts are remembered.
        let token = format!("token-{review}");
        let answer = gateway.post("f", Some(&token), &json!({"query": NAMES})).await;
        assert_eq!(answer.status, expected, "{review}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["extensions"]["code"].as_str(), code, "{review}");
        if expected == 503 {
            assert!(answer.headers.contains("retry-after"), "{}", answer.headers);
            // An outage is not remembered of the token.
            status.store(201, Ordering::Relaxed);
            assert_eq!(
                gateway.post("f", Some(&token), &json!({"query": NAMES})).await.status,
                200,
                "{review}"
            );
        }
    }
}

/// S4 and S12: a token goes only to a server whose certificate was verified, at a host that may be named.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_go_to_verified_and_allowed_servers_only() {
    let (fake, other) = tokio::join!(Fake::start(|_| (200, widgets(&["a"]))), Fake::start(|_| nowhere()));
    let (unnamed, foreign) = {
        let host = format!("https://127.0.0.1:{}", fake.port);
        let mut foreign = other.document();
        foreign["x-cluster-metadata"]["host"] = json!(host);
        (fake::document(&host, &Value::Null), foreign)
    };
    let plain = fake::document(&format!("http://127.0.0.1:{}", fake.port), &Value::Null);
    let documents = [
        ("unnamed.json", &unnamed),
        ("foreign.json", &foreign),
        ("plain.json", &plain),
        ("good.json", &fake.document()),
    ];
    let gateway = Gateway::start("verified", &documents, &[]).await;
    for (cluster, status) in [("unnamed", 503), ("foreign", 503), ("plain", 401)] {
        let answer = gateway.post(cluster, Some("secret"), &json!({"query": NAMES})).await;
        assert_eq!(answer.status, status, "{cluster}: {}", answer.text);
    }
    assert_eq!(fake.count(), 0, "nothing was sent to a server that was not verified");
    let (_, ready) = gateway.process.admin_get("/readyz?verbose").await.unwrap();
    assert!(ready.contains("document plain: it is not served: its host"), "{ready}");
    assert_eq!(gateway.post("good", Some("secret"), &json!({"query": NAMES})).await.status, 200);

    let flags = ["--allowed-hosts=*.example.com"];
    let strict = Gateway::start("allowed", &[("good.json", &fake.document())], &flags).await;
    let (_, ready) = strict.process.admin_get("/readyz?verbose").await.unwrap();
    assert!(ready.contains("\"127.0.0.1\" is not among --allowed-hosts"), "{ready}");
    assert_eq!(strict.post("good", Some("secret"), &json!({"query": NAMES})).await.status, 401);
}

/// A server closes an idle connection just when it is used: a read goes over another one, a write fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_connection_that_closes() {
    let world = world().await;
    let port = world.cluster.server_url().rsplit(':').next().unwrap().parse().unwrap();
    let relay = Relay::start(port).await.unwrap();
    let mut document = world.document.clone();
    document["x-cluster-metadata"]["host"] = json!(format!("https://127.0.0.1:{}", relay.port()));
    let gateway = Gateway::start("closing", &[("a.json", &document)], &[]).await;
    let read = json!({"query": "{v1{Namespace(name:\"default\"){metadata{name}}}}"});
    gateway.until("a", &world.admin, "{__typename}", |answer| answer.status == 200).await;
    for round in 0..5 {
        assert_eq!(gateway.post("a", Some(&world.admin), &read).await.status, 200);
        relay.close_when_used();
        let answer = gateway.post("a", Some(&world.admin), &read).await;
        assert!(answer.json().get("errors").is_none(), "{round}: {}", answer.text);
    }
    relay.close_when_used();
    let write = "mutation{v1{createNamespace(dryRun:true,object:{metadata:{name:\"never\"}}){kind}}}";
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": write})).await;
    assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{}", answer.text);
    let counted = async || {
        let metrics = gateway.process.metrics().await?;
        let line =
            "portolan_gateway_upstream_calls_total{cluster=\"a\",result=\"unreachable\",verb=\"create\"} 1";
        anyhow::Ok(
            (metrics.contains(line) && metrics.contains("portolan_gateway_upstream_call_seconds"))
                .then_some(()),
        )
    };
    eventually("calls are counted", SOON, counted).await.unwrap();
}
