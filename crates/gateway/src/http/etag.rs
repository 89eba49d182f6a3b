//! Answers to GET, which a client may keep and ask for again. Each is of one caller: another one with the same data has
//! another tag, and nobody is told "not modified" before the token was proven.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Marks an answer as one that its client may keep, or says that the client has it already.
pub fn kept(tag: &str, asked: &HeaderMap, response: Response) -> Response {
    let mut response = if is_known(asked, tag) { not_modified() } else { response };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Accept, Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The tag of an answer. It is weak, since the bytes depend on compression.
pub fn of(caller: &str, answer: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(caller);
    hash.update([0]);
    hash.update(answer);
    format!("W/\"{:x}\"", hash.finalize())
}

fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| bare(known) == bare(tag))
}

fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_caller_and_one_answer() {
        let own = of("a", b"{}");
        assert!(own != of("b", b"{}") && own != of("a", b"[]") && own == of("a", b"{}"));
        let table = [
            (own.clone(), true),
            (format!("\"x\", {}", own.trim_start_matches("W/")), true),
            (of("b", b"{}"), false),
            ("*".to_owned(), false),
        ];
        for (sent, expected) in table {
            let mut asked = HeaderMap::new();
            asked.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            assert_eq!(is_known(&asked, &own), expected, "{sent}");
        }
    }
}
