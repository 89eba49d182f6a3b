//! Answers to requests that are not reviewed, in the words of Kubernetes.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use portolan_core::auth::{Answer, Version};
use serde_json::json;

/// What is said of a body that broke off.
pub(crate) const BROKEN: &str = "the body of the request could not be read";

/// Why a request is not reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Not JSON and not protobuf.
    MediaType,
    /// More than any question has.
    TooLarge,
    /// The body did not come.
    TooSlow,
    /// The body ended before its end.
    Broken,
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
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Host(_) => "bad_host",
            Self::Body(..) | Self::Broken => "bad_request",
            Self::NotFound | Self::Method => "not_found",
            Self::Unauthenticated | Self::CallerUnknown | Self::Forbidden => "caller",
            Self::TooMany => "rate",
        }
    }

    fn status(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/vnd.kubernetes.protobuf",
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "request body too large")
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "Timeout", "the request did not come in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "BadRequest", BROKEN),
            Self::Host(_) | Self::Body(..) => (StatusCode::BAD_REQUEST, "BadRequest", ""),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
            }
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            ),
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
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, reason, message) = self.status();
        let body = match &self {
            Self::Host(version) => {
                Answer::Invalid("unable to determine cluster from host header").to_json(*version)
            }
            Self::Body(version, text) => Answer::Invalid(text).to_json(*version),
            _ => json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code.as_u16(),
            })
            .to_string()
            .into_bytes(),
        };
        let mut response = json_response(code, body);
        if self == Self::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"token-service\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// JSON that is not to be kept by anybody in between.
pub(crate) fn json_response(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
