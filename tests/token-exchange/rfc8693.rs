//! The exchange as RFC 8693 has it, and the probe that tells when it cannot work.

use portolan_testkit::{eventually, forge::SigningKey};
use serde_json::json;

use crate::{
    issuer::{Issuer, Mood},
    support::{AUDIENCE, Answered, Exchange, SOON, TARGET, binding, world},
};

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
const GRANT: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "subject_token_type=urn:ietf:params:oauth:token-type:jwt";

async fn post(exchange: &Exchange, form: &str) -> Answered {
    exchange.send("POST", "/token", FORM, form.as_bytes()).await
}

#[tokio::test]
async fn a_form_is_answered_as_rfc_8693_says() {
    let world = world().await;
    let exchange = world.exchange("rfc", &world.config("rateLimits: {perCaller: 0}\n")).await;
    let source = world.source("rfc").await;
    world.target("rfc", &[("kfca_1", &world.binding("rfc"))]).await;
    let user = format!("system:serviceaccount:{TARGET}:rfc");
    let good = format!("{GRANT}&subject_token={source}&{JWT}");
    for target in [format!("audience={user}"), format!("resource={TARGET}%2Frfc")] {
        let answer = post(&exchange, &format!("{good}&{target}")).await;
        assert_eq!(answer.status, 200, "{} {}", answer.text, exchange.log());
        assert_eq!(world.who(answer.body["access_token"].as_str().unwrap()).await, Some(user.clone()));
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        assert_eq!(
            (answer.body["issued_token_type"].as_str(), answer.body["token_type"].as_str()),
            (Some(kind), Some("Bearer"))
        );
        let lives = answer.body["expires_in"].as_i64().unwrap();
        assert!((3500..=3600).contains(&lives), "{lives}");
        assert!(answer.headers.contains("cache-control: no-store"), "{}", answer.headers);
    }
    let target = format!("audience={user}");
    let table = [
        (format!("{good}&{target}").replace("token-exchange", "password"), 400, "unsupported_grant_type"),
        (format!("subject_token={source}&{JWT}&{target}"), 400, "invalid_request"),
        (format!("{GRANT}&{JWT}&{target}"), 400, "invalid_request"),
        (format!("{good}&{target}&subject_token=x"), 400, "invalid_request"),
        (good.clone(), 400, "invalid_request"),
        (format!("{good}&audience=nobody"), 400, "invalid_target"),
        (format!("{good}&audience={TARGET}/absent"), 400, "invalid_request"),
        (format!("{GRANT}&subject_token=x.y.z&{JWT}&{target}"), 400, "invalid_request"),
    ];
    for (form, status, error) in table {
        let answer = post(&exchange, &form).await;
        assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)), "{form:.80}");
        assert!(answer.headers.contains("cache-control: no-store") && !answer.text.contains(&source));
    }
    let json = exchange.send("POST", "/token", "content-type: application/json\r\n", b"{}").await;
    assert_eq!((json.status, json.body["error"].as_str()), (400, Some("invalid_request")));
    let got = exchange.send("GET", "/token", FORM, b"").await;
    assert!(got.status == 405 && got.headers.contains("allow: post"), "{}", got.headers);
}

#[tokio::test]
async fn without_keys_the_exchange_is_not_ready_and_an_outage_says_so() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    issuer.is(Mood::Lying("{}".to_owned()));
    let config = format!("issuers:\n{}namespaces: [{TARGET}]\n", issuer.entry(", jwks_cooldown: 1s"));
    let exchange = world.unready("unready", &config).await;
    let subject = "104100000000000000001";
    world.target("unready", &[("kfca_1", &binding(&issuer.url, subject, json!({})))]).await;
    let listening = async || tokio::net::TcpStream::connect(("127.0.0.1", exchange.port)).await.ok();
    eventually("the port", SOON, listening).await.unwrap();
    let ready = exchange.send("GET", "/readyz", "", b"").await;
    assert_eq!((ready.status, ready.body), (503, json!({"ready": false})));
    let live = exchange.send("GET", "/livez", "", b"").await;
    assert_eq!((live.status, live.body), (200, json!({"live": true})));
    let source = key.token("ES256", &issuer.google(AUDIENCE));
    let form = format!("{GRANT}&subject_token={source}&{JWT}&audience={TARGET}/unready");
    let out = post(&exchange, &form).await;
    assert_eq!(
        (out.status, out.body["error"].as_str()),
        (503, Some("temporarily_unavailable")),
        "{}",
        out.text
    );
    issuer.is(Mood::Good);
    let ready = async || (exchange.send("GET", "/readyz", "", b"").await.status == 200).then_some(());
    eventually("keys", SOON * 2, ready).await.unwrap();
    assert_eq!(post(&exchange, &form).await.status, 200);
    // A configuration with another issuer that has no keys: it cannot work again.
    let dead = Issuer::start(&[&key]).await;
    dead.is(Mood::Lying("{}".to_owned()));
    let config = format!("issuers:\n{}namespaces: [{TARGET}]\n", dead.entry(", jwks_cooldown: 1s"));
    std::fs::write(&exchange.config, config).unwrap();
    let unready = async || (exchange.send("GET", "/readyz", "", b"").await.status == 503).then_some(());
    eventually("not ready", SOON, unready).await.unwrap();
}
