//! The stream for gateways that run elsewhere: events, and the parts that they name. Callers must present a token of a
//! gateway's service account.

mod answer;
mod callers;
mod events;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use portolan_core::schema_document::WatchQuery;
use portolan_runtime::{
    process, server,
    server::answer::{METHOD_NOT_ALLOWED, NOT_FOUND},
    tasks::Tasks,
    tls::ServerTls,
};
use rand::RngExt as _;

use self::{
    callers::StreamCallers,
    events::{EventStream, FollowRequest},
};
use crate::{
    args::ListenerArgs, discovery::PartWorkshop, documents::DocumentStore, metrics::ListenerMetrics,
};

/// Maximum duration of a stream, after which the caller is checked again. Gateways resume where they were.
const LONGEST: Duration = Duration::from_secs(600);
/// Interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// State that the handlers share.
#[derive(Clone)]
struct StreamState {
    documents: Arc<DocumentStore>,
    workshop: Arc<PartWorkshop>,
    callers: Arc<StreamCallers>,
    metrics: Arc<ListenerMetrics>,
    tasks: Tasks,
    /// Distinguishes revisions of this start from those of another start or replica.
    epoch: Arc<str>,
}

/// The content of the stream.
pub struct StreamSource {
    pub documents: Arc<DocumentStore>,
    pub workshop: Arc<PartWorkshop>,
    pub metrics: Arc<ListenerMetrics>,
}

/// Starts to serve, if there is an address.
pub async fn serve(
    args: &ListenerArgs,
    tasks: &Tasks,
    client: kube::Client,
    source: StreamSource,
) -> Result<(), process::ProcessFailure> {
    let Some(address) = args.stream.stream_address else { return Ok(()) };
    let callers = Arc::new(StreamCallers::new(&args.stream, client).await?);
    let tls = ServerTls::start(&args.tls, tasks).await?;
    let served = StreamState {
        documents: source.documents,
        workshop: source.workshop,
        callers,
        metrics: source.metrics,
        tasks: tasks.clone(),
        epoch: format!("{:016x}", rand::rng().random::<u64>()).into(),
    };
    server::serve(tasks, address, tls, router(served)).await?;
    Ok(())
}

fn router(served: StreamState) -> Router {
    Router::new()
        .route("/v1/documents", get(documents))
        .route("/v1/parts/{sha256}", get(part))
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD_NOT_ALLOWED)
        .layer(middleware::from_fn_with_state(served.clone(), only_gateways))
        .with_state(served)
}

async fn only_gateways(State(served): State<StreamState>, request: Request, next: Next) -> Response {
    let verdict = served.callers.check(request.headers()).await;
    match verdict {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            served.metrics.refused(refusal.code.as_u16());
            refusal.into_response()
        }
    }
}

async fn documents(State(served): State<StreamState>, Query(query): Query<WatchQuery>) -> Response {
    let follow = FollowRequest {
        documents: Arc::clone(&served.documents),
        epoch: Arc::clone(&served.epoch),
        since: query.since.clone(),
        credentials: query.wants_credentials(),
        watches: query.watches(),
        heartbeat: HEARTBEAT,
        longest: LONGEST,
    };
    let events = EventStream::start(&served.tasks, follow, Arc::clone(&served.metrics));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn part(State(served): State<StreamState>, Path(sha256): Path<String>) -> Response {
    let Some(part) = served.workshop.parts.get(&sha256) else { return NOT_FOUND.into_response() };
    let mut response = Response::new(Body::from(part.bytes.clone()));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Immutable, since its name is the hash of its content.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400, immutable"));
    response
}
