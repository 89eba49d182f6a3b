//! `POST /token`: the same exchange in the form of RFC 8693.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{Extension, State as Shared},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use portolan_core::auth::compact::bare;
use portolan_runtime::server::{
    Peer,
    answer::json_response,
    body::{self, UnreadBody},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{
    ExchangeApp,
    ladder::{too_long, with_pause},
};
use crate::outcome::{ExchangeDenial, ExchangeWish, GrantedToken};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The prefix of an account's user name.
const USER: &str = "system:serviceaccount:";

/// An error of RFC 6749 or 8693.
#[derive(Debug, PartialEq, Eq)]
struct OAuthError {
    code: StatusCode,
    error: &'static str,
    description: Cow<'static, str>,
}

/// The fields of a request.
#[derive(Debug)]
struct TokenForm {
    subject_token: SecretString,
    namespace: String,
    account: String,
    issued_type: &'static str,
}

pub(super) async fn token(
    Shared(app): Shared<ExchangeApp>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    answer(&app, &peer, request).await.unwrap_or_else(|refused| {
        let body = json!({"error": refused.error, "error_description": refused.description}).to_string();
        let mut response = with_pause(json_response(refused.code, body));
        if refused.code == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    })
}

async fn answer(app: &ExchangeApp, peer: &Peer, request: Request<Body>) -> Result<Response, OAuthError> {
    let (parts, body) = request.into_parts();
    let count = |refused: OAuthError| {
        app.metrics.invalid(refused.code.as_u16());
        refused
    };
    if parts.method != Method::POST {
        let refused = invalid("use POST");
        return Err(count(OAuthError { code: StatusCode::METHOD_NOT_ALLOWED, ..refused }));
    }
    check_media_type(&parts.headers).map_err(count)?;
    let body = body::read(&parts, body).await.map_err(of_body).map_err(count)?;
    let TokenForm { subject_token: token, namespace, account, issued_type } = read(&body).map_err(count)?;
    let wish = ExchangeWish { token, namespace, account, from: peer.address.ip() };
    let granted = app.decide(&wish, &parts.headers).await.map_err(|denied| of_denied(&denied))?;
    Ok(rendered(&granted, issued_type))
}

fn rendered(granted: &GrantedToken, issued_type: &str) -> Response {
    let expires_in = granted.minted.expires.as_second() - granted.now.as_second();
    let body = json!({
        "access_token": granted.minted.token.expose_secret(),
        "issued_token_type": issued_type,
        "token_type": "Bearer",
        "expires_in": expires_in,
    });
    let mut response = json_response(StatusCode::OK, body.to_string());
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn invalid(description: impl Into<Cow<'static, str>>) -> OAuthError {
    OAuthError { code: StatusCode::BAD_REQUEST, error: "invalid_request", description: description.into() }
}

fn invalid_target(description: &'static str) -> OAuthError {
    OAuthError { error: "invalid_target", ..invalid(description) }
}

fn of_body(unread: UnreadBody) -> OAuthError {
    let description = match unread {
        UnreadBody::TooLarge => "the request is too large",
        UnreadBody::TooSlow | UnreadBody::Broken => unread.message(),
    };
    OAuthError { code: unread.code(), ..invalid(description) }
}

fn of_denied(denied: &ExchangeDenial) -> OAuthError {
    let other =
        |code, error, description: &'static str| OAuthError { code, error, description: description.into() };
    match denied {
        // RFC 8693 has this error for a subject token that is invalid or not acceptable, whatever the reason.
        ExchangeDenial::Hidden(_) => invalid("no matching binding found"),
        ExchangeDenial::TooLong(most) => invalid(too_long(*most)),
        ExchangeDenial::TooMany => other(StatusCode::TOO_MANY_REQUESTS, "slow_down", "too many requests"),
        ExchangeDenial::Unavailable(_) => {
            other(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again in a moment")
        }
        ExchangeDenial::Internal => {
            other(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal server error")
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), OAuthError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split_once(';').map_or(value, |(kind, _)| kind).trim();
    let form = kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    if form { Ok(()) } else { Err(invalid("Content-Type must be application/x-www-form-urlencoded")) }
}

fn read(body: &[u8]) -> Result<TokenForm, OAuthError> {
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(body).collect();
    let grant = once(&pairs, "grant_type")?.ok_or_else(|| invalid("grant_type is required"))?;
    if grant != GRANT {
        return Err(OAuthError {
            error: "unsupported_grant_type",
            ..invalid(format!("grant_type must be {GRANT}"))
        });
    }
    let subject_token = once(&pairs, "subject_token")?.ok_or_else(|| invalid("subject_token is required"))?;
    let kind =
        once(&pairs, "subject_token_type")?.ok_or_else(|| invalid("subject_token_type is required"))?;
    if ![JWT, ACCESS_TOKEN, ID_TOKEN].contains(&kind.as_str()) {
        return Err(invalid(format!("subject_token_type must be {JWT}, {ID_TOKEN} or {ACCESS_TOKEN}")));
    }
    if once(&pairs, "actor_token")?.is_some() {
        return Err(invalid("actor_token is not supported: a token of its own stands for the account"));
    }
    let issued_type = match once(&pairs, "requested_token_type")?.as_deref() {
        None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
        Some(JWT) => JWT,
        Some(_) => return Err(invalid(format!("requested_token_type must be {ACCESS_TOKEN} or {JWT}"))),
    };
    let (namespace, account) = target(&pairs)?;
    Ok(TokenForm { subject_token: SecretString::from(bare(&subject_token)), namespace, account, issued_type })
}

/// A parameter that must not be there twice. An empty one counts as absent.
fn once(pairs: &[(Cow<'_, str>, Cow<'_, str>)], name: &str) -> Result<Option<String>, OAuthError> {
    let mut values = pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
    let first = values.next().map(|(_, value)| value.to_string());
    if values.next().is_some() { Err(invalid(format!("{name} is there twice"))) } else { Ok(first) }
}

/// The one account that `audience` and `resource` name.
fn target(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<(String, String), OAuthError> {
    let values =
        pairs.iter().filter(|(key, value)| (key == "audience" || key == "resource") && !value.is_empty());
    let mut found = None;
    for (_, value) in values {
        let account = account(value).ok_or_else(|| {
            invalid_target("the target must be system:serviceaccount:NAMESPACE:NAME or NAMESPACE/NAME")
        })?;
        if found.replace(account.clone()).is_some_and(|before| before != account) {
            return Err(invalid_target("audience and resource name several accounts"));
        }
    }
    found.ok_or_else(|| invalid("audience or resource must name the account"))
}

/// `system:serviceaccount:NAMESPACE:NAME`, `NAMESPACE/NAME`, or a URL that ends in
/// `/namespaces/NAMESPACE/serviceaccounts/NAME`.
fn account(value: &str) -> Option<(String, String)> {
    let pair = match value.strip_prefix(USER) {
        Some(rest) => rest.split_once(':'),
        None => match value.rsplit_once("/namespaces/") {
            Some((_, rest)) => rest.split_once("/serviceaccounts/"),
            None => value.split_once('/'),
        },
    };
    let (namespace, name) = pair.filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())?;
    let plain = |part: &str| !part.contains(['/', ':']);
    (plain(namespace) && plain(name)).then(|| (namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type FormEdit = fn(&mut Vec<(&'static str, &'static str)>);

    fn form(change: impl Fn(&mut Vec<(&'static str, &'static str)>)) -> Result<TokenForm, OAuthError> {
        let mut pairs = vec![
            ("grant_type", GRANT),
            ("subject_token", "t"),
            ("subject_token_type", JWT),
            ("audience", "n/a"),
        ];
        change(&mut pairs);
        read(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().as_bytes())
    }

    #[test]
    fn the_target_has_three_spellings() {
        let expected = Some(("n".to_owned(), "a.b".to_owned()));
        for value in
            ["system:serviceaccount:n:a.b", "n/a.b", "https://k/api/v1/namespaces/n/serviceaccounts/a.b"]
        {
            assert_eq!(account(value), expected, "{value}");
        }
        for value in [
            "n",
            "n/",
            "/a",
            "n/a/b",
            "system:serviceaccount:n",
            "https://k/n/a",
            "system:serviceaccount:n:a:b",
        ] {
            assert_eq!(account(value), None, "{value}");
        }
    }

    #[test]
    fn a_body_that_is_not_there_has_its_error() {
        let table = [
            (UnreadBody::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
            (UnreadBody::Broken, StatusCode::BAD_REQUEST),
            (UnreadBody::TooSlow, StatusCode::REQUEST_TIMEOUT),
        ];
        for (unread, code) in table {
            assert_eq!(of_body(unread).code, code, "{unread:?}");
        }
    }

    #[test]
    fn a_form_is_read_or_has_its_error() {
        let read = form(|_| {}).unwrap();
        assert_eq!(
            (read.namespace.as_str(), read.account.as_str(), read.issued_type),
            ("n", "a", ACCESS_TOKEN)
        );
        let jwt = form(|pairs| pairs.push(("requested_token_type", JWT))).unwrap();
        assert_eq!(jwt.issued_type, JWT);
        assert!(form(|pairs| pairs.push(("resource", "n/a"))).is_ok());
        assert!(form(|pairs| pairs.push(("scope", "anything"))).is_ok());
        let table: [(FormEdit, &str); 10] = [
            (|pairs| pairs[0].1 = "password", "unsupported_grant_type"),
            (|pairs| _ = pairs.remove(0), "invalid_request"),
            (|pairs| _ = pairs.remove(1), "invalid_request"),
            (|pairs| _ = pairs.remove(2), "invalid_request"),
            (|pairs| pairs[2].1 = "urn:ietf:params:oauth:token-type:saml2", "invalid_request"),
            (|pairs| _ = pairs.remove(3), "invalid_request"),
            (|pairs| pairs.push(("subject_token", "u")), "invalid_request"),
            (|pairs| pairs.push(("actor_token", "u")), "invalid_request"),
            (|pairs| pairs[3].1 = "nobody", "invalid_target"),
            (|pairs| pairs.push(("resource", "n/b")), "invalid_target"),
        ];
        for (index, (change, error)) in table.into_iter().enumerate() {
            assert_eq!(form(change).unwrap_err().error, error, "row {index}");
        }
    }
}
