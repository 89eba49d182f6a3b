//! A whole login, and what a careless client is refused.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    CLIENT_ID, Person, Shared, State,
    grants::challenge,
    pages::answer,
    wire::{Answer, Request},
};
use crate::forge::SigningKey;

const REDIRECT: &str = "https://portal.example/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-as-required";

fn provider() -> Shared {
    let state = State { redirects: vec![REDIRECT.to_owned()], lifetime: 60, ..State::default() };
    Shared {
        url: "https://login.example".to_owned(),
        key: SigningKey::new("k", "P-256"),
        people: vec![Person::new("alice", &["api-consumers"])],
        state: Mutex::new(state),
    }
}

fn get(shared: &Shared, target: &str, headers: &str) -> Answer {
    answer(shared, &Request::read(&format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).unwrap())
}

fn post(shared: &Shared, path: &str, form: &[(&str, &str)]) -> (String, Value) {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let text = format!("POST {path} HTTP/1.1\r\nhost: x\r\n\r\n{form}");
    let said = answer(shared, &Request::read(&text).unwrap());
    (said.status.to_owned(), serde_json::from_str(&said.body).unwrap())
}

fn authorization(change: &[(&str, &str)]) -> String {
    let challenge = challenge(VERIFIER);
    let mut pairs = vec![
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid groups"),
        ("state", "s"),
        ("nonce", "n"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("login_as", "alice"),
    ];
    for (name, value) in change {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/authorize?{query}")
}

fn code(said: &Answer) -> String {
    let location = said.headers.trim().strip_prefix("location: ").unwrap();
    let url = url::Url::parse(location).unwrap();
    assert!(url.query_pairs().any(|(name, value)| name == "state" && value == "s"), "{url}");
    url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
}

fn redeem(shared: &Shared, code: &str, secret: &str) -> (String, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_id", CLIENT_ID),
        ("client_secret", secret),
    ];
    post(shared, "/token", &form)
}

#[test]
fn somebody_signs_in_stays_signed_in_and_signs_out() {
    let shared = provider();
    let code = code(&get(&shared, &authorization(&[]), ""));
    let (status, tokens) = redeem(&shared, &code, super::CLIENT_SECRET);
    assert_eq!(status, "200 OK", "{tokens}");
    let claims = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["nonce"], &claims["groups"]), (&json!("n"), &json!(["api-consumers"])));
    let bearer = format!("authorization: Bearer {}\r\n", tokens["access_token"].as_str().unwrap());
    assert!(get(&shared, "/userinfo", &bearer).body.contains("alice@example.com"));
    assert!(redeem(&shared, &code, super::CLIENT_SECRET).0.starts_with("400"), "a code works once");
    let client = [("client_id", CLIENT_ID), ("client_secret", super::CLIENT_SECRET)];
    let refresh = |token: &str| {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        form.extend(client);
        post(&shared, "/token", &form)
    };
    let (status, again) = refresh(tokens["refresh_token"].as_str().unwrap());
    assert_eq!(status, "200 OK");
    let last = again["refresh_token"].as_str().unwrap();
    let mut form = vec![("token", last)];
    form.extend(client);
    post(&shared, "/revoke", &form);
    assert!(refresh(last).0.starts_with("400"));
    assert_eq!(shared.state.lock().grants.revoked(), 1);
}

#[test]
fn what_is_missing_or_false_is_refused() {
    let shared = provider();
    for change in [
        ("client_id", "other"),
        ("redirect_uri", "https://evil.example/callback"),
        ("code_challenge_method", "plain"),
        ("response_type", "token"),
        ("scope", "email"),
    ] {
        assert!(get(&shared, &authorization(&[change]), "").status.starts_with("400"), "{change:?}");
    }
    let denied = get(&shared, &authorization(&[("login_as", "mallory")]), "");
    assert!(denied.headers.contains("error=access_denied"), "{}", denied.headers);
    let code = code(&get(&shared, &authorization(&[]), ""));
    assert!(redeem(&shared, &code, "a guess").0.starts_with("401"));
    let (status, said) = post(&shared, "/token", &[("grant_type", "password")]);
    assert!(status.starts_with("401"), "{said}");
}
