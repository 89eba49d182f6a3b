//! Every rung of the ladder: status, name and message, in their order; and what must not be told apart.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use portolan_testkit::forge::{SigningKey, claims};
use serde_json::json;

use crate::{
    issuer::{Issuer, now},
    support::{AUDIENCE, Answered, Exchange, TARGET, binding, world},
};

const JSON: &str = "content-type: application/json\r\n";
const MEDIA_TYPE: &str = "Content-Type header must be application/json";
const HIDDEN: (u16, &str, &str) = (404, "error", "no matching binding found");

fn question() -> String {
    json!({"namespace": TARGET, "serviceAccountName": "ladder"}).to_string()
}

async fn rung(exchange: &Exchange, headers: &str, body: &str) -> Answered {
    exchange.send("POST", "/exchangeToken", headers, body.as_bytes()).await
}

#[tokio::test]
async fn every_rung_has_its_answer() {
    let world = world().await;
    let exchange = world.exchange("ladder", &world.config("")).await;
    for method in ["GET", "PUT", "DELETE"] {
        let answer = exchange.send(method, "/exchangeToken", "", b"").await;
        assert_eq!(answer.rung(), (405, "method_not_allowed", "Method Not Allowed"), "{method}");
        assert_eq!(answer.body["id"], "Method Not Allowed");
    }
    let bearer = "authorization: Bearer x.y.z\r\n";
    let full = format!("{JSON}{bearer}");
    let long = |length: usize| format!("{JSON}authorization: Bearer {}\r\n", "x".repeat(length - 7));
    let named = |namespace: &str, account: &str| {
        json!({"namespace": namespace, "serviceAccountName": account}).to_string()
    };
    let (ok, bad) = (question(), 400);
    let table = [
        (String::new(), ok.clone(), (bad, "bad_request", MEDIA_TYPE)),
        ("content-type: text/plain\r\n".to_owned(), ok.clone(), (415, "unsupported_media_type", MEDIA_TYPE)),
        ("content-type:\r\n".to_owned(), ok.clone(), (bad, "bad_request", MEDIA_TYPE)),
        (JSON.to_owned(), ok.clone(), (403, "forbidden", "missing token")),
        (format!("{JSON}authorization:\r\n"), ok.clone(), (403, "forbidden", "missing token")),
        (
            format!("{JSON}authorization: Basic x\r\n"),
            ok.clone(),
            (bad, "bad_request", "Authorization header must start with 'Bearer '"),
        ),
        (format!("{full}{bearer}"), ok.clone(), (bad, "bad_request", "more than one Authorization header")),
        (long(16 * 1024 + 1), ok.clone(), (bad, "bad_request", "Authorization token too long")),
        (full.clone(), String::new(), (bad, "bad_request", "invalid request body: EOF")),
        (full.clone(), named("", "a"), (bad, "bad_request", "namespace is required")),
        (full.clone(), "null".to_owned(), (bad, "bad_request", "namespace is required")),
        (full.clone(), named("n", ""), (bad, "bad_request", "serviceAccountName is required")),
        (full.clone(), named(&"n".repeat(254), "a"), (bad, "bad_request", "namespace too long")),
        (full.clone(), named("n", &"a".repeat(254)), (bad, "bad_request", "serviceAccountName too long")),
        (full.clone(), "x".repeat(70_000), (413, "request_too_large", "request body too large")),
        (full.clone(), ok.clone(), HIDDEN),
        (long(16 * 1024), ok.clone(), HIDDEN),
        (full.clone(), named("../../x", "a?b"), HIDDEN),
        // Any case and further parameters are fine.
        (
            "Content-Type: Application/JSON; charset=utf-8\r\nauthorization: bEARER x.y.z\r\n".to_owned(),
            ok,
            HIDDEN,
        ),
    ];
    for (headers, body, expected) in table {
        let answer = rung(&exchange, &headers, &body).await;
        let shown: String = headers.chars().take(80).collect();
        assert_eq!(answer.rung(), expected, "{shown:?} {:?}", &body[..body.len().min(80)]);
        assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
        assert!(answer.text.ends_with("}\n"));
    }
    for body in ["{", "[]", "{\"namespace\":1}", "{\"namespace\":\"a\",\"namespace\":\"b\"}", "x"] {
        let answer = rung(&exchange, &full, body).await;
        let (status, name, message) = answer.rung();
        assert_eq!((status, name), (400, "bad_request"), "{body}");
        assert!(message.starts_with("invalid request body: "), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_source_may_live_as_long_as_its_issuer_says() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let (hour, azure) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let issuers = hour.entry("") + &azure.entry(", maxSourceLifetime: 90m");
    let exchange = world.exchange("lifetimes", &format!("issuers:\n{issuers}namespaces: [{TARGET}]\n")).await;
    let subject = "system:serviceaccount:default:app";
    let bindings = [hour.url.as_str(), &azure.url].map(|url| binding(url, subject, json!({})));
    world.target("lifetimes", &[("kfca_1", &bindings[0]), ("kfca_2", &bindings[1])]).await;
    let token = |issuer: &Issuer, change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = claims(&issuer.url, &[AUDIENCE], now());
        change(&mut claims);
        key.token("ES256", &claims)
    };
    let end = |seconds: i64| move |claims: &mut serde_json::Value| claims["exp"] = json!(now() + seconds);
    let one_hour = "only tokens with a validity of one hour or less are accepted";
    let ask = async |token: String| exchange.ask(&token, "lifetimes").await;
    assert_eq!(ask(token(&hour, &|_| {})).await.status, 200, "an hour to the second");
    assert_eq!(ask(token(&hour, &end(3700))).await.rung(), (400, "error", one_hour));
    let no_begin = |claims: &mut serde_json::Value| drop(claims.as_object_mut().unwrap().remove("iat"));
    assert_eq!(ask(token(&hour, &no_begin)).await.rung(), (400, "error", one_hour));
    assert_eq!(ask(token(&azure, &end(5300))).await.status, 200);
    let ninety = "only tokens with a validity of 90 minutes or less are accepted";
    assert_eq!(ask(token(&azure, &end(5500))).await.rung(), (400, "error", ninety));
}

/// Number of times that each row is asked, in turns.
const ROUNDS: usize = 60;

/// A quarter is faster. On a busy machine many reads miss a beat; what tells accounts apart is there every time, and so
/// in the faster ones too.
fn lower_quartile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 4]
}

#[tokio::test]
async fn nobody_can_tell_a_missing_account_from_a_missing_binding() {
    let world = world().await;
    let exchange = world.exchange("hidden", &world.config("rateLimits: {perCaller: 0}\n")).await;
    let source = world.source("hidden").await;
    world.target("bound", &[("kfca_1", &world.binding("somebody-else"))]).await;
    world.target("broken", &[("kfca_1", "{")]).await;
    world.target("bare", &[]).await;
    let forged = format!("{}x{}", &source[..source.len() - 20], &source[source.len() - 19..]);
    let rows = [
        ("absent", &source, TARGET),
        ("bound", &source, TARGET),
        ("broken", &source, TARGET),
        ("bare", &source, TARGET),
        ("bound", &source, "unlisted"),
        ("bound", &forged, TARGET),
        ("absent", &forged, TARGET),
    ];
    let mut took = vec![Vec::new(); rows.len()];
    let mut texts = BTreeSet::new();
    for _ in 0..ROUNDS {
        for (row, (account, token, namespace)) in rows.iter().enumerate() {
            let start = Instant::now();
            let answer = exchange.ask_in(token, namespace, account).await;
            took[row].push(start.elapsed());
            assert_eq!(answer.rung(), HIDDEN, "{account} {namespace}");
            let headers = answer.headers.lines().filter(|line| !line.starts_with("date"));
            texts.insert((answer.text, headers.collect::<String>()));
        }
    }
    assert_eq!(texts.len(), 1, "one answer for all: {texts:?}");
    // Once, and not until it is right.
    let times: Vec<_> = took.iter_mut().map(|row| lower_quartile(row)).collect();
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(25), "not before the beat: {times:?}");
    assert!(most.saturating_sub(*least) < Duration::from_millis(8), "{times:?}");
    let reasons = |account: &str| {
        exchange
            .audit(account)
            .iter()
            .map(|line| line["reason"].clone())
            .collect::<std::collections::HashSet<_>>()
    };
    assert!(reasons("absent").contains(&json!("account")));
    assert!(reasons("bound").contains(&json!("subject")) && reasons("bound").contains(&json!("namespace")));
    assert!(
        reasons("broken").contains(&json!("no_binding")) && reasons("bare").contains(&json!("no_binding"))
    );
}

#[tokio::test]
async fn probes_answer_as_the_document_says() {
    let world = world().await;
    let exchange = world.exchange("probes", &world.config("")).await;
    let live = exchange.send("GET", "/livez", "", b"").await;
    let ready = exchange.send("GET", "/readyz", "", b"").await;
    assert_eq!((live.status, live.body), (200, json!({"live": true})));
    assert_eq!((ready.status, ready.body), (200, json!({"ready": true})));
    assert_eq!(exchange.send("POST", "/livez", "", b"").await.status, 405);
    assert_eq!(exchange.send("GET", "/nowhere", "", b"").await.status, 404);
}
