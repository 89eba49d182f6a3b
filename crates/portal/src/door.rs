//! Authentication of every request to the API: a bearer token, or the cookie of a session.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, header};
use portolan_runtime::{
    clock,
    server::{
        Peer,
        bearer::{NoBearer, bearer},
    },
};

use crate::{
    app::App,
    caller::Caller,
    credential::{Credential, has_authorization, impersonates},
    problem::Problem,
    session::{cookies, open::Session},
};

/// Header of a request that a person has caused.
const ACTIVE: &str = "x-user-active";
/// Header of a change from a session.
const CSRF: &str = "x-csrf-token";

/// Lets in whom the API server knows, as an extension of the request. Nothing else resumes a session: what it was
/// renewed with goes out with every answer, since the issuer may not take the former refresh token once more.
pub async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let from = address(&request);
    let (mut parts, body) = request.into_parts();
    let mut renewed = Vec::new();
    let caller = identify(&app, &parts.method, &parts.headers, from, &mut renewed).await;
    let mut response = match caller {
        Ok(caller) => {
            parts.extensions.insert(Arc::new(caller));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    };
    // An answer with cookies of its own is that to a logout, which clears them.
    if !response.headers().contains_key(header::SET_COOKIE) {
        cookies::add(response.headers_mut(), renewed);
    }
    response
}

/// The address of a client.
pub fn address(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or_else(|| IpAddr::from([0, 0, 0, 0]), |peer| peer.address.ip())
}

/// The caller of a request. `renewed` gets the cookies for the answer, whether there is a caller or not.
async fn identify(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    from: IpAddr,
    renewed: &mut Vec<HeaderValue>,
) -> Result<Caller, Problem> {
    if impersonates(headers) {
        return Err(Problem::forbidden("Impersonate-* headers are refused: use the token of whom you mean"));
    }
    if has_authorization(headers) {
        let token = bearer(headers).map_err(|missing| match missing {
            NoBearer::Missing => Problem::unauthenticated(),
            NoBearer::Several | NoBearer::Scheme => Problem::new(
                http::StatusCode::UNAUTHORIZED,
                "the Authorization header is not one bearer token",
            ),
        })?;
        return app.callers.identify(&app.upstream, Credential::Token(token), None, from).await;
    }
    let resumed = app.sessions.resume(headers, is_use(method, headers), clock::now()).await?;
    *renewed = resumed.renewed;
    if is_change(method) {
        own_page(headers, &resumed.opened.session)?;
    }
    let session = Some(resumed.opened);
    app.callers.identify(&app.upstream, resumed.credential, session, from).await
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns `true` if a person has caused a request. A change that shows no token may come from another page, and keeps
/// no session although its answer brings cookies.
fn is_use(method: &Method, headers: &HeaderMap) -> bool {
    let is_own_change = is_change(method) && headers.contains_key(CSRF);
    is_own_change || headers.get(ACTIVE).is_some_and(|value| value == "1")
}

/// Refuses a change that another page may have made.
fn own_page(headers: &HeaderMap, session: &Session) -> Result<(), Problem> {
    let is_foreign =
        headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let shown = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_right = aws_lc_rs::constant_time::verify_slices_are_equal(shown, session.csrf.as_bytes()).is_ok();
    if is_right && !is_foreign {
        Ok(())
    } else {
        Err(Problem::forbidden("the header x-csrf-token is missing or wrong: take csrf from /api/me"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::session::open::SessionOwner;

    #[test]
    fn a_change_shows_that_it_comes_from_our_page() {
        let session = Session::new(SessionOwner::Demo("ann".into()), Timestamp::UNIX_EPOCH);
        let passes = |pairs: &[(&'static str, &str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| {
                    (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
                })
                .collect();
            own_page(&headers, &session).is_ok()
        };
        let csrf = session.csrf.as_str();
        assert!(passes(&[(CSRF, csrf)]) && passes(&[(CSRF, csrf), ("sec-fetch-site", "same-origin")]));
        for wrong in
            [&[][..], &[(CSRF, "")], &[(CSRF, "x")], &[(CSRF, csrf), ("sec-fetch-site", "cross-site")]]
        {
            assert!(!passes(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_another_page_can_send_is_no_use() {
        for (method, name, expected) in [
            (Method::GET, "accept", false),
            (Method::GET, CSRF, false),
            (Method::GET, ACTIVE, true),
            (Method::POST, "accept", false),
            (Method::POST, CSRF, true),
            (Method::DELETE, ACTIVE, true),
        ] {
            let name = http::HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("1"))]);
            assert_eq!(is_use(&method, &headers), expected, "{method} {name}");
        }
    }
}
