//! Issuers of every kind: clouds, algorithms, dead ones and slow ones.

use std::time::{Duration, Instant};

use portolan_testkit::eventually;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    issuer::{Issuer, Mood},
    support::{AUDIENCE, Answered, SOON, TARGET, binding, http, world},
};
use portolan_testkit::forge::SigningKey;

const GOOGLE: &str = "104100000000000000001";
const AZURE: &str = "6e740000-0000-0000-0000-000000000002";

fn config(issuers: &[String]) -> String {
    format!("issuers:\n{}namespaces: [{TARGET}]\nrateLimits: {{perCaller: 0}}\n", issuers.concat())
}

#[tokio::test]
async fn tokens_shaped_like_those_of_google_and_azure_are_exchanged() {
    let world = world().await;
    let key = SigningKey::new("k", "RSA");
    let (google, azure) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let issuers = [google.entry(""), azure.entry(", maxSourceLifetime: 90m, audiences: ['api://exchange']")];
    let exchange = world.exchange("clouds", &config(&issuers)).await;
    let tenant = json!({"claims": {"tid": "72f98800-0000-0000-0000-000000000003", "roles": "exchange"}});
    world
        .target(
            "clouds",
            &[
                ("kfca_1", &binding(&google.url, GOOGLE, json!({"claims": {"email_verified": true}}))),
                ("kfca_2", &binding(&azure.url, AZURE, tenant)),
            ],
        )
        .await;
    let ask = async |token: String| exchange.ask(&token, "clouds").await;
    let given = ask(key.token("RS256", &google.google(AUDIENCE))).await;
    assert_eq!(given.status, 200, "{}", exchange.log());
    assert!(world.who(given.token()).await.unwrap().ends_with(":clouds"));
    assert_eq!(ask(key.token("RS256", &azure.azure("api://exchange"))).await.status, 200);
    let mut fractional = google.google(AUDIENCE);
    fractional["exp"] = json!(fractional["exp"].as_f64().unwrap() + 0.5);
    assert_eq!(ask(key.token("RS256", &fractional)).await.status, 200, "an end with a fraction");
    let mut listed = google.google(AUDIENCE);
    listed["aud"] = json!(["other", AUDIENCE]);
    assert_eq!(ask(key.token("RS256", &listed)).await.status, 200, "a list of audiences");
    assert_eq!(
        ask(key.token("RS256", &azure.azure(AUDIENCE))).await.status,
        404,
        "the issuer has its own audience"
    );
    // A binding with an audience of its own stands for itself.
    let own = binding(&google.url, GOOGLE, json!({"audience": "api://own"}));
    world.target("own-audience", &[("kfca_1", &own)]).await;
    let own = async |audience: &str| {
        exchange.ask(&key.token("RS256", &google.google(audience)), "own-audience").await.status
    };
    assert_eq!((own("api://own").await, own(AUDIENCE).await), (200, 404));
    let mut stranger = azure.azure("api://exchange");
    stranger["tid"] = json!("another-tenant");
    assert_eq!(ask(key.token("RS256", &stranger)).await.status, 404, "a claim that differs");
}

#[tokio::test]
async fn every_algorithm_that_an_issuer_publishes_works() {
    let world = world().await;
    let kinds = ["RSA", "P-256", "P-384", "P-521", "Ed25519"];
    let keys: Vec<_> = kinds.map(|kind| SigningKey::new(kind, kind)).into();
    let issuer = Issuer::start(&keys.iter().collect::<Vec<_>>()).await;
    issuer.says_it_uses(&["RS256", "PS256", "ES256"]);
    let exchange = world.exchange("algorithms", &config(&[issuer.entry("")])).await;
    world.target("algorithms", &[("kfca_1", &binding(&issuer.url, GOOGLE, json!({})))]).await;
    let table = [
        (0, "RS256"),
        (0, "RS384"),
        (0, "RS512"),
        (0, "PS256"),
        (1, "ES256"),
        (2, "ES384"),
        (3, "ES512"),
        (4, "EdDSA"),
    ];
    for (key, algorithm) in table {
        let answer = exchange.ask(&issuer.token(&keys[key], algorithm), "algorithms").await;
        assert_eq!(answer.status, 200, "{algorithm}: {}", exchange.log());
    }
    let unnamed = exchange.ask(&issuer.token(&keys[0], "PS384"), "algorithms").await;
    assert_eq!(unnamed.status, 404, "PSS counts where the issuer names it");
    let none = portolan_testkit::forge::encode(br#"{"alg":"none"}"#);
    let claims = portolan_testkit::forge::encode(issuer.google(AUDIENCE).to_string().as_bytes());
    assert_eq!(exchange.ask(&format!("{none}.{claims}."), "algorithms").await.status, 404);
}

#[tokio::test]
async fn an_issuer_that_is_not_listed_is_never_asked() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let (listed, other) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let exchange = world.exchange("unlisted", &config(&[listed.entry("")])).await;
    world.target("unlisted", &[("kfca_1", &binding(&other.url, GOOGLE, json!({})))]).await;
    let asked = listed.requests();
    for _ in 0..20 {
        let answer = exchange.ask(&other.token(&key, "ES256"), "unlisted").await;
        assert_eq!(answer.status, 404);
    }
    assert_eq!((other.requests(), listed.requests()), (0, asked));
    assert!(exchange.log().contains("a token claims an issuer that is not listed under issuers"));
}

#[tokio::test]
async fn warm_keys_need_one_write_and_no_other_request() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let exchange = world.exchange("warm", &config(&[issuer.entry("")])).await;
    world.target("warm", &[("kfca_1", &binding(&issuer.url, GOOGLE, json!({})))]).await;
    let token = issuer.token(&key, "ES256");
    let (audit, user) = (world.b.audit(), "system:serviceaccount:token-exchange:token-exchange");
    let verbs_of = async |exchanges: usize| {
        let mark = audit.mark().unwrap();
        for _ in 0..exchanges {
            assert_eq!(exchange.ask(&token, "warm").await.status, 200);
        }
        audit.settled(Duration::from_millis(300)).await.unwrap();
        let mut entries = audit.entries_since(mark).unwrap();
        entries.retain(|entry| {
            entry.user.username == user
                && entry.object_ref.as_ref().is_some_and(|object| object.name == "warm")
        });
        entries.into_iter().map(|entry| entry.verb).collect::<Vec<_>>()
    };
    // Until the watch has heard of the account, it is read.
    let watched = async || (verbs_of(1).await == ["create"]).then_some(());
    eventually("the watch knows the account", SOON, watched).await.unwrap();
    let asked = issuer.requests();
    assert_eq!(verbs_of(10).await, ["create"; 10], "one TokenRequest each, and no read");
    assert_eq!(issuer.requests(), asked, "and nothing of the issuer");
}

/// Exchanges all these at once. Gives the longest time of those that got a token, and the answers to the others.
async fn crowd(port: u16, tokens: &[String]) -> (Duration, Vec<(Answered, Duration)>) {
    let mut asking = JoinSet::new();
    for token in tokens {
        let body = json!({"namespace": TARGET, "serviceAccountName": "dead"}).to_string();
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {token}\r\n");
        asking.spawn(async move {
            let start = Instant::now();
            let answer = http(port, "POST", "/exchangeToken", &headers, body.as_bytes()).await;
            (answer, start.elapsed())
        });
    }
    let all = asking.join_all().await;
    let (good, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(answer, _)| answer.status == 200);
    (good.iter().map(|(_, took)| *took).max().unwrap(), others)
}

#[tokio::test]
async fn a_dead_issuer_is_an_outage_and_leaves_a_hundred_others_alone() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let (good, dead) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    dead.is(Mood::Silent);
    let exchange = world.exchange("dead", &config(&[good.entry(""), dead.entry("")])).await;
    let bindings = [binding(&dead.url, GOOGLE, json!({})), binding(&good.url, GOOGLE, json!({}))];
    world.target("dead", &[("kfca_1", &bindings[0]), ("kfca_2", &bindings[1])]).await;
    let (fine, stuck) = (good.token(&key, "ES256"), dead.token(&key, "ES256"));
    assert_eq!(exchange.ask(&fine, "dead").await.status, 200);
    // What a hundred good ones take on this machine, and then with a dead one among them.
    let (alone, _) = crowd(exchange.port, &vec![fine.clone(); 100]).await;
    let mut tokens = vec![fine; 100];
    tokens[50].clone_from(&stuck);
    let (slowest, unavailable) = crowd(exchange.port, &tokens).await;
    let (answer, took) = &unavailable[0];
    assert_eq!((answer.status, answer.body["name"].as_str()), (503, Some("temporarily_unavailable")));
    assert!(answer.headers.contains("retry-after:") && *took < Duration::from_secs(12), "{took:?}");
    assert_eq!(unavailable.len(), 1, "the others are answered");
    assert!(slowest < Duration::from_secs(3) + alone * 2, "the others waited {slowest:?}, {alone:?} alone");
    dead.is(Mood::Good);
    let back = async || (exchange.ask(&stuck, "dead").await.status == 200).then_some(());
    eventually("the issuer is back", SOON * 2, back).await.unwrap();
}

#[tokio::test]
async fn issuers_that_lie_or_redirect_are_outages_and_lead_nowhere() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let (bad, trap) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    world.target("liars", &[("kfca_1", &binding(&bad.url, GOOGLE, json!({})))]).await;
    let token = bad.token(&key, "ES256");
    for (name, mood) in [
        ("redirecting", Mood::Redirecting(format!("{}/keys", trap.url))),
        ("dripping", Mood::Dripping),
        ("endless", Mood::Endless),
        ("empty", Mood::Lying(json!({"keys": []}).to_string())),
        ("deep", Mood::Lying("[".repeat(100_000))),
    ] {
        bad.is(mood);
        let exchange = world.unready(name, &config(&[bad.entry(", jwks_cooldown: 1s")])).await;
        let listening = async || tokio::net::TcpStream::connect(("127.0.0.1", exchange.port)).await.ok();
        eventually("the port", SOON, listening).await.unwrap();
        let answer = exchange.ask(&token, "liars").await;
        assert_eq!((answer.status, answer.rung().1), (503, "temporarily_unavailable"), "{name}");
        assert!(exchange.process.peak_rss_mb().unwrap() < 100.0, "{name}");
    }
    assert_eq!(trap.requests(), 0, "no redirect to another host");
}
