//! Tokens, issuers and clients that mean harm.

use std::time::{Duration, Instant};

use portolan_testkit::{
    eventually::eventually,
    forge::{SigningKey, claims, encode},
    issuer::{Issuer, Mood, now},
};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::support::{SOON, clusters, path};

fn config(entries: &[String]) -> String {
    format!("clusters:\n{}", entries.concat())
}

#[tokio::test]
async fn rotation_works_at_once_and_a_withdrawn_key_is_refused() {
    let (old, new) = (SigningKey::new("old", "P-256"), SigningKey::new("new", "P-256"));
    let issuer = Issuer::start(&[&old]).await;
    // The refresh comes late enough not to meet the old set after the new one is there.
    let quick = ", jwks_cooldown: 1s, jwks_refresh: 10s, cache: 1s";
    let service = clusters().await.service("rotation", &config(&[issuer.entry("i", quick)])).await;
    let token = issuer.token(&old, "ES256");
    assert!(service.review("i", &token, &["x"]).await.authenticated());
    tokio::time::sleep(Duration::from_secs(1)).await;
    issuer.publish(&[&old, &new]);
    let rotated = issuer.token(&new, "ES256");
    assert!(service.review("i", &rotated, &["x"]).await.authenticated(), "the first token of a new key");
    issuer.publish(&[&new]);
    let refused = async || !service.review("i", &token, &["x"]).await.authenticated();
    eventually("the withdrawn key", SOON, async || refused().await.then_some(())).await.unwrap();
    assert!(service.review("i", &rotated, &["x"]).await.authenticated());
}

#[tokio::test]
async fn a_flood_of_key_ids_asks_once_per_cooldown() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let service =
        clusters().await.service("flood", &config(&[issuer.entry("i", ", jwks_cooldown: 4m")])).await;
    let (before, start) = (issuer.requests(), Instant::now());
    let mut flood = JoinSet::new();
    let port = service.port;
    for index in 0..1000 {
        let header = json!({"alg": "ES256", "kid": format!("random-{index}")}).to_string();
        let token = key.raw_token("ES256", &header, &claims(&issuer.url, &["x"], now()).to_string());
        flood.spawn(async move {
            let body = crate::support::review_body(&token, &["x"]).to_string();
            crate::support::http(port, "POST", &path("i"), "x", "", body.as_bytes()).await
        });
        if flood.len() >= 50 {
            flood.join_next().await;
        }
        if index % 100 == 0 {
            assert!(service.review("i", &issuer.token(&key, "ES256"), &["x"]).await.authenticated());
        }
    }
    while let Some(answer) = flood.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.authenticated()), (200, false));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(issuer.requests() <= before + 1, "{} requests", issuer.requests() - before);
}

#[tokio::test]
async fn fifty_warm_clusters_ask_nobody_about_valid_tokens() {
    let key = SigningKey::new("k", "P-256");
    let mut issuers = Vec::new();
    for _ in 0..50 {
        issuers.push(Issuer::start(&[&key]).await);
    }
    let entries: Vec<_> =
        issuers.iter().enumerate().map(|(index, issuer)| issuer.entry(&format!("c{index}"), "")).collect();
    let service = clusters().await.service("warm", &format!("{}auto: {{}}\n", config(&entries))).await;
    // On a busy machine the service may have begun without some keys.
    for (index, issuer) in issuers.iter().enumerate() {
        let token = issuer.token(&key, "ES256");
        let known = async || {
            let answer = service.review(&format!("c{index}"), &token, &["x"]).await;
            answer.authenticated().then_some(())
        };
        eventually("the keys are there", SOON, known).await.unwrap();
    }
    let asked = || issuers.iter().map(Issuer::requests).sum::<usize>();
    let before = asked();
    for (index, issuer) in issuers.iter().enumerate() {
        let token = issuer.token(&key, "ES256");
        assert!(service.review(&format!("c{index}"), &token, &["x"]).await.authenticated());
        let auto = "/auto/apis/authentication.k8s.io/v1/tokenreviews";
        assert!(service.review_at(auto, "x", &token, &["x"]).await.authenticated());
    }
    assert_eq!(asked(), before);
}

#[tokio::test]
async fn bad_issuers_harm_nobody_else_and_do_not_replace_good_keys() {
    let key = SigningKey::new("k", "P-256");
    let (good, bad) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let quick = ", jwks_cooldown: 1s, jwks_refresh: 1s, cache: 0s";
    let config = config(&[good.entry("good", ""), bad.entry("bad", quick)]);
    let service = clusters().await.service("bad-issuers", &config).await;
    let (fine, same) = (good.token(&key, "ES256"), bad.token(&key, "ES256"));
    assert!(service.review("bad", &same, &["x"]).await.authenticated());
    let trap = Issuer::start(&[&key]).await;
    let moods = [
        Mood::Silent,
        Mood::Dripping,
        Mood::Endless,
        Mood::Redirecting(format!("{}/keys", trap.url)),
        Mood::Lying(json!({"keys": []}).to_string()),
        Mood::Lying("<html>".to_owned()),
        Mood::Lying("[".repeat(100_000)),
    ];
    for mood in moods {
        let asked = bad.requests();
        bad.is(mood.clone());
        eventually("the issuer is asked", SOON, async || (bad.requests() > asked).then_some(()))
            .await
            .unwrap();
        let mut quick = 0;
        for _ in 0..5 {
            let start = Instant::now();
            assert!(service.review("good", &fine, &["x"]).await.authenticated(), "{mood:?}");
            assert!(service.review("bad", &same, &["x"]).await.authenticated(), "{mood:?}: last good keys");
            quick += usize::from(start.elapsed() < Duration::from_secs(2));
        }
        // A busy machine may delay one or two of them.
        assert!(quick >= 3, "{mood:?}: only {quick} of 5 did not wait for the issuer");
        // A good answer, so that the next mood is met soon and not after a long backoff.
        bad.is(Mood::Good);
        let asked = bad.requests();
        eventually("a good answer", SOON, async || (bad.requests() > asked).then_some(())).await.unwrap();
    }
    assert_eq!(trap.requests(), 0, "no redirect to another host");
    assert!(service.process.peak_rss_mb().unwrap() < 100.0, "what has no end is not kept in memory");
}

#[tokio::test]
async fn a_dead_issuer_is_unavailable_and_that_is_not_kept() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    issuer.is(Mood::Lying("{}".to_owned()));
    let service =
        clusters().await.service("dead", &config(&[issuer.entry("i", ", jwks_cooldown: 1s")])).await;
    let token = issuer.token(&key, "ES256");
    let answer = service.review("i", &token, &["x"]).await;
    assert_eq!((answer.status, answer.error()), (200, "token could not be checked: issuer unavailable"));
    issuer.is(Mood::Good);
    // Another token makes the service ask for keys.
    let other = issuer.token(&key, "ES256");
    let accepted = async || service.review("i", &other, &["x"]).await.authenticated().then_some(());
    eventually("the keys", SOON, accepted).await.unwrap();
    assert!(service.review("i", &token, &["x"]).await.authenticated(), "the outage is not remembered");
}

#[tokio::test]
async fn expired_and_forged_tokens_are_refused_and_no_token_is_logged() {
    let (key, other) = (SigningKey::new("k", "RSA"), SigningKey::new("k", "RSA"));
    let issuer = Issuer::start(&[&key]).await;
    let service = clusters().await.service("forged", &config(&[issuer.entry("i", "")])).await;
    let mut expired = claims(&issuer.url, &["x"], now());
    expired["exp"] = json!(now() - 61);
    let mut foreign = claims("https://other.test", &["x"], now());
    foreign["sub"] = json!("system:admin");
    let none = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(claims(&issuer.url, &["x"], now()).to_string().as_bytes())
    );
    let header = r#"{"alg":"HS256","kid":"k"}"#;
    let table = [
        (key.token("RS256", &expired), "token has expired"),
        (key.token("RS256", &foreign), "token issuer is not trusted"),
        (other.token("RS256", &claims(&issuer.url, &["x"], now())), "token signature verification failed"),
        (none, "unsupported signature algorithm"),
        (
            key.raw_token("RS256", header, &claims(&issuer.url, &["x"], now()).to_string()),
            "unsupported signature algorithm",
        ),
        ("sha256~opaque-bearer-text".to_owned(), "token is malformed"),
        ("x".repeat(20_000), "token is too large"),
    ];
    for (token, error) in &table {
        let answer = service.review("i", token, &["x"]).await;
        assert_eq!((answer.status, answer.authenticated(), answer.error()), (200, false, *error));
    }
    let good = key.token("RS256", &claims(&issuer.url, &["x"], now()));
    assert!(service.review("i", &good, &["x"]).await.authenticated());
    let log = service.log();
    for (token, _) in table.iter().chain([&(good, "")]) {
        for part in token.split('.').filter(|part| part.len() > 20) {
            assert!(!log.contains(&part[..20]), "the log has a part of a token");
        }
    }
}

#[tokio::test]
async fn slow_clients_keep_nobody_waiting() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let service = clusters().await.service("slow", &config(&[issuer.entry("i", "")])).await;
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port)).await.unwrap();
        stream.write_all(b"POST /clusters/i/apis HTTP/1.1\r\nhost: ").await.unwrap();
        slow.push(stream);
    }
    let start = Instant::now();
    assert!(service.review("i", &issuer.token(&key, "ES256"), &["x"]).await.authenticated());
    assert!(start.elapsed() < Duration::from_secs(8), "before the slow ones are given up");
    // One that says nothing, one that may yet speak HTTP/2, and one whose head never ends.
    for (words, what) in
        [(&b""[..], "silence"), (b"PRI * HTTP/2.0\r\n", "half a preface"), (b"POST / H", "half a head")]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port)).await.unwrap();
        stream.write_all(words).await.unwrap();
        slow.push(stream);
        let mut ended = slow.pop().unwrap();
        let closed = async {
            let mut buffer = [0; 512];
            while tokio::io::AsyncReadExt::read(&mut ended, &mut buffer).await.is_ok_and(|length| length > 0)
            {
            }
        };
        tokio::time::timeout(Duration::from_secs(30), closed).await.expect(what);
    }
}

#[tokio::test]
async fn the_automatic_choice_meets_a_new_key_and_tells_an_outage_from_a_refusal() {
    let (old, new) = (SigningKey::new("old", "P-256"), SigningKey::new("new", "P-256"));
    let (one, two) = (Issuer::start(&[&old]).await, Issuer::start(&[&old]).await);
    two.is(Mood::Lying("{}".to_owned()));
    let quick = ", jwks_cooldown: 1s";
    let config = format!("{}auto: {{}}\n", config(&[one.entry("one", quick), two.entry("two", quick)]));
    let service = clusters().await.service("automatic", &config).await;
    let ask = async |token: &str| {
        service.review_at("/auto/apis/authentication.k8s.io/v1/tokenreviews", "x", token, &["x"]).await
    };
    assert!(ask(&one.token(&old, "ES256")).await.authenticated());
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.publish(&[&old, &new]);
    assert!(ask(&one.token(&new, "ES256")).await.authenticated(), "the first token of a new key");
    let asked = one.requests();
    let stranger = Issuer::start(&[&new]).await;
    assert_eq!(
        ask(&stranger.token(&new, "ES256")).await.error(),
        "token not valid for any configured cluster"
    );
    assert_eq!((one.requests(), stranger.requests()), (asked, 0), "nobody is asked about a foreign token");
    assert_eq!(
        ask(&two.token(&old, "ES256")).await.error(),
        "token could not be checked: issuer unavailable"
    );
}
