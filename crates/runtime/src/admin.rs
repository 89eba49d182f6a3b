//! The admin port: `/metrics`, `/livez`, and `/readyz`, which says what is missing.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use tokio::net::TcpListener;
use tracing::info;

use crate::{metrics::Metrics, readiness::Readiness, tasks::Tasks};

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: choose another address, or stop what uses it")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Serves a router until the tasks are cancelled, then finishes the requests under way.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn serve(tasks: &Tasks, address: SocketAddr, router: Router) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let stop = tasks.clone();
    tasks.spawn_graceful(async move {
        let server =
            axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        // Accept errors are retried inside; the server ends only when it is cancelled.
        let _ = server.await;
    });
    info!(address = %local, "listening");
    Ok(local)
}

/// The routes of the admin port.
pub fn router(metrics: Metrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(async move || metrics.render()))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

async fn readyz(
    State(readiness): State<Readiness>,
    Query(query): Query<BTreeMap<String, String>>,
) -> (StatusCode, String) {
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match (ready, query.contains_key("verbose")) {
        (true, false) => "ok\n".to_owned(),
        _ => readiness.report(),
    };
    (status, body)
}
