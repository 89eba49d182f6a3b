//! Bodies of requests: bounded in bytes and time, in one of two forms.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use portolan_core::auth::{ReviewRequest, Version};
use tokio::time::timeout;

use super::{BODY_TIMEOUT, MAX_BODY_BYTES, problem::Problem};
use crate::protobuf;

/// How a question is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Protobuf,
}

impl Form {
    /// No content type means JSON, as it does for API servers.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let value = value.to_str().map_err(|_| Problem::MediaType)?;
        let kind = value.split_once(';').map_or(value, |(kind, _)| kind).trim();
        if kind.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if kind.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf") {
            Ok(Self::Protobuf)
        } else {
            Err(Problem::MediaType)
        }
    }

    /// The question. Its own version counts where it names one: kube-apiserver sends v1beta1 to whatever URL
    /// its kubeconfig has.
    pub(super) fn parse(self, body: &[u8], version: Version) -> Result<ReviewRequest, Problem> {
        let parsed = match self {
            Self::Json => ReviewRequest::parse_json(body, version),
            Self::Protobuf => protobuf::parse(body, version),
        };
        parsed.map_err(|error| Problem::Body(version, error.to_string()))
    }
}

/// The whole body.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(Problem::TooLarge);
    }
    let whole = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    match whole.map_err(|_| Problem::TooSlow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::TooLarge),
        Err(_) => Err(Problem::TooSlow),
    }
}
