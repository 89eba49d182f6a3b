//! Known weaknesses of the reference gateway, which this one does not have.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use super::{
    fake::Fake,
    support::{Gateway, rule, world},
};

/// S1: no other credential than the caller's is ever used, whatever a name looks like.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_of_an_object_lends_rights() {
    let world = world().await;
    world.namespace("apis").await;
    world.config_map("apis", "api", &[("secret", "s")]).await;
    let token = world.limited("apis", "nobody", vec![rule("", &["pods"], &["list"])]).await;
    for query in [
        "{v1{ConfigMap(name:\"api\",namespace:\"apis\"){data}}}",
        "{v1{ConfigMaps(namespace:\"apis\"){items{data}}}}",
        "{v1{ConfigMap(name:\"openapi\",namespace:\"apis\"){data}}}",
    ] {
        let answer = world.gateway.post("a", Some(&token), &json!({"query": query})).await;
        assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "FORBIDDEN", "{}", answer.text);
        assert!(!answer.text.contains("\"s\""), "{}", answer.text);
    }
}

/// S2: limits apply to every way of sending a query.
#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_every_way_of_asking() {
    let world = world().await;
    let deep = format!("{{v1{{ConfigMaps{{items{}{}}}}}}}", "{metadata".repeat(20), "}".repeat(20));
    let encoded = deep.replace('{', "%7B").replace('}', "%7D");
    let body = json!({"query": deep}).to_string();
    let batch = json!([{"query": deep}]).to_string();
    let json_type = "content-type: application/json\r\n";
    let table = [
        ("POST /a/graphql".to_owned(), body.as_str()),
        (format!("GET /a/graphql?query={encoded}"), ""),
        (format!("POST /a/graphql?query={encoded}"), "{\"query\":\"{__typename}\"}"),
        ("POST /a/graphql".to_owned(), batch.as_str()),
    ];
    for (line, body) in table {
        let answer = world.gateway.send(&line, Some(&world.admin), json_type, body.as_bytes()).await;
        // With parameters in both URL and body, the body counts.
        let is_refused = answer.text.contains("exceeds maximum allowed depth")
            || answer.text == "{\"data\":{\"__typename\":\"Query\"}}";
        assert!(is_refused, "{line}: {}", answer.text);
    }
}

/// S3 and S8: bombs of fragments, nesting and errors cost next to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_at_once() {
    let world = world().await;
    let fragments: String = (0..30).fold(String::new(), |text, n| {
        format!("{text} fragment f{n} on Query{{...f{m} ...f{m}}}", m = n + 1)
    });
    let bombs = [
        format!("{{...f0}}{fragments} fragment f30 on Query{{__typename}}"),
        "{a".repeat(900_000),
        format!("{{{}}}", (0..4000).fold(String::new(), |text, n| format!("{text} x{n}"))),
        format!("query({}){{__typename}}", "$a:a,".repeat(6000)),
        format!("{{__typename {}}}", "@a".repeat(9000)),
        format!("{{{}}}", "v1{ConfigMaps{items{kind}}}".repeat(1500)),
        "{...a} fragment a on Query{...b} fragment b on Query{...c} fragment c on Query{...a}".to_owned(),
    ];
    for bomb in bombs {
        let begin = Instant::now();
        let answer = world.gateway.post("a", Some(&world.admin), &json!({"query": bomb})).await;
        assert!(
            answer.text.len() < 64 * 1024 && answer.json()["errors"].is_array(),
            "{} bytes: {:.300}",
            answer.text.len(),
            answer.text
        );
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?} for {:.60}", begin.elapsed(), bomb);
    }
}

/// S6: a flood of unknown tokens locks out its own source only, and no known caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_tokens_locks_out_itself() {
    let world = world().await;
    // Of its own: new tokens of other tests come from the same address.
    let gateway = Gateway::start("flooded", &[("a.json", &world.document)], &[]).await;
    let typename = json!({"query": "{__typename}"});
    assert_eq!(gateway.post("a", Some(&world.admin), &typename).await.status, 200);
    let mut statuses = Vec::new();
    for n in 0..120 {
        statuses.push(gateway.post("a", Some(&format!("unknown-{n}")), &typename).await.status);
    }
    assert!(
        statuses.contains(&429) && statuses.iter().all(|status| matches!(status, 401 | 429)),
        "{statuses:?}"
    );
    assert_eq!(gateway.post("a", Some(&world.admin), &typename).await.status, 200);
}

/// A token is one, however many requests bring it at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_is_reviewed_and_counted_once() {
    let fake = Fake::start(|_| (404, String::new())).await;
    let document = fake.document();
    let gateway = Gateway::start("crowd", &[("a.json", &document)], &["--max-unknown-tokens=2"]).await;
    let typename = json!({"query": "{__typename}"});
    let all = (0..40).map(|_| gateway.post("a", Some("new"), &typename));
    let statuses: Vec<u16> = join_all(all).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(fake.count(), 1);
}

/// S7: no other origin is allowed, and no other host is contacted.
#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_not_allowed() {
    let world = world().await;
    let answer = world
        .gateway
        .post_with("a", Some(&world.admin), "origin: https://evil.example\r\n", r#"{"query":"{__typename}"}"#)
        .await;
    assert!(!answer.headers.contains("access-control-allow"), "{}", answer.headers);
    let metrics = world.gateway.send("GET /metrics", None, "", b"").await;
    assert_eq!(metrics.status, 404);
}
