//! Answers that services give in the same way: JSON that nobody keeps, and the `ApiStatus` of Kubernetes.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// The answer to a path that nothing is served at.
pub const NOT_FOUND: ApiStatus = ApiStatus {
    code: StatusCode::NOT_FOUND,
    reason: "NotFound",
    message: "the server could not find the requested resource",
};
/// The answer to a method that is not for this path.
pub const METHOD_NOT_ALLOWED: ApiStatus = ApiStatus {
    code: StatusCode::METHOD_NOT_ALLOWED,
    reason: "MethodNotAllowed",
    message: "the server does not allow this method on the requested resource",
};

/// A failure in the words of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiStatus {
    /// The status code.
    pub code: StatusCode,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: &'static str,
}

impl ApiStatus {
    pub(super) fn to_json(self) -> String {
        let Self { code, reason, message } = self;
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code.as_u16(),
        });
        status.to_string()
    }
}

impl IntoResponse for ApiStatus {
    fn into_response(self) -> Response {
        json_response(self.code, self.to_json())
    }
}

/// JSON that is not to be kept by anybody in between.
pub fn json_response(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
