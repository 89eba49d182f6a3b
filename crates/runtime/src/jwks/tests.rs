//! An issuer that is rotated, floods and fails, on a loopback address that the policy names.

use axum::{Router, extract::State, routing::get};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;

use super::*;
use crate::fetch::{FetchCredential, FetchSettings, Fetcher};

#[derive(Clone, Default)]
struct Issuer {
    url: Arc<Mutex<String>>,
    keys: Arc<Mutex<Value>>,
    requests: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

async fn discovery(State(issuer): State<Issuer>) -> String {
    let url = issuer.url.lock().clone();
    json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string()
}

async fn keys(State(issuer): State<Issuer>) -> (axum::http::StatusCode, String) {
    issuer.requests.fetch_add(1, Ordering::SeqCst);
    let broken = issuer.broken.load(Ordering::SeqCst);
    let text = if broken { r#"{"keys":[]}"#.to_owned() } else { issuer.keys.lock().to_string() };
    (axum::http::StatusCode::OK, text)
}

fn key(id: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": "A".repeat(43)})
}

async fn start(freshness: KeyFreshness) -> (Issuer, Arc<Jwks>, Tasks, JoinSet<()>) {
    let issuer = Issuer::default();
    *issuer.keys.lock() = json!({"keys": [key("a")]});
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .with_state(issuer.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    *issuer.url.lock() = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut settings = FetchSettings { plain_http: true, ..FetchSettings::default() };
    settings.policy.named = vec!["127.0.0.1".parse().unwrap()];
    let source = KeySource {
        issuers: vec![issuer.url.lock().clone()],
        api_server: None,
        jwks_uri: None,
        credential: Arc::new(|| None),
        fetcher: Fetcher::new(&settings).unwrap(),
    };
    let tasks = Tasks::default();
    let jwks = Jwks::start(&tasks, source, freshness);
    jwks.newer().await.unwrap();
    (issuer, jwks, tasks, serving)
}

#[tokio::test]
async fn a_new_key_is_found_and_a_flood_asks_once_per_cooldown() {
    let cooldown = Duration::from_secs(2);
    let (issuer, jwks, _tasks, _serving) = start(KeyFreshness { cooldown, ..KeyFreshness::default() }).await;
    for _ in 0..1000 {
        assert!(jwks.newer().await.is_none(), "within the cooldown nobody waits");
    }
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
    sleep(cooldown).await;
    *issuer.keys.lock() = json!({"keys": [key("a"), key("b")]});
    let (one, two) = tokio::join!(jwks.newer(), jwks.newer());
    assert!(one.unwrap().has("b") && two.unwrap().has("b"), "both wait for the one attempt");
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_empty_set_does_not_replace_good_keys_until_they_are_too_old() {
    let (cooldown, max_age) = (Duration::from_millis(10), Duration::from_secs(3));
    let (issuer, jwks, _tasks, _serving) =
        start(KeyFreshness { cooldown, max_age, ..KeyFreshness::default() }).await;
    issuer.broken.store(true, Ordering::SeqCst);
    sleep(cooldown * 2).await;
    assert!(jwks.newer().await.unwrap().has("a"));
    assert!(jwks.status().error.unwrap().contains("it has no key"));
    assert_eq!(jwks.status().keys, 1);
    sleep(max_age).await;
    assert!(jwks.keys().is_none());
    assert_eq!(jwks.status().keys, 0, "nobody is told of keys that are not used any more");
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_after_the_next_refresh() {
    let freshness = KeyFreshness {
        cooldown: Duration::from_millis(10),
        refresh_every: Duration::from_millis(100),
        ..KeyFreshness::default()
    };
    let (issuer, jwks, _tasks, _serving) = start(freshness).await;
    *issuer.keys.lock() = json!({"keys": [key("b")]});
    let replaced = async {
        while !jwks.keys().is_some_and(|keys| keys.has("b") && !keys.has("a")) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), replaced)
        .await
        .expect("the old key goes, the new one comes");
}

#[tokio::test]
async fn a_credential_that_is_not_accepted_is_counted_where_it_was_shown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async || axum::http::StatusCode::UNAUTHORIZED);
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut settings = FetchSettings { plain_http: true, ..FetchSettings::default() };
    settings.policy.named = vec!["127.0.0.1".parse().unwrap()];
    for (host, expected) in [(url.as_str(), true), ("http://elsewhere.test", false)] {
        let credential = FetchCredential::new(&host.parse().unwrap(), "t".into()).unwrap();
        let source = KeySource {
            issuers: vec![url.clone()],
            api_server: None,
            jwks_uri: None,
            credential: Arc::new(move || Some(credential.clone())),
            fetcher: Fetcher::new(&settings).unwrap(),
        };
        let tasks = Tasks::default();
        let jwks = Jwks::start(&tasks, source, KeyFreshness::default());
        assert!(jwks.until(JwksStatus::is_tried, Duration::from_secs(10)).await);
        let status = jwks.status();
        assert_eq!(status.rejected > 0, expected, "{host}");
        assert!(status.error.unwrap().contains("was answered 401 Unauthorized"), "{host}");
    }
}
