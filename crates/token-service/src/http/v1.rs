//! The first API, which still answers as it did: `/validate` and `/health`.

use axum::{
    body::Body,
    extract::{Extension, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header, request::Parts};
use portolan_core::{
    auth::{
        ReviewRequest, ReviewVersion, TokenClaims, TokenRefusal, UnverifiedToken, claims::NumericDate,
        members, refusal::Unavailable,
    },
    object::{Object, or_default},
};
use portolan_runtime::server::{Peer, answer::json_response, body};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{App, callers::Caller, problem::RequestProblem};
use crate::{
    cluster::Cluster,
    config::V1,
    metrics::ANONYMOUS,
    review::{ReviewQuestion, ReviewTarget},
};

#[derive(Deserialize)]
struct Validate {
    #[serde(default, deserialize_with = "or_default")]
    cluster: String,
    #[serde(default, deserialize_with = "or_default")]
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
        return RequestProblem::NotFound.into_response();
    }
    let (parts, body) = request.into_parts();
    let answered = match Caller::identify(&app, &snapshot, peer, &parts.headers).await {
        Ok(caller) => {
            app.metrics.v1(caller.config.as_ref().map_or(ANONYMOUS, |config| &config.name));
            validated(&app, &snapshot, &caller, &parts, body).await
        }
        Err(problem) => Err(problem),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    deprecate(response.headers_mut(), &snapshot.config.v1);
    response
}

async fn validated(
    app: &App,
    snapshot: &std::sync::Arc<crate::state::ConfigSnapshot>,
    caller: &Caller,
    parts: &Parts,
    body: Body,
) -> Result<Response, RequestProblem> {
    let body = body::read(parts, body).await?;
    let Ok(Object(Validate { cluster, token })) = serde_json::from_slice(&body) else {
        return Ok(error(StatusCode::BAD_REQUEST, "invalid_request", "Invalid request body"));
    };
    if cluster.is_empty() || token.is_empty() {
        return Ok(error(StatusCode::BAD_REQUEST, "invalid_request", "cluster and token are required"));
    }
    caller.may_ask(Some(&cluster))?;
    caller.may_ask_now(snapshot, Some(&cluster))?;
    let token = Some(SecretString::from(token));
    let request = ReviewRequest::new(None, None, ReviewVersion::V1, token, Vec::new());
    let request = request.map_err(|error| RequestProblem::Body(ReviewVersion::V1, error.to_string()))?;
    let question = ReviewQuestion {
        snapshot,
        target: ReviewTarget::Cluster(&cluster),
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

/// The answer of the old API about a token that was accepted just now.
fn old_answer(cluster: &str, accepted: &str) -> Response {
    let read = || {
        let token = UnverifiedToken::parse(accepted)?;
        Ok((TokenClaims::unverified(&token)?, members::member(&token, "kubernetes.io")))
    };
    match read() {
        Ok((said, kubernetes)) => {
            json_response(StatusCode::OK, claims(cluster, &said, kubernetes).to_string())
        }
        Err(refusal) => old_error(&refusal, None),
    }
}

fn old_error(refusal: &TokenRefusal, cluster: Option<&Cluster>) -> Response {
    let unauthorized = StatusCode::UNAUTHORIZED;
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    match refusal {
        TokenRefusal::ClusterNotFound(_) => {
            error(StatusCode::BAD_REQUEST, "cluster_not_found", &refusal.to_string())
        }
        TokenRefusal::Expired => error(unauthorized, "token_expired", "Token has expired"),
        TokenRefusal::Signature
        | TokenRefusal::UnknownKey
        | TokenRefusal::Issuer
        | TokenRefusal::NotYet
        | TokenRefusal::Algorithm => {
            error(unauthorized, "invalid_signature", "Token signature verification failed")
        }
        TokenRefusal::Unavailable(Unavailable::Issuer) => {
            let reason = cluster.and_then(|cluster| cluster.jwks.status().error).unwrap_or_default();
            if reason.contains("discovery") {
                error(failed, "oidc_discovery_failed", "Failed to fetch OIDC discovery document")
            } else {
                error(failed, "jwks_fetch_failed", "Failed to fetch JWKS")
            }
        }
        TokenRefusal::Unavailable(Unavailable::Cluster) => {
            error(failed, "internal_error", &refusal.to_string())
        }
        _ => error(unauthorized, "invalid_token", &refusal.to_string()),
    }
}

fn error(code: StatusCode, name: &str, message: &str) -> Response {
    json_response(code, json!({"error": name, "message": message}).to_string())
}

fn claims(cluster: &str, claims: &TokenClaims, kubernetes: Option<Value>) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("cluster", json!(cluster));
    put("iss", json!(claims.iss));
    put("sub", json!(claims.sub));
    put("aud", if claims.aud.0.is_empty() { Value::Null } else { json!(claims.aud.0) });
    let seconds = |date: Option<NumericDate>| date.map_or(0, |date| date.0);
    put("exp", json!(seconds(claims.exp)));
    put("iat", json!(seconds(claims.iat)));
    if let Some(begin) = claims.nbf {
        put("nbf", json!(begin.0));
    }
    if let Some(kubernetes) = kubernetes {
        put("kubernetes.io", kubernetes);
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

/// `GET /health`.
pub(super) async fn health() -> Response {
    let mut response = json_response(StatusCode::OK, r#"{"status":"ok"}"#);
    response.headers_mut().remove(header::CACHE_CONTROL);
    response
}
