//! Sources of every kind: types of tokens, how they are spelt, how long they live, and issuers that change their name.

use portolan_testkit::forge::SigningKey;
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, now},
    support::{AUDIENCE, Exchange, TARGET, binding, world},
};

const SUBJECT: &str = "104100000000000000001";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

fn config(issuers: &str) -> String {
    format!("issuers:\n{issuers}namespaces: [{TARGET}]\nrateLimits: {{perCaller: 0}}\n")
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
}

/// Asks both doors about a source.
async fn asked(exchange: &Exchange, token: &str, account: &str) -> (u16, u16) {
    let plain = exchange.ask(token, account).await.status;
    let encoded = percent_encoded(token);
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={encoded}\
         &subject_token_type=urn:ietf:params:oauth:token-type:jwt&resource={TARGET}/{account}"
    );
    (plain, exchange.send("POST", "/token", FORM, form.as_bytes()).await.status)
}

#[tokio::test]
async fn only_tokens_for_bearers_are_exchanged() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let exchange = world.exchange("types", &config(&issuer.entry(""))).await;
    world.target("types", &[("kfca_1", &binding(&issuer.url, SUBJECT, json!({})))]).await;
    let typed = |kind: Value| {
        let header = json!({"alg": "ES256", "kid": "k", "typ": kind}).to_string();
        key.raw_token("ES256", &header, &issuer.google(AUDIENCE).to_string())
    };
    for kind in
        [json!("JWT"), json!("at+jwt"), json!("application/AT+JWT"), json!("Application/jwt"), Value::Null]
    {
        assert_eq!(asked(&exchange, &typed(kind.clone()), "types").await, (200, 200), "{kind}");
    }
    for kind in ["logout+jwt", "application/Logout+JWT", "secevent+jwt", "dpop+jwt", "JOSE", ""] {
        assert_eq!(asked(&exchange, &typed(json!(kind)), "types").await, (404, 400), "{kind}");
    }
    // As logout tokens were before they had a type of their own.
    let mut logout = issuer.google(AUDIENCE);
    logout["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    assert_eq!(asked(&exchange, &key.token("ES256", &logout), "types").await, (404, 400));
}

#[tokio::test]
async fn white_space_around_a_source_does_not_count_and_within_it_does() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let exchange = world.exchange("spelt", &config(&issuer.entry(""))).await;
    world.target("spelt", &[("kfca_1", &binding(&issuer.url, SUBJECT, json!({})))]).await;
    let token = key.token("ES256", &issuer.google(AUDIENCE));
    for spelling in ["{}", "  {}", "{}  ", "\t{}\t"] {
        let spelt = spelling.replace("{}", &token);
        assert_eq!(asked(&exchange, &spelt, "spelt").await, (200, 200), "{spelling:?}");
    }
    let form = async |token: &str| asked(&exchange, token, "spelt").await.1;
    for spelling in ["{}\n", "\r\n{}\r\n", "\n {} \n"] {
        // A header cannot hold these, a form can.
        let encoded = spelling.replace("{}", &token);
        let body = percent_encoded(&encoded);
        let body = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={body}\
             &subject_token_type=urn:ietf:params:oauth:token-type:jwt&resource={TARGET}/spelt"
        );
        let answer = exchange.send("POST", "/token", FORM, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{spelling:?} {}", answer.text);
    }
    let (head, rest) = token.split_at(30);
    assert_eq!(form(&format!("{head} {rest}")).await, 400);
}

#[tokio::test]
async fn a_managed_identity_lives_a_day_and_five_minutes() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let (long, short) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let issuers = long.entry(", maxSourceLifetime: 25h") + &short.entry("");
    let exchange = world.exchange("days", &config(&issuers)).await;
    let bindings = [&long, &short].map(|issuer| binding(&issuer.url, SUBJECT, json!({})));
    world.target("days", &[("kfca_1", &bindings[0]), ("kfca_2", &bindings[1])]).await;
    let lives = |issuer: &Issuer, seconds: i64| {
        let mut claims = issuer.google(AUDIENCE);
        claims["exp"] = json!(now() - 10 + seconds);
        claims["iat"] = json!(now() - 10);
        key.token("ES256", &claims)
    };
    assert_eq!(exchange.ask(&lives(&long, 86_700), "days").await.status, 200);
    let beyond = exchange.ask(&lives(&long, 25 * 3600 + 5), "days").await;
    assert_eq!(beyond.status, 400, "{}", beyond.text);
    assert_eq!(exchange.ask(&lives(&short, 86_700), "days").await.status, 400);
}

#[tokio::test]
async fn sources_of_both_issuers_work_while_a_cluster_changes_its_name() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let entry = issuer.entry("").replace(
        &format!("issuer: '{}'", issuer.url),
        &format!("issuers: ['{}', 'https://old.test']", issuer.url),
    );
    let exchange = world.exchange("renamed-issuer", &config(&entry)).await;
    let bindings = [issuer.url.as_str(), "https://old.test"].map(|name| binding(name, SUBJECT, json!({})));
    world.target("renamed-issuer", &[("kfca_1", &bindings[0]), ("kfca_2", &bindings[1])]).await;
    let ask = async |name: &str| {
        let mut claims = issuer.google(AUDIENCE);
        claims["iss"] = json!(name);
        exchange.ask(&key.token("ES256", &claims), "renamed-issuer").await.status
    };
    assert_eq!((ask(&issuer.url).await, ask("https://old.test").await), (200, 200), "{}", exchange.log());
    assert_eq!((ask("https://old.test/").await, ask("https://other.test").await), (404, 404));
}
