//! The first API, which still answers as it did: `/validate`, `/clusters` and `/health`.

use axum::{
    body::Body,
    extract::{Extension, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use portolan_core::auth::{
    Claims, Refusal, ReviewRequest, UnverifiedToken, Version, refusal::Unavailable,
};
use portolan_runtime::{clock, server::Peer};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    App, body,
    callers::Caller,
    problem::{Problem, json_response},
};
use crate::{
    cluster::Cluster,
    config::V1,
    review::{Question, Target},
};

/// From then on the status of a credential is `expiring_soon`.
const SOON_SECONDS: i64 = 600;

#[derive(Deserialize)]
struct Validate {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    token: String,
}

/// `POST /validate`.
pub(super) async fn validate(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let snapshot = app.state.snapshot();
    if !snapshot.config.v1.enabled {
        return Problem::NotFound.into_response();
    }
    let (parts, body) = request.into_parts();
    let answered = match Caller::identify(&app, &snapshot, peer, &parts.headers).await {
        Ok(caller) => {
            app.metrics.v1(caller.config.as_ref().map_or("anonymous", |config| &config.name));
            validated(&app, &snapshot, &caller, &parts.headers, body).await
        }
        Err(problem) => Err(problem),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    deprecate(response.headers_mut(), &snapshot.config.v1);
    response
}

async fn validated(
    app: &App,
    snapshot: &std::sync::Arc<crate::state::Snapshot>,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::read(headers, body).await?;
    let Ok(Validate { cluster, token }) = serde_json::from_slice(&body) else {
        return Ok(error(StatusCode::BAD_REQUEST, "invalid_request", "Invalid request body"));
    };
    if cluster.is_empty() || token.is_empty() {
        return Ok(error(StatusCode::BAD_REQUEST, "invalid_request", "cluster and token are required"));
    }
    caller.may_ask(Some(&cluster))?;
    caller.may_ask_now(snapshot, Some(&cluster))?;
    let token = SecretString::from(token);
    let request = ReviewRequest { version: Version::V1, token, audiences: Vec::new() };
    let question = Question {
        snapshot,
        target: Target::Cluster(&cluster),
        route: None,
        caller: &caller.name,
        // Checking the audience was the caller's responsibility, and its answer has them all.
        any_audience: true,
        request: &request,
    };
    let verdict = app.reviewer.verdict(&question).await;
    if let Some(refusal) = verdict.refusal() {
        return Ok(old_error(refusal, snapshot.clusters.get(&cluster).map(|cluster| &**cluster)));
    }
    Ok(old_answer(&cluster, request.token.expose_secret()))
}

/// What a token says that was accepted just now.
fn old_answer(cluster: &str, accepted: &str) -> Response {
    match UnverifiedToken::parse(accepted).and_then(|token| Claims::unverified(&token)) {
        Ok(said) => json_response(StatusCode::OK, claims(cluster, &said).to_string()),
        Err(refusal) => old_error(&refusal, None),
    }
}

fn old_error(refusal: &Refusal, cluster: Option<&Cluster>) -> Response {
    let unauthorized = StatusCode::UNAUTHORIZED;
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    match refusal {
        Refusal::ClusterNotFound(_) => {
            error(StatusCode::BAD_REQUEST, "cluster_not_found", &refusal.to_string())
        }
        Refusal::Expired => error(unauthorized, "token_expired", "Token has expired"),
        Refusal::Signature | Refusal::UnknownKey => {
            error(unauthorized, "invalid_signature", "Token signature verification failed")
        }
        Refusal::Unavailable(Unavailable::Issuer) => {
            let reason = cluster.and_then(|cluster| cluster.jwks.status().error).unwrap_or_default();
            if reason.contains("discovery") {
                error(failed, "oidc_discovery_failed", "Failed to fetch OIDC discovery document")
            } else {
                error(failed, "jwks_fetch_failed", "Failed to fetch JWKS")
            }
        }
        Refusal::Unavailable(Unavailable::Cluster) => error(failed, "internal_error", &refusal.to_string()),
        _ => error(unauthorized, "invalid_token", &refusal.to_string()),
    }
}

fn error(code: StatusCode, name: &str, message: &str) -> Response {
    json_response(code, json!({"error": name, "message": message}).to_string())
}

fn claims(cluster: &str, claims: &Claims) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("cluster", json!(cluster));
    put("iss", json!(claims.iss));
    put("sub", json!(claims.sub));
    put("aud", json!(claims.aud.0));
    for (key, date) in [("exp", claims.exp), ("iat", claims.iat), ("nbf", claims.nbf)] {
        if let Some(date) = date {
            put(key, json!(date.0));
        }
    }
    if let Some(kubernetes) = &claims.kubernetes {
        let mut about = json!({
            "namespace": kubernetes.namespace,
            "serviceaccount": {"name": kubernetes.serviceaccount.name, "uid": kubernetes.serviceaccount.uid},
        });
        for (key, reference) in [("pod", &kubernetes.pod), ("node", &kubernetes.node)] {
            if let Some(reference) = reference {
                about[key] = json!({"name": reference.name, "uid": reference.uid});
            }
        }
        put("kubernetes.io", about);
    }
    Value::Object(body)
}

fn deprecate(headers: &mut HeaderMap, v1: &V1) {
    let mut put = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("deprecation", format!("@{}", v1.deprecated_since));
    put("link", format!("<{}>; rel=\"successor-version\"", v1.link));
    put("warning", "299 - \"/validate is deprecated; use TokenReview\"".to_owned());
    if let Some(sunset) = &v1.sunset {
        put("sunset", sunset.clone());
    }
}

/// `GET /clusters`. Addresses are for callers that are known.
pub(super) async fn clusters(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let snapshot = app.state.snapshot();
    let caller = match Caller::identify(&app, &snapshot, peer, &headers).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let now = clock::now();
    let mut listed = Vec::new();
    for (name, cluster) in &snapshot.clusters {
        if caller.may_ask(Some(name)).is_ok() {
            listed.push(described(cluster, caller.config.is_some(), now));
        }
    }
    json_response(StatusCode::OK, json!({"clusters": listed}).to_string())
}

fn described(cluster: &Cluster, with_address: bool, now: Timestamp) -> Value {
    let mut about = json!({"name": cluster.config.name, "issuer": cluster.config.issuer});
    if let Some(api_server) = cluster.config.api_server.as_ref().filter(|_| with_address) {
        about["api_server"] = json!(api_server);
    }
    if let Some(credential) = cluster.credential.about() {
        about["token_status"] = match credential.expires {
            Some(expires) => token_status(expires, now),
            None => json!({"status": "unknown"}),
        };
    }
    about
}

fn token_status(expires: Timestamp, now: Timestamp) -> Value {
    let left = expires.as_second() - now.as_second();
    let (text, status) = match left {
        ..=0 => ("expired".to_owned(), "expired"),
        1..SOON_SECONDS => (go_duration(left), "expiring_soon"),
        _ => (go_duration(left), "valid"),
    };
    json!({"expires_at": expires.to_string(), "expires_in": text, "status": status})
}

/// As Go writes a duration of whole seconds: `167h59m30s`.
fn go_duration(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `GET /health`.
pub(super) async fn health() -> Response {
    let mut response = json_response(StatusCode::OK, r#"{"status":"ok"}"#);
    response.headers_mut().remove(header::CACHE_CONTROL);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (seconds, text) in [(5, "5s"), (65, "1m5s"), (3600, "1h0m0s"), (604_770, "167h59m30s")] {
            assert_eq!(go_duration(seconds), text);
        }
    }

    #[test]
    fn a_credential_is_valid_expiring_or_expired() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (left, status) in [(601, "valid"), (599, "expiring_soon"), (0, "expired"), (-5, "expired")] {
            assert_eq!(token_status(at(1000 + left), at(1000))["status"], status, "{left}");
        }
    }
}
