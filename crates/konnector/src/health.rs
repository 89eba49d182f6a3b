//! `/healthz` on its own port, where probes written for the konnector look.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use portolan_runtime::{
    admin::{self, ListenError},
    process::Process,
    readiness::Readiness,
};
use serde_json::{Value, json};

/// Serves `/healthz`: 200 `{"check":"ok"}`, or 503 `{"check":"degraded"}` while something is missing.
pub async fn serve(process: &Process, address: SocketAddr) -> Result<(), ListenError> {
    let router = Router::new().route("/healthz", get(healthz)).with_state(process.readiness.clone());
    admin::serve(&process.tasks, address, router).await.map(|_| ())
}

async fn healthz(State(readiness): State<Readiness>) -> (StatusCode, Json<Value>) {
    if readiness.is_ready() {
        (StatusCode::OK, Json(json!({"check": "ok"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"check": "degraded"})))
    }
}
