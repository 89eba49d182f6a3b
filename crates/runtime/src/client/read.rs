//! Reads of untyped JSON, such as discovery and OpenAPI, limited in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use kube::{Client, client::Body};
use tokio::time::timeout;

use crate::capped::{self, CappedError};

/// The limits of a read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Limit for the head of the answer.
    pub head: Duration,
    /// Limit for the whole answer.
    pub total: Duration,
    /// Maximum size of the answer.
    pub max_bytes: usize,
}

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

/// Reads JSON from a path of a cluster.
///
/// # Errors
/// See [`ReadError`]. It does not repeat any part of the answer.
pub async fn read(client: &Client, path: &str, accept: &str, limits: ReadLimits) -> Result<Bytes, ReadError> {
    timeout(limits.total, unhurried(client, path, accept, limits))
        .await
        .map_err(|_| ReadError::Timeout(limits.total))?
}

async fn unhurried(
    client: &Client,
    path: &str,
    accept: &str,
    limits: ReadLimits,
) -> Result<Bytes, ReadError> {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty());
    let request = request.map_err(|error| ReadError::Failed(kube::Error::HttpError(error)))?;
    let answered = timeout(limits.head, client.send(request)).await;
    let response = answered.map_err(|_| ReadError::Timeout(limits.head))?.map_err(ReadError::Failed)?;
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(ReadError::Status(parts.status));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    // API servers serve the index of their OpenAPI as plain text.
    let may_be_json =
        kind.is_empty() || kind.starts_with("application/json") || kind.starts_with("text/plain");
    if !may_be_json {
        return Err(ReadError::NotJson(kind.chars().take(80).collect()));
    }
    capped::read(body, limits.max_bytes).await.map_err(|error| match error {
        CappedError::TooLarge => ReadError::TooLarge(limits.max_bytes),
        CappedError::Broken(error) => ReadError::Broken(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReadLimits =
        ReadLimits { head: Duration::from_secs(5), total: Duration::from_secs(10), max_bytes: 16 };

    fn server(status: u16, kind: &'static str, body: &'static str) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let response = http::Response::builder().status(status).header(header::CONTENT_TYPE, kind);
            Ok::<_, std::convert::Infallible>(response.body(Body::from(body.as_bytes().to_vec())).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let ask = async |client: Client| read(&client, "/x", "application/json", LIMITS).await;
        for kind in ["application/json; a=b", "text/plain; charset=utf-8"] {
            assert_eq!(&ask(server(200, kind, "{}")).await.unwrap()[..], b"{}");
        }
        assert!(matches!(
            ask(server(401, "application/json", "{}")).await,
            Err(ReadError::Status(StatusCode::UNAUTHORIZED))
        ));
        assert!(
            matches!(ask(server(200, "text/html", "<html>")).await, Err(ReadError::NotJson(kind)) if kind == "text/html")
        );
        assert!(matches!(
            ask(server(200, "application/json", "[1,2,3,4,5,6,7,8,9]")).await,
            Err(ReadError::TooLarge(16))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_left() {
        let service = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let read = read(&Client::new(service, "default"), "/x", "application/json", LIMITS).await;
        assert!(matches!(read, Err(ReadError::Timeout(limit)) if limit == LIMITS.head));
    }
}
