//! Refusals of API servers, as errors of an answer.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::refused::RefusedAnswer;
use crate::error::{ErrorCode, GraphError};

/// Maximum length of a quoted text that is not a `Status`.
const MAX_TEXT: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    kind: String,
    message: String,
    reason: String,
    details: Option<Value>,
    code: u16,
}

/// The error for an answer without success. `doing` begins the message, if it is given.
pub fn of_answer(refused: &RefusedAnswer, doing: Option<&str>) -> GraphError {
    let status: Status = serde_json::from_slice(&refused.body).unwrap_or_default();
    let code = code(refused.status, &status.reason);
    let message = if status.kind == "Status" && !status.message.is_empty() {
        status.message.clone()
    } else {
        let text: String = String::from_utf8_lossy(&refused.body).chars().take(MAX_TEXT).collect();
        format!("the API server answered {}: {}", refused.status.as_u16(), text.trim())
    };
    let message = doing.map_or_else(|| message.clone(), |doing| format!("{doing}: {message}"));
    let mut error = GraphError::new(code, message);
    if status.kind == "Status" {
        let number = if status.code == 0 { refused.status.as_u16() } else { status.code };
        let mut details = serde_json::json!({"code": number, "reason": status.reason});
        if let Some(more) = status.details {
            details["details"] = more;
        }
        error.details = Some(Box::new(details));
    }
    error
}

fn code(status: StatusCode, reason: &str) -> ErrorCode {
    match (status.as_u16(), reason) {
        (_, "AlreadyExists") => ErrorCode::AlreadyExists,
        (_, "Expired") | (410, _) => ErrorCode::Expired,
        (401, _) => ErrorCode::Unauthenticated,
        (403, _) => ErrorCode::Forbidden,
        (404, _) => ErrorCode::NotFound,
        (409, _) => ErrorCode::Conflict,
        (429, _) => ErrorCode::TooManyRequests,
        (408 | 504, _) => ErrorCode::Timeout,
        (400..=499, _) => ErrorCode::Invalid,
        _ => ErrorCode::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_words_and_get_a_code() {
        let body = r#"{"kind":"Status","message":"secrets is forbidden","reason":"Forbidden","details":{"kind":"secrets"},"code":403}"#;
        let refused = RefusedAnswer { status: StatusCode::FORBIDDEN, body: body.as_bytes().into() };
        let error = of_answer(&refused, Some("unable to list objects"));
        assert_eq!(
            (error.message.as_str(), error.code),
            ("unable to list objects: secrets is forbidden", ErrorCode::Forbidden)
        );
        assert_eq!(error.details.unwrap()["details"]["kind"], "secrets");
        let odd = RefusedAnswer { status: StatusCode::BAD_GATEWAY, body: "<html>".into() };
        assert_eq!(of_answer(&odd, None).message, "the API server answered 502: <html>");
        for (status, reason, expected) in [
            (409, "AlreadyExists", ErrorCode::AlreadyExists),
            (409, "Conflict", ErrorCode::Conflict),
            (410, "Expired", ErrorCode::Expired),
            (422, "Invalid", ErrorCode::Invalid),
            (500, "", ErrorCode::Unavailable),
        ] {
            assert_eq!(code(StatusCode::from_u16(status).unwrap(), reason), expected);
        }
    }
}
