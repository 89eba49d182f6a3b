//! Counts the requests of every client of the process, by cluster and verb.

use std::{
    sync::OnceLock,
    task::{Context, Poll},
};

use http::Request;
use tower::{Layer, Service};

use crate::metrics::{Counters, Metrics};

/// Once per process: clients are made in many places, and their requests are one figure.
static REQUESTS: OnceLock<Counters> = OnceLock::new();

/// Counts the requests of all clients that are made from now on.
pub(super) fn register(metrics: &Metrics) {
    REQUESTS.get_or_init(|| {
        metrics.counters(
            "api_requests_total",
            "Requests to API servers by cluster (own or remote) and verb.",
            &["cluster", "verb"],
        )
    });
}

/// Adds counting to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// `own` or `remote`.
    pub(super) cluster: &'static str,
}

/// A client that counts.
#[derive(Clone, Debug)]
pub(super) struct Counting<S> {
    inner: S,
    cluster: &'static str,
}

impl<S> Layer<S> for Count {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, cluster: self.cluster }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Counting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(requests) = REQUESTS.get() {
            requests.with_label_values(&[self.cluster, verb(&request)]).inc();
        }
        self.inner.call(request)
    }
}

/// The verb as Kubernetes says it. `kube` notes what it is about to do, subresource included: `patch_status`.
fn verb<B>(request: &Request<B>) -> &'static str {
    match request.extensions().get::<&'static str>() {
        Some(noted) => noted.split('_').next().unwrap_or(noted),
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_count_as_their_verb() {
        let table = [("list_metadata", "list"), ("patch_status", "patch"), ("create", "create")];
        for (noted, expected) in table {
            let mut request = Request::new(());
            request.extensions_mut().insert(noted);
            assert_eq!(verb(&request), expected);
        }
        assert_eq!(verb(&Request::new(())), "other");
    }
}
