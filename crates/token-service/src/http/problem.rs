//! Answers to requests that are not reviewed, in the words of Kubernetes.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portolan_core::auth::{Answer, Version};
use portolan_runtime::server::{
    answer::{METHOD_NOT_ALLOWED, NOT_FOUND, Status, json_response},
    body::Unread,
};

/// Why a request is not reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Not JSON and not protobuf.
    MediaType,
    /// The body is not there.
    Unread(Unread),
    /// No cluster has this host.
    Host(Version),
    /// Not a question.
    Body(Version, String),
    /// Nothing is served here.
    NotFound,
    /// Something is, but not so.
    Method,
    /// Who asks did not say who it is.
    Unauthenticated,
    /// Who asks could not be found out now.
    CallerUnknown,
    /// Who asks may not ask about this cluster.
    Forbidden,
    /// Too many questions.
    TooMany,
}

impl Problem {
    /// The value of the `reason` label.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::MediaType => "media_type",
            Self::Unread(Unread::TooLarge) => "too_large",
            Self::Unread(Unread::TooSlow) => "too_slow",
            Self::Host(_) => "bad_host",
            Self::Body(..) | Self::Unread(Unread::Broken) => "bad_request",
            Self::NotFound | Self::Method => "not_found",
            Self::Unauthenticated | Self::CallerUnknown | Self::Forbidden => "caller",
            Self::TooMany => "rate",
        }
    }

    fn status(&self) -> Status {
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
        Status { code, reason, message }
    }
}

const fn reason(unread: Unread) -> &'static str {
    match unread {
        Unread::TooLarge => "RequestEntityTooLarge",
        Unread::TooSlow => "Timeout",
        Unread::Broken => "BadRequest",
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match &self {
            Self::Host(version) => {
                let answer = Answer::Invalid("unable to determine cluster from host header");
                json_response(status.code, answer.to_json(*version))
            }
            Self::Body(version, text) => json_response(status.code, Answer::Invalid(text).to_json(*version)),
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
        assert_eq!(Problem::from(Unread::Broken).label(), "bad_request");
    }
}
