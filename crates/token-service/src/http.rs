//! The routes of the service, and what every request has in common.

mod callers;
mod clusters;
mod form;
mod problem;
mod reviews;
mod v1;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use self::problem::RequestProblem;
use crate::{metrics::ServiceMetrics, review::Reviewer, state::ServiceState};

/// State that the handlers share.
#[derive(Clone, Debug)]
pub struct App {
    pub state: Arc<ServiceState>,
    pub reviewer: Arc<Reviewer>,
    pub metrics: Arc<ServiceMetrics>,
}

/// Every route. Metrics and health of the process are on the admin port.
pub fn router(app: App) -> Router {
    Router::new()
        // By host: api.<cluster>.kube-fed, or one that is configured for the automatic choice.
        .route("/apis/authentication.k8s.io/{version}/tokenreviews", post(reviews::by_host))
        // By path, for clients that cannot resolve such names.
        .route(
            "/clusters/{cluster}/apis/authentication.k8s.io/{version}/tokenreviews",
            post(reviews::by_path),
        )
        .route("/auto/apis/authentication.k8s.io/{version}/tokenreviews", post(reviews::automatic))
        .route("/validate", post(v1::validate))
        .route("/clusters", get(clusters::list))
        .route("/health", get(v1::health))
        .fallback(async || RequestProblem::NotFound)
        .method_not_allowed_fallback(async || RequestProblem::Method)
        .with_state(app)
}
