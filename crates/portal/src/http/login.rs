//! Login at the issuer, or as one of the people for demonstrations; and logout.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portolan_core::text::quoted;
use portolan_runtime::{clock, limits::RateSubject, server::body, telemetry::ErrorChain};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{pages, reply::answer};
use crate::{
    app::App,
    caller::Caller,
    door,
    session::{
        cookies,
        oidc::{LoginProof, OidcError},
        open::{SessionOwner, word},
    },
};

/// What a browser keeps, sealed, while it is at the issuer.
#[derive(Deserialize, Serialize)]
struct PendingLogin {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    /// The issuer was not to ask anything of the person.
    #[serde(default)]
    is_silent: bool,
    /// End, in seconds since 1970.
    ends: i64,
}

/// Seconds that a person has at the issuer.
const PATIENCE: i64 = 600;

const TOO_MANY: &str = "too many logins come from this address, wait a moment";
/// What is said about an answer of the issuer that this browser does not wait for.
const ANOTHER_LOGIN: &str = "this answer belongs to another login, begin anew";

/// Errors of an issuer that would have to ask the person something (`OpenID` Connect Core 1.0, section 3.1.2.6).
const TO_BE_ASKED: [&str; 4] =
    ["login_required", "interaction_required", "consent_required", "account_selection_required"];

/// `GET /login`: sends the browser to the issuer, or lists the people for demonstrations. With `prompt=none`, whoever is
/// signed in at the issuer comes back at once.
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let given = pairs(query.as_deref());
    let next = destination(given.get("next"));
    let is_silent = given.get("prompt").is_some_and(|prompt| prompt == "none");
    if !app.rates.allows(RateSubject::At(door::address(&request))) {
        return refused(StatusCode::TOO_MANY_REQUESTS, TOO_MANY);
    }
    if let Some(people) = &app.sessions.demo {
        let button = |name: &str| {
            let about = people.email(name).map(pages::escaped).unwrap_or_default();
            let name = pages::escaped(name);
            format!(
                "<li><button class=\"person\" name=\"user\" value=\"{name}\"><strong>{name}</strong>\
                 <span>{about}</span></button></li>"
            )
        };
        let list: String = people.names().map(button).collect();
        return pages::filled("login.html", StatusCode::OK, &[("people", &list), ("next", &next)]);
    }
    let Some(oidc) = &app.sessions.oidc else {
        return refused(StatusCode::NOT_FOUND, "this portal has no issuer to log in at: use a bearer token");
    };
    let proof = LoginProof { state: word(), nonce: word(), verifier: format!("{}{}", word(), word()) };
    match oidc.login_url(&proof, is_silent).await {
        Ok(url) => {
            let ends = clock::now().as_second() + PATIENCE;
            let LoginProof { state, nonce, verifier } = proof;
            let pending = PendingLogin { state, nonce, verifier, next, is_silent, ends };
            let sealed = serde_json::to_vec(&pending).unwrap_or_default();
            redirect(&url, app.sessions.login_begins(&sealed))
        }
        Err(error) => {
            warn!("nobody can log in: {}", ErrorChain(&error));
            app.metrics.login(false);
            refused(StatusCode::BAD_GATEWAY, &error.to_string())
        }
    }
}

/// `GET /callback`: the browser comes back from the issuer.
pub(super) async fn finish(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if !app.returns.allows(RateSubject::At(door::address(&request))) {
        return refused(StatusCode::TOO_MANY_REQUESTS, TOO_MANY);
    }
    let given = pairs(query.as_deref());
    let (parts, _) = request.into_parts();
    let result = exchanged(&app, &given, &parts.headers).await;
    if !matches!(result, Ok(LoginOutcome::ToBeAsked { .. })) {
        app.metrics.login(result.is_ok());
    }
    match result {
        Ok(LoginOutcome::SignedIn { next, mut set }) => {
            set.extend(app.sessions.login_over());
            redirect(&next, set)
        }
        Ok(LoginOutcome::ToBeAsked { next }) => {
            let next = form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>();
            redirect(&format!("/login?next={next}"), app.sessions.login_over())
        }
        Err((code, why)) => {
            info!("a login failed: {why}");
            let mut response = refused(code, &why);
            // Another tab may wait for its own answer, and any page can send a browser here.
            if why != ANOTHER_LOGIN {
                cookies::add(response.headers_mut(), app.sessions.login_over());
            }
            response
        }
    }
}

type LoginFailure = (StatusCode, String);

/// What came of a visit to the issuer.
enum LoginOutcome {
    SignedIn {
        next: String,
        set: Vec<HeaderValue>,
    },
    /// A silent login does not do: the issuer has to ask the person something.
    ToBeAsked {
        next: String,
    },
}

async fn exchanged(
    app: &App,
    given: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<LoginOutcome, LoginFailure> {
    let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
    let oidc = app.sessions.oidc.as_ref().ok_or_else(|| bad("this portal has no issuer to log in at"))?;
    let pending =
        app.sessions.login_of(headers).and_then(|plain| serde_json::from_slice::<PendingLogin>(&plain).ok());
    let pending = pending.filter(|pending| clock::now().as_second() < pending.ends);
    let pending =
        pending.ok_or_else(|| bad("this login began in another browser or too long ago, begin anew"))?;
    if given.get("state") != Some(&pending.state) {
        return Err(bad(ANOTHER_LOGIN));
    }
    if let Some(error) = given.get("error") {
        if pending.is_silent && TO_BE_ASKED.contains(&error.as_str()) {
            return Ok(LoginOutcome::ToBeAsked { next: pending.next });
        }
        return Err((StatusCode::FORBIDDEN, format!("the issuer refused: {}", quoted(error))));
    }
    let code = given.get("code").ok_or_else(|| bad("the issuer sent no code, begin anew"))?;
    let PendingLogin { state, nonce, verifier, next, .. } = pending;
    let proof = LoginProof { state, nonce, verifier };
    let issuer = given.get("iss").map(String::as_str);
    let tokens = oidc.exchange(code, issuer, &proof).await.map_err(|error| {
        let code = match error {
            OidcError::Silent(_) | OidcError::Discovery(_) | OidcError::OtherIssuer(_) => {
                StatusCode::BAD_GATEWAY
            }
            OidcError::TooLong(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            OidcError::Refused(_) | OidcError::Token(_) | OidcError::Foreign => StatusCode::FORBIDDEN,
        };
        (code, error.to_string())
    })?;
    let set = app.sessions.begin(SessionOwner::Oidc(tokens), clock::now());
    set.map(|set| LoginOutcome::SignedIn { next, set }).map_err(|problem| (problem.status, problem.error))
}

/// `POST /login`: as one of the people for demonstrations.
pub(super) async fn as_demo(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(people) = &app.sessions.demo else {
        return refused(StatusCode::NOT_FOUND, "this portal has no people for demonstrations");
    };
    let (parts, body) = request.into_parts();
    let is_foreign = parts.headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin");
    let Ok(bytes) = body::read(&parts, body).await else {
        return refused(StatusCode::BAD_REQUEST, "the form did not come");
    };
    let given = pairs(std::str::from_utf8(&bytes).ok());
    let name = given.get("user").filter(|name| people.has(name) && !is_foreign);
    app.metrics.login(name.is_some());
    let Some(name) = name else { return refused(StatusCode::FORBIDDEN, "there is no such person here") };
    let next = destination(given.get("next"));
    match app.sessions.begin(SessionOwner::Demo(name.clone()), clock::now()) {
        Ok(set) => redirect(&next, set),
        Err(problem) => problem.into_response(),
    }
}

/// `POST /logout`: ends the session here and its refresh token at the issuer.
pub(super) async fn end(State(app): State<Arc<App>>, Extension(caller): Extension<Arc<Caller>>) -> Response {
    let mut response = answer(StatusCode::OK, &serde_json::json!({"location": "/"}));
    if let Some(opened) = &caller.session {
        let cleared = app.sessions.end_now(&opened.session).await;
        cookies::add(response.headers_mut(), cleared);
    }
    response
}

fn pairs(query: Option<&str>) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}

/// Where a login leads: to a path of ours, with all other letters than those of ASCII as headers can have them.
fn destination(next: Option<&String>) -> String {
    let Some(next) = next.filter(|next| is_ours(next)) else { return "/".to_owned() };
    let mut path = String::with_capacity(next.len());
    for byte in next.bytes() {
        if byte.is_ascii() {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// Returns `true` for a path of this portal: not for another host, however a browser may read it.
fn is_ours(next: &str) -> bool {
    let mut characters = next.chars();
    characters.next() == Some('/')
        && !matches!(characters.next(), Some('/' | '\\'))
        && next.len() <= 2048
        && !next.chars().any(|character| character.is_control() || character == '\\')
}

fn redirect(to: &str, set: Vec<HeaderValue>) -> Response {
    let Ok(location) = HeaderValue::try_from(to) else {
        return refused(StatusCode::BAD_GATEWAY, "the issuer's address is not a URL");
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    cookies::add(response.headers_mut(), set);
    response
}

/// A page for people that says what is wrong.
fn refused(code: StatusCode, why: &str) -> Response {
    pages::filled("notice.html", code, &[("title", "You are not signed in"), ("detail", why)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_path_of_ours() {
        for ours in ["/", "/keys", "/products/a/b?x=1#keys"] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "",
            "keys",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "https://evil.example",
            "/\t/evil",
            "/a\r\nb: c",
        ] {
            assert!(!is_ours(foreign), "{foreign:?}");
            assert_eq!(destination(Some(&foreign.to_owned())), "/");
        }
        assert_eq!(destination(None), "/");
        assert_eq!(destination(Some(&"/?search=Öl 7%20#ß".to_owned())), "/?search=%C3%96l 7%20#%C3%9F");
    }
}
