//! `/fleet/graphql`: one question to several clusters, and `/fleet/schema.graphql`.

use std::sync::Arc;

use apollo_compiler::response::JsonMap;
use axum::{
    Extension,
    body::Body,
    extract::{Request, State as Shared},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portolan_runtime::{server::Peer, traces::Span};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    Params, RequestProblem,
    answer::compressed,
    door::token,
    graphql::{refused, sent, too_slow},
    negotiate::{self, AnswerMedia},
    params::SentQueries,
    record::{result, span},
    stream,
};
use crate::{
    error::{ErrorCode, GraphError, only_errors},
    fleet::{self, FleetAsker, SentQuery},
    state::GatewayState,
};

type CallerName = Option<Arc<str>>;

/// The name of a request in spans.
const ROUTE: &str = "/fleet/graphql";

/// Serves every method of `/fleet/graphql`.
pub(super) async fn serve(
    Shared(state): Shared<Arc<GatewayState>>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let begin = Instant::now();
    let media = negotiate::accepted(request.headers()).unwrap_or(AnswerMedia::Json);
    let mut who = None;
    let span = span(&state, (ROUTE, "fleet/"), &state.traces.parent(request.headers()));
    let answering =
        timeout(state.limits.request_timeout, respond((&state, &span), &peer, media, request, &mut who));
    let answered = span.cover(answering).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => refused(&problem, media),
        Err(_) => too_slow().respond(media),
    };
    let (status, took) = (response.status(), begin.elapsed());
    state.metrics.fleet.answered(result(status), took);
    span.answered(status, status.is_server_error());
    let (caller, milliseconds) = (who.as_deref().unwrap_or("-"), took.as_millis());
    info!(target: "access", cluster = "fleet/", caller, address = %peer.address.ip(), status = status.as_u16(), milliseconds, "answered");
    response
}

async fn respond(
    (state, span): (&Arc<GatewayState>, &Span),
    peer: &Peer,
    media: AnswerMedia,
    request: Request<Body>,
    who: &mut CallerName,
) -> Result<Response, RequestProblem> {
    let token = token(request.headers())?;
    if token.expose_secret().is_empty() {
        return Err(RequestProblem::unauthenticated("Unauthorized: empty bearer token"));
    }
    let (parts, body) = request.into_parts();
    let address = peer.address.ip();
    let asker = Arc::new(FleetAsker { state: Arc::clone(state), token, address, span: span.clone() });
    let sent = match sent(state, &parts, body).await {
        Ok(sent) => sent,
        Err(problem) => return Err(told(&asker, problem).await),
    };
    match sent {
        SentQueries::One(params) => {
            let mut answer = answered(&asker, &params, (0, who)).await?;
            if media == AnswerMedia::Events {
                stream::put_in_one_line(&mut answer);
                let (before, after) = stream::AROUND_ONE;
                return Ok(stream::respond([before.as_bytes(), &answer, after.as_bytes()].concat().into()));
            }
            Ok(compressed(StatusCode::OK, media, answer, &parts.headers))
        }
        SentQueries::Batch(batch) => {
            let mut all = vec![b'['];
            for (index, params) in batch.iter().enumerate() {
                if index > 0 {
                    all.push(b',');
                }
                match answered(&asker, params, (all.len(), who)).await {
                    Err(problem) if problem.status == StatusCode::UNAUTHORIZED => return Err(problem),
                    Err(problem) => all.extend(only_errors(&problem.errors)),
                    Ok(answer) => all.extend(answer),
                }
            }
            all.push(b']');
            Ok(compressed(StatusCode::OK, media, all, &parts.headers))
        }
    }
}

/// The answer to one question of a request, of which so many bytes are written.
async fn answered(
    asker: &Arc<FleetAsker>,
    params: &Params,
    (written, who): (usize, &mut CallerName),
) -> Result<Vec<u8>, RequestProblem> {
    let text = match asker.state.persisted.text(params.named()) {
        Ok(text) => text,
        Err(error) => return Err(told(asker, RequestProblem::of(error)).await),
    };
    let none = JsonMap::new();
    let query = SentQuery {
        text: &text,
        name: params.operation_name.as_deref(),
        variables: params.variables.as_ref().unwrap_or(&none),
        extensions: params.extensions.as_ref(),
        room: asker.state.limits.max_response_bytes.saturating_sub(written),
    };
    let (answer, caller) = fleet::answer(asker, query).await.map_err(problem)?;
    *who = caller.or_else(|| who.take());
    Ok(answer)
}

/// A problem with the request, for those only whom a cluster accepts.
async fn told(asker: &FleetAsker, known: RequestProblem) -> RequestProblem {
    let (status, allowed) = (known.status, known.allowed);
    let told = problem(asker.told(known.errors).await);
    match told.status {
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => told,
        _ => RequestProblem { status, allowed, ..told },
    }
}

fn problem(errors: Vec<GraphError>) -> RequestProblem {
    let none = || GraphError::new(ErrorCode::Internal, "there is no answer");
    let first = errors.first().cloned().unwrap_or_else(none);
    RequestProblem::with(RequestProblem::of(first).status, errors)
}

/// `GET /fleet/schema.graphql`.
pub(super) async fn schema(
    Shared(state): Shared<Arc<GatewayState>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, RequestProblem> {
    let token = token(&headers)?;
    let asker = FleetAsker { state, token, address: peer.address.ip(), span: Span::default() };
    let mut response = Response::new(fleet::sdl(&asker).await.map_err(problem)?.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
