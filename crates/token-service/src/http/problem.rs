//! Answers to requests that are not reviewed, in the words of Kubernetes.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portolan_core::auth::{ReviewAnswer, ReviewVersion};
use portolan_runtime::server::{
    answer::{ApiStatus, METHOD_NOT_ALLOWED, NOT_FOUND, json_response},
    body::UnreadBody,
};

/// Reasons why a request is not reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestProblem {
    /// Not JSON and not protobuf.
    MediaType,
    /// The body could not be read.
    Unread(UnreadBody),
    /// No cluster has this host.
    Host(ReviewVersion),
    /// Not a question.
    Body(ReviewVersion, String),
    /// Nothing is served here.
    NotFound,
    /// Something is, but not so.
    Method,
    /// The caller has shown no credential.
    Unauthenticated,
    /// The caller could not be identified now.
    CallerUnknown,
    /// The caller may not ask about this cluster.
    Forbidden,
    /// Too many questions.
    TooMany,
}

impl RequestProblem {
    /// The value of the `reason` label.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::MediaType => "media_type",
            Self::Unread(UnreadBody::TooLarge) => "too_large",
            Self::Unread(UnreadBody::TooSlow) => "too_slow",
            Self::Host(_) => "bad_host",
            Self::Body(..) | Self::Unread(UnreadBody::Broken) => "bad_request",
            Self::NotFound | Self::Method => "not_found",
            Self::Unauthenticated | Self::CallerUnknown | Self::Forbidden => "caller",
            Self::TooMany => "rate",
        }
    }

    fn status(&self) -> ApiStatus {
        let (code, reason, message) = match self {
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/vnd.kubernetes.protobuf",
            ),
            Self::Unread(unread) => (unread.code(), reason(*unread), unread.message()),
            Self::Host(_) | Self::Body(..) => (StatusCode::BAD_REQUEST, "BadRequest", ""),
            Self::NotFound => return NOT_FOUND,
            Self::Method => return METHOD_NOT_ALLOWED,
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"),
            Self::CallerUnknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "the token of the caller could not be checked, try again",
            ),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "Forbidden", "the caller may not ask about tokens of this cluster")
            }
            // Without Retry-After: clients of Kubernetes would hold a request for it.
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "too many requests"),
        };
        ApiStatus { code, reason, message }
    }
}

const fn reason(unread: UnreadBody) -> &'static str {
    match unread {
        UnreadBody::TooLarge => "RequestEntityTooLarge",
        UnreadBody::TooSlow => "Timeout",
        UnreadBody::Broken => "BadRequest",
    }
}

impl From<UnreadBody> for RequestProblem {
    fn from(unread: UnreadBody) -> Self {
        Self::Unread(unread)
    }
}

impl IntoResponse for RequestProblem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match &self {
            Self::Host(version) => {
                let answer = ReviewAnswer::Invalid("unable to determine cluster from host header");
                json_response(status.code, answer.to_json(*version))
            }
            Self::Body(version, text) => {
                json_response(status.code, ReviewAnswer::Invalid(text).to_json(*version))
            }
            _ => status.into_response(),
        };
        if self == Self::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"token-service\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_breaks_off_counts_as_a_bad_request() {
        assert_eq!(RequestProblem::from(UnreadBody::Broken).label(), "bad_request");
    }
}
