//! The schema of a cluster as text, for callers whose token the cluster accepts.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State as Shared},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};
use portolan_runtime::server::Peer;

use super::{RequestProblem, enter};
use crate::state::GatewayState;

/// `GET /{cluster}/schema.graphql`.
pub async fn serve(
    Shared(state): Shared<Arc<GatewayState>>,
    Path(cluster): Path<String>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, RequestProblem> {
    let (served, ..) = enter(&state, &cluster, &headers, &peer).await?;
    let mut response = Response::new(served.endpoint.api.sdl().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
