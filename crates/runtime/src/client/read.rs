//! Reads of untyped JSON, such as discovery and OpenAPI, limited in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use kube::{Client, client::Body};
use tokio::time::timeout;

use crate::capped::{self, CappedError, Pace};

/// Reasons why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request failed.
    #[error("the request failed")]
    Failed(#[source] kube::Error),
    /// It took too long.
    #[error("no complete answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The status is not a success.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The answer is not JSON.
    #[error("the answer is not JSON but {0:?}")]
    NotJson(String),
    /// The answer is too large.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The answer broke off.
    #[error("the answer broke off")]
    Broken(#[source] kube::Error),
}

/// Asks a cluster for JSON at a path, and returns the body of its answer. Its head must come within `patience`.
///
/// # Errors
/// See [`ReadError`]. It does not repeat any part of the answer.
pub async fn open(client: &Client, path: &str, accept: &str, patience: Duration) -> Result<Body, ReadError> {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty());
    let request = request.map_err(|error| ReadError::Failed(kube::Error::HttpError(error)))?;
    let answered = timeout(patience, client.send(request)).await;
    let response = answered.map_err(|_| ReadError::Timeout(patience))?.map_err(ReadError::Failed)?;
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(ReadError::Status(parts.status));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    // API servers serve the index of their OpenAPI as plain text.
    let may_be_json =
        kind.is_empty() || kind.starts_with("application/json") || kind.starts_with("text/plain");
    if may_be_json { Ok(body) } else { Err(ReadError::NotJson(kind.chars().take(80).collect())) }
}

/// Reads a body that comes at a pace.
///
/// # Errors
/// See [`ReadError`].
pub async fn read_body(body: Body, max_bytes: usize, pace: Pace) -> Result<Bytes, ReadError> {
    let read = capped::read_at_pace(body, max_bytes, pace).await;
    read.map_err(|_| ReadError::Timeout(pace.within))?.map_err(|error| match error {
        CappedError::TooLarge => ReadError::TooLarge(max_bytes),
        CappedError::Broken(error) => ReadError::Broken(error),
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);
    const PACE: Pace = Pace { bytes: 8, within: Duration::from_secs(10) };

    async fn read(client: Client) -> Result<Bytes, ReadError> {
        read_body(open(&client, "/x", "application/json", PATIENCE).await?, 16, PACE).await
    }

    fn server(status: u16, kind: &'static str, body: &'static str) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let response = http::Response::builder().status(status).header(header::CONTENT_TYPE, kind);
            Ok::<_, std::convert::Infallible>(response.body(Body::from(body.as_bytes().to_vec())).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        for kind in ["application/json; a=b", "text/plain; charset=utf-8"] {
            assert_eq!(&read(server(200, kind, "{}")).await.unwrap()[..], b"{}");
        }
        assert!(matches!(
            read(server(401, "application/json", "{}")).await,
            Err(ReadError::Status(StatusCode::UNAUTHORIZED))
        ));
        assert!(
            matches!(read(server(200, "text/html", "<html>")).await, Err(ReadError::NotJson(kind)) if kind == "text/html")
        );
        assert!(matches!(
            read(server(200, "application/json", "[1,2,3,4,5,6,7,8,9]")).await,
            Err(ReadError::TooLarge(16))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_left() {
        let service = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let read = read(Client::new(service, "default")).await;
        assert!(matches!(read, Err(ReadError::Timeout(limit)) if limit == PATIENCE));
    }

    /// Four bytes at a time, the next after a pause.
    fn slow(pause: Duration) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let frames = stream::unfold(0, move |sent| async move {
                if sent == 3 {
                    return None;
                }
                sleep(pause).await;
                Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"abcd"))), sent + 1))
            });
            Ok::<_, std::convert::Infallible>(http::Response::new(StreamBody::new(frames)))
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_keeps_the_pace_is_waited_for() {
        // Eight bytes within ten seconds, and then the rest.
        assert_eq!(&read(slow(Duration::from_secs(4))).await.unwrap()[..], b"abcdabcdabcd");
        let read = read(slow(Duration::from_secs(6))).await;
        assert!(matches!(read, Err(ReadError::Timeout(limit)) if limit == PACE.within));
    }
}
