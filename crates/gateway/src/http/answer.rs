//! Answers: GraphQL's JSON, even for requests that are not GraphQL.

use std::io::Write as _;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::negotiate::{AnswerMedia, weighed};
use crate::error::{ErrorCode, GraphError, only_errors};

/// Size from which answers are compressed.
const COMPRESSED_FROM: usize = 1024;

/// A request that is not executed.
#[derive(Clone, Debug)]
pub struct RequestProblem {
    /// The status code.
    pub status: StatusCode,
    /// The errors.
    pub errors: Vec<GraphError>,
    /// The methods that would have been right, if it is about the method.
    pub allowed: &'static str,
}

impl RequestProblem {
    /// A problem with one error.
    pub fn new(status: StatusCode, error: GraphError) -> Self {
        Self::with(status, vec![error])
    }

    /// A problem with several.
    pub const fn with(status: StatusCode, errors: Vec<GraphError>) -> Self {
        Self { status, errors, allowed: "POST" }
    }

    /// There is no token, or it is not accepted.
    pub fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, GraphError::new(ErrorCode::Unauthenticated, message))
    }

    /// Nothing is served here.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            GraphError::new(ErrorCode::NotFound, "nothing is served at this path"),
        )
    }

    /// The request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, GraphError::new(ErrorCode::BadRequest, message))
    }

    /// A problem whose status follows from the code of the error.
    pub fn of(error: GraphError) -> Self {
        let status = match error.code {
            ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // Clients of Apollo's protocol then send the text, but only after this status.
            ErrorCode::PersistedQueryNotFound => StatusCode::OK,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error)
    }

    /// The answer in a form.
    pub fn respond(&self, media: AnswerMedia) -> Response {
        let mut response = json(self.status, media, only_errors(&self.errors));
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gateway\""));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static(self.allowed));
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for RequestProblem {
    fn into_response(self) -> Response {
        self.respond(AnswerMedia::Json)
    }
}

/// JSON that no proxy stores or shows to another caller.
pub fn json(status: StatusCode, media: AnswerMedia, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The same, compressed if the client accepts that.
pub fn compressed(status: StatusCode, media: AnswerMedia, body: Vec<u8>, asked: &HeaderMap) -> Response {
    if body.len() < COMPRESSED_FROM || !accepts_gzip(asked) {
        return json(status, media, body);
    }
    match tokio::task::block_in_place(|| gzip(&body)) {
        Ok(body) => packed(json(status, media, body)),
        Err(_) => json(status, media, body),
    }
}

/// Marks an answer as compressed.
pub(super) fn packed(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Returns `true` if the client accepts gzip.
pub(super) fn accepts_gzip(asked: &HeaderMap) -> bool {
    let wanted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    wanted.split(',').any(|coding| {
        let (name, quality) = weighed(coding.trim());
        name == "gzip" && quality > 0.0
    })
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
