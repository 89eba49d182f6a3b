//! Answers of JSON, and those without a body.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::Value;

/// An answer of JSON that nobody keeps.
pub(super) fn answer(code: StatusCode, body: &Value) -> Response {
    portolan_runtime::server::answer::json_response(code, body.to_string())
}

/// An answer without a body.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
