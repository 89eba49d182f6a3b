//! The routes of the exchange.

mod document;
mod ladder;
mod rfc8693;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State as Shared,
    response::Response,
    routing::{any, get},
};
use http::{HeaderMap, StatusCode};
use portolan_runtime::{
    readiness::Readiness,
    server::answer::{METHOD_NOT_ALLOWED, NOT_FOUND, json_response},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    audit::{AuditLog, CallerFacts},
    metrics::ExchangeMetrics,
    outcome::{ExchangeDenial, ExchangeWish, GrantedToken},
    service::exchange,
    state::ExchangeState,
};

/// The beat of answers that hide their reason: they leave at its next multiple, so that the time does not tell it
/// either.
const BEAT: Duration = Duration::from_millis(25);

/// State that the handlers share.
#[derive(Clone)]
pub struct ExchangeApp {
    pub state: Arc<ExchangeState>,
    pub audit: Arc<AuditLog>,
    pub metrics: ExchangeMetrics,
    pub readiness: Readiness,
}

/// Every route. Metrics and health of the process are on the admin port.
pub fn router(app: ExchangeApp) -> Router {
    Router::new()
        .route("/exchangeToken", any(document::exchange_token))
        .route("/token", any(rfc8693::token))
        .route("/livez", get(async || json_response(StatusCode::OK, r#"{"live":true}"#)))
        .route("/readyz", get(readyz))
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD_NOT_ALLOWED)
        .with_state(app)
}

async fn readyz(Shared(app): Shared<ExchangeApp>) -> Response {
    if app.readiness.is_ready() {
        json_response(StatusCode::OK, r#"{"ready":true}"#)
    } else {
        json_response(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false}"#)
    }
}

impl ExchangeApp {
    /// Decides about a wish and notes it. Denials that hide their reason take as long as each other.
    async fn decide(&self, wish: &ExchangeWish, headers: &HeaderMap) -> Result<GrantedToken, ExchangeDenial> {
        let start = Instant::now();
        let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let mut about = CallerFacts::forwarded(forwarded);
        let outcome = exchange(&self.state, wish, &mut about).await;
        let took = start.elapsed();
        self.audit.decided(wish, &about, &outcome, took);
        self.metrics.decided(&self.state.snapshot(), &about, outcome.as_ref().map(drop), took);
        if matches!(outcome, Err(ExchangeDenial::Hidden(_))) {
            let beats = u32::try_from(took.as_millis() / BEAT.as_millis()).unwrap_or(u32::MAX - 1);
            sleep_until(start + BEAT * (beats + 1)).await;
        }
        outcome
    }
}
