//! The gate of a session: a client that writes nothing while it is not known whose the contract is.

use std::sync::Arc;

use http::Method;
use kube::{Client, client::Body};
use tokio::sync::watch;

/// The error of a request that the gate refused.
#[derive(Debug, thiserror::Error)]
#[error("nothing is written to this provider until the contract is known to be this cluster's")]
struct GateClosed;

/// The gate in front of a session's writes.
#[derive(Clone, Debug)]
pub(super) struct WriteGate(Arc<watch::Sender<bool>>);

impl Default for WriteGate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl WriteGate {
    pub(super) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the session may write.
    pub(super) async fn opened(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }

    pub(super) fn set(&self, open: bool) {
        self.0.send_replace(open);
    }

    /// A client that reads at any time, and writes while the gate is open.
    pub(super) fn guard(&self, client: Client) -> Client {
        let (gate, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (client, passes) = (client.clone(), gate.lets_pass(request.method()));
            async move {
                if passes {
                    client.send(request).await
                } else {
                    Err(kube::Error::Service(Box::new(GateClosed)))
                }
            }
        });
        Client::new(service, namespace)
    }

    fn lets_pass(&self, method: &Method) -> bool {
        self.is_open() || method == Method::GET || method == Method::HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_write_may_read() {
        let gate = WriteGate::default();
        for (open, method, passes) in [
            (false, Method::GET, true),
            (false, Method::POST, false),
            (false, Method::PATCH, false),
            (false, Method::PUT, false),
            (false, Method::DELETE, false),
            (true, Method::DELETE, true),
            (true, Method::GET, true),
        ] {
            gate.set(open);
            assert_eq!(gate.lets_pass(&method), passes, "{open} {method}");
        }
    }
}
