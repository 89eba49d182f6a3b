//! Bodies of requests: bounded in bytes and time, in one of two forms.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use portolan_core::auth::{ReviewRequest, Version};
use tokio::time::{Instant, timeout_at};

use super::{BODY_TIMEOUT, MAX_BODY_BYTES, problem::Problem};
use crate::protobuf;

/// What is read of a body that is too large, so that its sender hears the answer.
const MAX_THROWN_AWAY: usize = 4 * 1024 * 1024;

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
pub(crate) async fn read(parts: &Parts, mut body: Body) -> Result<Bytes, Problem> {
    let end = Instant::now() + BODY_TIMEOUT;
    let read = timeout_at(end, whole(&parts.headers, &mut body)).await.unwrap_or(Err(Problem::TooSlow));
    if read == Err(Problem::TooLarge) && parts.version == http::Version::HTTP_2 {
        // Who still sends would see its stream cut off, and not the answer.
        let _ = timeout_at(end, throw_away(body)).await;
    }
    read
}

async fn whole(headers: &HeaderMap, body: &mut Body) -> Result<Bytes, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(Problem::TooLarge);
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::TooLarge),
        Err(_) => Err(Problem::Broken),
    }
}

/// Reads on to the end, or as far as is bearable.
async fn throw_away(mut body: Body) {
    let mut left = MAX_THROWN_AWAY;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::{StreamExt as _, stream};

    use super::*;

    /// A body of so many parts of 32 KiB, and how many of them were read.
    fn parts_of(count: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let parts = stream::iter(0..count).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, io::Error>(Bytes::from(vec![b' '; 32 * 1024]))
        });
        (Body::from_stream(parts), read)
    }

    fn head(version: http::Version) -> Parts {
        http::Request::builder().version(version).body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn too_much_is_read_to_its_end_where_the_answer_would_be_lost() {
        let table = [
            (http::Version::HTTP_11, 2, Ok(64 * 1024), 2),
            (http::Version::HTTP_11, 100, Err(Problem::TooLarge), 3),
            (http::Version::HTTP_2, 2, Ok(64 * 1024), 2),
            (http::Version::HTTP_2, 100, Err(Problem::TooLarge), 100),
            // The three that are too much, the 128 that are borne, and one.
            (http::Version::HTTP_2, 1000, Err(Problem::TooLarge), 132),
        ];
        for (version, count, expected, taken) in table {
            let (body, seen) = parts_of(count);
            let got = read(&head(version), body).await.map(|body| body.len());
            assert_eq!((got, seen.load(Ordering::Relaxed)), (expected, taken), "{version:?} {count}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_not_a_slow_one() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("a bad chunk"))]);
        let read = read(&head(http::Version::HTTP_11), Body::from_stream(broken)).await;
        assert_eq!(read, Err(Problem::Broken));
        assert_eq!(Problem::Broken.label(), "bad_request");
    }
}
