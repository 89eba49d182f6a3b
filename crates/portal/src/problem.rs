//! Answers of errors: problem+json, which also carries the text as `error`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use portolan_runtime::server::body::UnreadBody;
use serde_json::{Value, json};

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The error, and what to do about it.
    pub error: String,
}

impl Problem {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication required")
    }

    /// The same for what does not exist and for what the caller may not know of.
    pub fn not_found(what: &str, namespace: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} {namespace}/{name} not found"))
    }

    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// A request that is understood, and makes no sense here.
    pub fn unprocessable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }

    pub fn too_many(error: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, error)
    }

    /// A refusal of an API server, in its own words.
    pub fn of_status(status: StatusCode, body: &[u8]) -> Self {
        let said = serde_json::from_slice::<Value>(body).ok();
        let message = said.as_ref().and_then(|said| said["message"].as_str()).filter(|said| !said.is_empty());
        let status = match status.as_u16() {
            400 | 401 | 403 | 404 | 409 | 410 | 422 | 429 => status,
            413 => StatusCode::PAYLOAD_TOO_LARGE,
            500..=599 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        let fallback = || format!("the API server answered {}", status.as_u16());
        Self::new(status, message.map_or_else(fallback, str::to_owned))
    }

    fn to_json(&self) -> Value {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut json = json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(),
            "detail": self.error, "error": self.error,
        });
        if self.status == StatusCode::UNAUTHORIZED {
            json["login"] = "/login".into();
        }
        json
    }
}

impl From<UnreadBody> for Problem {
    fn from(unread: UnreadBody) -> Self {
        Self::new(unread.code(), unread.message())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"portal\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_refused_keeps_its_words_and_its_meaning() {
        let body = |message: &str| json!({"kind": "Status", "message": message}).to_string();
        let table = [
            (403, body("no"), 403, "no"),
            (409, body("changed"), 409, "changed"),
            (422, body("spec.x: invalid"), 422, "spec.x: invalid"),
            (404, body(""), 404, "the API server answered 404"),
            (500, body("etcd"), 503, "etcd"),
            (302, "<html>".to_owned(), 502, "the API server answered 502"),
        ];
        for (code, said, expected, error) in table {
            let problem = Problem::of_status(StatusCode::from_u16(code).unwrap(), said.as_bytes());
            assert_eq!((problem.status.as_u16(), problem.error.as_str()), (expected, error));
        }
    }

    #[test]
    fn who_is_unknown_is_told_where_to_log_in() {
        let json = Problem::unauthenticated().to_json();
        assert_eq!((&json["login"], &json["error"]), (&json!("/login"), &json!("authentication required")));
        assert_eq!(Problem::forbidden("x").to_json().get("login"), None);
    }
}
