//! Rules for every request, whatever its route.

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};

use super::answer::ApiStatus;

/// The answer to a request that no route may see. Two hosts are one for a proxy and another for us.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    (hosts > 1).then(|| bad_request("too many Host headers"))
}

fn bad_request(message: &'static str) -> Response<Body> {
    let status = ApiStatus { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message };
    let mut response = Response::new(Body::from(status.to_json()));
    *response.status_mut() = status.code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Takes slashes from the end of a path, as API servers do.
pub(super) fn without_last_slash(uri: &mut Uri) {
    let path = uri.path().trim_end_matches('/');
    if path.is_empty() || path.len() == uri.path().len() {
        return;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    // A part of what was one is one.
    if let Ok(shorter) = Uri::from_parts(parts) {
        *uri = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_does_not_count() {
        let table = [
            ("/a/b/", "/a/b"),
            ("/a/b//", "/a/b"),
            ("/a/?x=/", "/a?x=/"),
            ("/a?x=/", "/a?x=/"),
            ("//a", "//a"),
            ("//a/", "//a"),
            ("/", "/"),
            ("//", "//"),
            ("http://h:1/a/", "http://h:1/a"),
            ("*", "*"),
        ];
        for (before, after) in table {
            let mut uri: Uri = before.parse().unwrap();
            without_last_slash(&mut uri);
            assert_eq!(uri.to_string(), after);
        }
    }

    #[test]
    fn one_host_is_enough() {
        let with = |hosts: &[&str]| {
            let builder =
                hosts.iter().fold(Request::builder(), |builder, host| builder.header("host", *host));
            refusal(&builder.body(()).unwrap()).map(|response| response.status().as_u16())
        };
        assert_eq!((with(&[]), with(&["a"]), with(&["a", "a"])), (None, None, Some(400)));
    }
}
