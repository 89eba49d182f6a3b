//! Input of handlers: the caller of a request, and its body as JSON.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Path as AxumPath, Request, State},
};
use http::request::Parts;
use portolan_runtime::server::body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{app::App, caller::Caller, problem::Problem};

/// The variable segments of a path. Those that are no text make a problem, as everything does.
pub(super) struct PathParams<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = AxumPath::<T>::from_request_parts(parts, state).await;
        let AxumPath(segments) =
            segments.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        Ok(Self(segments))
    }
}

/// The state and the caller of a request.
pub(super) type AppAndCaller = (State<Arc<App>>, Extension<Arc<Caller>>);

/// Longest body: a description of 64 KiB, and room for the rest.
const MAX_BODY: usize = 256 * 1024;

/// The body of a request, and its head.
pub(super) async fn read(request: Request) -> Result<(Parts, Value), Problem> {
    let (parts, body) = request.into_parts();
    let bytes = body::read_up_to(MAX_BODY, &parts, body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok((parts, Value::Object(serde_json::Map::new())));
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    if value.is_object() {
        Ok((parts, value))
    } else {
        Err(Problem::bad_request("the body is to be an object"))
    }
}

/// The body as a struct.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| Problem::bad_request(format!("invalid body: {error}")))
}

/// A text member; absent, null and blank are the same. What is no text is not passed over: somebody means it.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> Result<Option<&'a str>, Problem> {
    match &value[member] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        _ => Err(Problem::bad_request(format!("invalid body: {member} is to be text"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_text_or_not_there() {
        for (sent, expected) in [
            (json!({}), Ok(None)),
            (json!({"a": null}), Ok(None)),
            (json!({"a": " "}), Ok(None)),
            (json!({"a": " 0 "}), Ok(Some("0"))),
            (json!({"a": 0}), Err(400)),
            (json!({"a": ["x"]}), Err(400)),
        ] {
            assert_eq!(text(&sent, "a").map_err(|problem| problem.status.as_u16()), expected, "{sent}");
        }
    }
}
