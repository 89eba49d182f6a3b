//! The answers of `POST /exchangeToken` that are no token: one rung for each thing that can be wrong, in the
//! words that its clients know.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portolan_runtime::server::{answer::json_response, body::UnreadBody};
use serde::Serialize;

use crate::outcome::ExchangeDenial;

/// Seconds that a client waits that was too quick, or that came during an outage.
const TOO_MANY_PAUSE: &str = "1";
const OUTAGE_PAUSE: &str = "5";

/// Reasons why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefusalRung {
    Method,
    NoMediaType,
    MediaType,
    NoToken,
    SeveralTokens,
    Scheme,
    LongToken,
    Malformed(String),
    Required(&'static str),
    TooLong(&'static str),
    Body(UnreadBody),
    Denied(ExchangeDenial),
}

/// The body of every rung.
#[derive(Serialize)]
struct ErrorBody<'a> {
    name: &'a str,
    id: &'a str,
    message: &'a str,
}

impl RefusalRung {
    /// Status, name and message.
    fn words(&self) -> (StatusCode, &'static str, String) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        let own = str::to_owned;
        let (code, name, text) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", own("Method Not Allowed")),
            Self::NoMediaType => (BAD, "bad_request", own(MEDIA_TYPE)),
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", own(MEDIA_TYPE))
            }
            Self::NoToken => (StatusCode::FORBIDDEN, "forbidden", own("missing token")),
            Self::SeveralTokens => (BAD, "bad_request", own("more than one Authorization header")),
            Self::Scheme => (BAD, "bad_request", own("Authorization header must start with 'Bearer '")),
            Self::LongToken => (BAD, "bad_request", own("Authorization token too long")),
            Self::Malformed(problem) => (BAD, "bad_request", format!("invalid request body: {problem}")),
            Self::Required(member) => (BAD, "bad_request", format!("{member} is required")),
            Self::TooLong(member) => (BAD, "bad_request", format!("{member} too long")),
            Self::Body(unread) => (unread.code(), name(*unread), own(unread.message())),
            Self::Denied(denied) => return of_denied(denied),
        };
        (code, name, text)
    }
}

const fn name(unread: UnreadBody) -> &'static str {
    match unread {
        UnreadBody::TooLarge => "request_too_large",
        UnreadBody::TooSlow => "timeout",
        UnreadBody::Broken => "bad_request",
    }
}

const MEDIA_TYPE: &str = "Content-Type header must be application/json";

fn of_denied(denied: &ExchangeDenial) -> (StatusCode, &'static str, String) {
    match denied {
        ExchangeDenial::Hidden(_) => (StatusCode::NOT_FOUND, "error", "no matching binding found".to_owned()),
        ExchangeDenial::TooLong(most) => (StatusCode::BAD_REQUEST, "error", too_long(*most)),
        ExchangeDenial::TooMany => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests".to_owned())
        }
        ExchangeDenial::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "the token could not be exchanged now, try again".to_owned(),
        ),
        ExchangeDenial::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "error", "internal server error".to_owned())
        }
    }
}

/// The message to a caller whose token lives longer than it may.
pub(super) fn too_long(most: Duration) -> String {
    let most = match most.as_secs() {
        3600 => "one hour".to_owned(),
        seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    };
    format!("only tokens with a validity of {most} or less are accepted")
}

/// Says when to come again, where that helps.
pub(super) fn with_pause(mut response: Response) -> Response {
    let pause = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => TOO_MANY_PAUSE,
        StatusCode::SERVICE_UNAVAILABLE => OUTAGE_PAUSE,
        _ => return response,
    };
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(pause));
    response
}

impl From<ExchangeDenial> for RefusalRung {
    fn from(denied: ExchangeDenial) -> Self {
        Self::Denied(denied)
    }
}

impl IntoResponse for RefusalRung {
    fn into_response(self) -> Response {
        let (code, name, message) = self.words();
        let id = code.canonical_reason().unwrap_or_default();
        let body = serde_json::to_string(&ErrorBody { name, id, message: &message }).unwrap_or_default();
        let mut response = with_pause(json_response(code, body + "\n"));
        if self == Self::Method {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_breaks_off_is_not_a_slow_one() {
        let words = |unread| RefusalRung::Body(unread).words();
        let broken = "the body of the request could not be read".to_owned();
        assert_eq!(words(UnreadBody::Broken), (StatusCode::BAD_REQUEST, "bad_request", broken));
        assert_eq!(words(UnreadBody::TooSlow).0, StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn a_lifetime_is_said_as_people_say_it() {
        let words = |seconds| too_long(Duration::from_secs(seconds));
        assert_eq!(words(3600), "only tokens with a validity of one hour or less are accepted");
        assert!(words(5400).contains("90 minutes") && words(61).contains("61 seconds"));
    }
}
