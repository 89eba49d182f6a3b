//! Bodies of requests: bounded in bytes and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

/// Limit for a client to send a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any question has.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Bytes that are read of a body that is too large, so that its sender hears the answer.
const MAX_THROWN_AWAY: usize = 4 * 1024 * 1024;

/// Reasons why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadBody {
    /// It has more bytes than any question.
    TooLarge,
    /// It did not come.
    TooSlow,
    /// It ended before its end.
    Broken,
}

impl UnreadBody {
    /// The status code of the answer.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    /// The message for the sender.
    pub const fn message(self) -> &'static str {
        match self {
            Self::TooLarge => "request body too large",
            Self::TooSlow => "the request did not come in time",
            Self::Broken => "the body of the request could not be read",
        }
    }
}

/// The whole body.
pub async fn read(parts: &Parts, body: Body) -> Result<Bytes, UnreadBody> {
    read_up_to(MAX_BODY_BYTES, parts, body).await
}

/// The whole body, up to another limit than the usual one.
pub async fn read_up_to(limit: usize, parts: &Parts, mut body: Body) -> Result<Bytes, UnreadBody> {
    let end = Instant::now() + BODY_TIMEOUT;
    let read =
        timeout_at(end, whole(limit, &parts.headers, &mut body)).await.unwrap_or(Err(UnreadBody::TooSlow));
    if read == Err(UnreadBody::TooLarge) && parts.version == http::Version::HTTP_2 {
        // Who still sends would see its stream cut off, and not the answer.
        let _ = timeout_at(end, throw_away(body)).await;
    }
    read
}

async fn whole(limit: usize, headers: &HeaderMap, body: &mut Body) -> Result<Bytes, UnreadBody> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(UnreadBody::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(UnreadBody::TooLarge),
        Err(_) => Err(UnreadBody::Broken),
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
            (http::Version::HTTP_11, 100, Err(UnreadBody::TooLarge), 3),
            (http::Version::HTTP_2, 2, Ok(64 * 1024), 2),
            (http::Version::HTTP_2, 100, Err(UnreadBody::TooLarge), 100),
            // The three that are too much, the 128 that are borne, and one.
            (http::Version::HTTP_2, 1000, Err(UnreadBody::TooLarge), 132),
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
        assert_eq!(read, Err(UnreadBody::Broken));
    }
}
