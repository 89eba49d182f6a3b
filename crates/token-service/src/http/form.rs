//! The two forms of a question: JSON and protobuf.

use http::{HeaderMap, header};
use portolan_core::auth::{ReviewRequest, ReviewVersion};

use super::problem::RequestProblem;
use crate::protobuf;

/// The encodings of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Protobuf,
}

impl Form {
    /// No content type, or an empty one, means JSON, as it does for API servers.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, RequestProblem> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let value = value.to_str().map_err(|_| RequestProblem::MediaType)?;
        let kind = value.split_once(';').map_or(value, |(kind, _)| kind).trim();
        if value.is_empty() || kind.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if kind.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf") {
            Ok(Self::Protobuf)
        } else {
            Err(RequestProblem::MediaType)
        }
    }

    /// The question. Its own version counts where it names one: kube-apiserver sends v1beta1 to whatever URL
    /// its kubeconfig has.
    pub(super) fn parse(self, body: &[u8], version: ReviewVersion) -> Result<ReviewRequest, RequestProblem> {
        let parsed = match self {
            Self::Json => ReviewRequest::parse_json(body, version),
            Self::Protobuf => protobuf::parse(body, version),
        };
        parsed.map_err(|error| RequestProblem::Body(version, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_content_type_tells_the_form() {
        let table = [
            (None, Ok(Form::Json)),
            (Some(""), Ok(Form::Json)),
            (Some("application/json"), Ok(Form::Json)),
            (Some("Application/JSON ; charset=utf-8"), Ok(Form::Json)),
            (Some("application/vnd.kubernetes.protobuf"), Ok(Form::Protobuf)),
            (Some("application/vnd.kubernetes.protobuf;stream=watch"), Ok(Form::Protobuf)),
            (Some("; charset=utf-8"), Err(RequestProblem::MediaType)),
            (Some("application/yaml"), Err(RequestProblem::MediaType)),
            (Some("application/cbor"), Err(RequestProblem::MediaType)),
        ];
        for (value, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(Form::of(&headers), expected, "{value:?}");
        }
    }
}
