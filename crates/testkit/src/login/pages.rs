//! The endpoints: discovery, keys, authorization, token, userinfo, revocation and end of the session.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use url::form_urlencoded::{Serializer, byte_serialize, parse};

use super::{
    CLIENT_ID, CLIENT_SECRET, Shared,
    grants::Consent,
    wire::{Answer, Request},
};

const BAD: &str = "400 Bad Request";
const UNAUTHORIZED: &str = "401 Unauthorized";

pub(super) fn answer(shared: &Shared, request: &Request) -> Answer {
    if shared.state.lock().is_down {
        return Answer::error("503 Service Unavailable", "temporarily_unavailable");
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/.well-known/openid-configuration") => {
            let named = shared.state.lock().named.clone();
            Answer::json("200 OK", &discovery(&shared.url, named.as_deref()))
        }
        ("GET", "/keys") => Answer::json("200 OK", &json!({"keys": [shared.key.jwk()]})),
        ("GET", "/authorize") => authorize(shared, request),
        ("POST", "/token") => token(shared, request),
        ("GET", "/userinfo") => userinfo(shared, request),
        ("POST", "/revoke") => revoke(shared, request),
        ("GET", "/end_session") => end_session(shared, request),
        _ => Answer::error("404 Not Found", "not_found"),
    }
}

fn discovery(url: &str, named: Option<&str>) -> Value {
    json!({
        "issuer": named.unwrap_or(url), "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"), "revocation_endpoint": format!("{url}/revoke"),
        "end_session_endpoint": format!("{url}/end_session"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
    })
}

/// Asks who it is, and sends the person back with a code. A request that cannot be trusted is not sent anywhere.
fn authorize(shared: &Shared, request: &Request) -> Answer {
    let of = |name: &str| request.query.get(name).map(String::as_str);
    let redirect = of("redirect_uri").unwrap_or_default();
    let is_registered = shared.state.lock().redirects.iter().any(|known| known == redirect);
    if of("client_id") != Some(CLIENT_ID) || !is_registered {
        return Answer::error(BAD, "invalid_request: unknown client or redirect_uri");
    }
    let has_openid = of("scope").is_some_and(|scope| scope.split(' ').any(|word| word == "openid"));
    let is_code = of("response_type") == Some("code") && has_openid;
    let challenge = of("code_challenge").filter(|_| of("code_challenge_method") == Some("S256"));
    let (Some(challenge), Some(state), true) = (challenge, of("state"), is_code) else {
        return Answer::error(BAD, "invalid_request: code flow with state and an S256 challenge is required");
    };
    let Some(person) = of("login_as") else {
        return if of("prompt") == Some("none") {
            Answer::to(&with(redirect, &[("error", "login_required"), ("state", state)]))
        } else {
            choice(shared, request)
        };
    };
    if shared.person(person).is_none() {
        return Answer::to(&with(redirect, &[("error", "access_denied"), ("state", state)]));
    }
    let (person, redirect) = (person.to_owned(), redirect.to_owned());
    let nonce = of("nonce").map(str::to_owned);
    let consent = Consent { person, redirect: redirect.clone(), challenge: challenge.to_owned(), nonce };
    let code = shared.state.lock().grants.agree(consent);
    Answer::to(&with(&redirect, &[("code", &code), ("state", state)]))
}

/// A page with a link for each person.
fn choice(shared: &Shared, request: &Request) -> Answer {
    let mut serializer = Serializer::new(String::new());
    let query = serializer.extend_pairs(&request.query).finish();
    let mut links = String::new();
    for person in &shared.people {
        let name: String = byte_serialize(person.name.as_bytes()).collect();
        let href = format!("/authorize?{query}&login_as={name}").replace('&', "&amp;");
        let _ = write!(links, "<li><a href=\"{href}\">{}</a></li>", person.name.replace('<', "&lt;"));
    }
    Answer::html(format!(
        "<!doctype html><html lang=\"en\"><title>Sign in</title><h1>Who are you?</h1><ul>{links}</ul></html>"
    ))
}

fn token(shared: &Shared, request: &Request) -> Answer {
    if !is_client(request) {
        return Answer::error(UNAUTHORIZED, "invalid_client");
    }
    let of = |name: &str| request.form.get(name).map_or("", String::as_str);
    let is_renewal = of("grant_type") == "refresh_token";
    let redeemed = match of("grant_type") {
        "authorization_code" => {
            let grants = &mut shared.state.lock().grants;
            let consent = grants.redeem(of("code"), of("redirect_uri"), of("code_verifier"));
            consent.map(|consent| (consent.person, consent.nonce))
        }
        "refresh_token" => {
            shared.state.lock().grants.use_up(of("refresh_token")).map(|person| (person, None))
        }
        _ => return Answer::error(BAD, "unsupported_grant_type"),
    };
    let known = redeemed.as_ref().and_then(|(name, nonce)| Some((shared.person(name)?, nonce.as_deref())));
    let Some((person, nonce)) = known else { return Answer::error(BAD, "invalid_grant") };
    let id_token = shared.id_token(person, nonce);
    let mut state = shared.state.lock();
    if is_renewal && state.is_sparing {
        let used = of("refresh_token");
        state.grants.keep(used, &person.name);
        return Answer::json(
            "200 OK",
            &json!({"access_token": "access-again", "token_type": "Bearer", "expires_in": "300"}),
        );
    }
    let (access, refresh) = state.grants.issue(&person.name);
    Answer::json(
        "200 OK",
        &json!({
            "access_token": access, "refresh_token": refresh, "id_token": id_token, "token_type": "Bearer",
            "expires_in": state.lifetime,
        }),
    )
}

/// The client proves itself in the header, percent-encoded as RFC 6749 has it, or in the form.
fn is_client(request: &Request) -> bool {
    let posted = (request.form.get("client_id"), request.form.get("client_secret"));
    if let (Some(id), Some(secret)) = posted {
        return id == CLIENT_ID && secret == CLIENT_SECRET;
    }
    let basic = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let decoded = basic.and_then(|value| BASE64_STANDARD.decode(value).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (id, secret) = text.split_once(':').unwrap_or_default();
    decode(id) == CLIENT_ID && decode(secret) == CLIENT_SECRET
}

fn decode(text: &str) -> String {
    parse(format!("x={text}").as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn userinfo(shared: &Shared, request: &Request) -> Answer {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let state = shared.state.lock();
    let person = token.and_then(|token| state.grants.holder(token)).and_then(|name| shared.person(name));
    let Some(person) = person else { return Answer::error(UNAUTHORIZED, "invalid_token") };
    let email = format!("{}@example.com", person.name);
    Answer::json("200 OK", &json!({"sub": person.name, "email": email, "groups": person.groups}))
}

/// Answers 200 whether the token was known or not, as RFC 7009 wants it.
fn revoke(shared: &Shared, request: &Request) -> Answer {
    if !is_client(request) {
        return Answer::error(UNAUTHORIZED, "invalid_client");
    }
    let token = request.form.get("token").map_or("", String::as_str);
    shared.state.lock().grants.revoke(token);
    Answer::json("200 OK", &json!({}))
}

fn end_session(shared: &Shared, request: &Request) -> Answer {
    let to = request.query.get("post_logout_redirect_uri").map_or("", String::as_str);
    let is_registered = shared.state.lock().redirects.iter().any(|known| known == to);
    if is_registered { Answer::to(to) } else { Answer::html("<p>You are signed out.</p>".to_owned()) }
}

fn with(url: &str, parameters: &[(&str, &str)]) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let mut serializer = Serializer::new(String::new());
    format!("{url}{separator}{}", serializer.extend_pairs(parameters).finish())
}
