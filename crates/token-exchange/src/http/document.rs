//! `POST /exchangeToken`: the exchange in JSON, with its own errors.

use axum::{
    body::Body,
    extract::{Extension, State as Shared},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use portolan_runtime::server::{
    Peer,
    answer::json_response,
    bearer::{NoBearer, bearer},
    body,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{ExchangeApp, ladder::RefusalRung};
use crate::outcome::{ExchangeWish, GrantedToken};

/// The longest `Authorization` header.
const MAX_HEADER: usize = 16 * 1024;
/// The longest name of a namespace or an account.
const MAX_NAME: usize = 253;

/// The members of a request that count. What else is there does not count.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    namespace: Option<String>,
    service_account_name: Option<String>,
}

pub(super) async fn exchange_token(
    Shared(app): Shared<ExchangeApp>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    match answer(&app, &peer, request).await {
        Ok(granted) => json_response(StatusCode::OK, rendered(&granted)),
        Err(rung) => {
            let denied = matches!(rung, RefusalRung::Denied(_));
            let response = rung.into_response();
            if !denied {
                app.metrics.invalid(response.status().as_u16());
            }
            response
        }
    }
}

async fn answer(app: &ExchangeApp, peer: &Peer, request: Request<Body>) -> Result<GrantedToken, RefusalRung> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return Err(RefusalRung::Method);
    }
    check_media_type(&parts.headers)?;
    let token = shown(&parts.headers)?;
    let body = body::read(&parts, body).await.map_err(RefusalRung::Body)?;
    let (namespace, account) = read(&body)?;
    let wish = ExchangeWish { token, namespace, account, from: peer.address.ip() };
    Ok(app.decide(&wish, &parts.headers).await?)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), RefusalRung> {
    let value = headers.get(header::CONTENT_TYPE).filter(|value| !value.is_empty());
    let value = value.ok_or(RefusalRung::NoMediaType)?;
    let value = value.to_str().map_err(|_| RefusalRung::MediaType)?;
    let kind = value.split_once(';').map_or(value, |(kind, _)| kind).trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(RefusalRung::MediaType) }
}

fn shown(headers: &HeaderMap) -> Result<SecretString, RefusalRung> {
    let token = bearer(headers).map_err(|none| match none {
        NoBearer::Missing => RefusalRung::NoToken,
        NoBearer::Several => RefusalRung::SeveralTokens,
        NoBearer::Scheme => RefusalRung::Scheme,
    })?;
    let is_long = headers.get(header::AUTHORIZATION).is_some_and(|value| value.len() > MAX_HEADER);
    if is_long { Err(RefusalRung::LongToken) } else { Ok(token) }
}

fn read(body: &[u8]) -> Result<(String, String), RefusalRung> {
    if body.is_empty() {
        return Err(RefusalRung::Malformed("EOF".to_owned()));
    }
    // A list would be read as the members in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(RefusalRung::Malformed("it is not a JSON object".to_owned()));
    }
    let question = serde_json::from_slice::<Option<Question>>(body);
    let question = question.map_err(|error| RefusalRung::Malformed(error.to_string()))?.unwrap_or_default();
    let namespace = named("namespace", question.namespace)?;
    let account = named("serviceAccountName", question.service_account_name)?;
    for (member, name) in [("namespace", &namespace), ("serviceAccountName", &account)] {
        if name.len() > MAX_NAME {
            return Err(RefusalRung::TooLong(member));
        }
    }
    Ok((namespace, account))
}

fn named(member: &'static str, name: Option<String>) -> Result<String, RefusalRung> {
    name.filter(|name| !name.is_empty()).ok_or(RefusalRung::Required(member))
}

fn rendered(granted: &GrantedToken) -> String {
    let minted = &granted.minted;
    let status =
        json!({"token": minted.token.expose_secret(), "expirationTimestamp": minted.expires.to_string()});
    json!({"status": status}).to_string() + "\n"
}
