//! `/{cluster}/graphql`: authentication, execution and the answer.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{FromRequestParts as _, Path, Request, State as Shared, WebSocketUpgrade},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use portolan_runtime::{
    server::{Peer, body::read_up_to},
    traces::Span,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tracing::info;

use super::{
    RequestProblem,
    answer::{accepts_gzip, compressed, json, packed},
    door, enter, etag,
    negotiate::{self, AnswerMedia},
    params::{self, SentQueries},
    parts::{self, MadeAnswer, RemainingWork},
    prepared::{PreparedQuery, prepared},
    record::{ROUTE, RequestRecord, span},
    socket, stream,
};
use crate::{
    error::{ErrorCode, GraphError, only_errors},
    execute::{AnswerSink, PART, StopReason},
    identity::Caller,
    memory,
    state::{GatewayState, ServedCluster},
    subscribe::subscribe,
};

/// Size up to which a list that is still coming is kept for an answer to GET, so that it has a tag.
const TAGGED: usize = 1024 * 1024;

/// An authenticated request.
struct AuthenticatedRequest {
    state: Arc<GatewayState>,
    served: ServedCluster,
    caller: Caller,
    span: Span,
}

/// Serves every method of `/{cluster}/graphql`.
pub async fn serve(
    Shared(state): Shared<Arc<GatewayState>>,
    Path(cluster): Path<String>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    if negotiate::wants_socket(request.headers()) {
        return upgraded(state, cluster, peer, request).await;
    }
    let span = span(&state, (ROUTE, &cluster), &state.traces.parent(request.headers()));
    span.note("http.request.method", || request.method().to_string().into());
    span.clone().cover(served(state, (cluster, peer), request, span)).await
}

async fn served(
    state: Arc<GatewayState>,
    (cluster, peer): (String, Peer),
    request: Request<Body>,
    span: Span,
) -> Response {
    let begin = Instant::now();
    let media = negotiate::accepted(request.headers());
    let (served, caller) = match enter(&state, &cluster, request.headers(), &peer).await {
        Ok(entered) => entered,
        Err(problem) => {
            info!(target: "access", cluster, address = %peer.address.ip(), status = problem.status.as_u16(), "refused");
            span.answered(problem.status, problem.status.is_server_error());
            return problem.respond(media.unwrap_or(AnswerMedia::Json));
        }
    };
    let (name, address) = (caller.name.clone(), peer.address.ip());
    let record = RequestRecord {
        state: Arc::clone(&state),
        cluster,
        caller: name,
        address,
        begin,
        span: span.clone(),
    };
    let asked = AuthenticatedRequest { state: Arc::clone(&state), served, caller, span };
    let answer = match media {
        None => {
            let message =
                "answers are application/graphql-response+json, application/json or text/event-stream";
            Err(RequestProblem::new(
                StatusCode::NOT_ACCEPTABLE,
                GraphError::new(ErrorCode::BadRequest, message),
            ))
        }
        Some(media) => timeout(state.limits.request_timeout, respond(asked, media, request))
            .await
            .unwrap_or_else(|_| Err(too_slow())),
    };
    match answer {
        Ok(HttpAnswer::Begun(response, rest)) => {
            state.tasks.spawn_graceful(record.until_whole(rest));
            response
        }
        Ok(HttpAnswer::Whole(response)) => record.of(response, "answered"),
        Err(problem) => record.of(problem.respond(media.unwrap_or(AnswerMedia::Json)), "answered"),
    }
}

/// Opens a WebSocket. Browsers cannot send a header with it, so its first message has the token.
async fn upgraded(state: Arc<GatewayState>, cluster: String, peer: Peer, request: Request<Body>) -> Response {
    let (mut parts, _) = request.into_parts();
    // It may have been one protocol of several.
    parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let token = match door::token(&parts.headers) {
        Ok(token) => Some(token),
        Err(problem) if problem.status == StatusCode::FORBIDDEN => return problem.respond(AnswerMedia::Json),
        // It may still come.
        Err(_) => None,
    };
    let parent = state.traces.parent(&parts.headers);
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade
            .protocols(["graphql-transport-ws"])
            .max_message_size(state.limits.max_request_body_bytes)
            .on_upgrade(async move |socket| {
                socket::serve(state, (cluster, peer), parent, token, socket).await;
            }),
        Err(rejection) => rejection.into_response(),
    }
}

/// The request took too long.
pub fn too_slow() -> RequestProblem {
    RequestProblem::new(StatusCode::GATEWAY_TIMEOUT, GraphError::new(ErrorCode::Timeout, "request timeout"))
}

/// A slot for a request of a caller.
pub fn place(caller: &Caller) -> Result<OwnedSemaphorePermit, RequestProblem> {
    caller.place().map_err(RequestProblem::of)
}

/// A response, with the work that is left of it.
enum HttpAnswer {
    Whole(Response),
    Begun(Response, RemainingWork),
}

async fn respond(
    asked: AuthenticatedRequest,
    media: AnswerMedia,
    request: Request<Body>,
) -> Result<HttpAnswer, RequestProblem> {
    let place = place(&asked.caller)?;
    let (parts, body) = request.into_parts();
    let may_write = parts.method == Method::POST;
    let (queries, is_batch) = match sent(&asked.state, &parts, body).await? {
        SentQueries::One(params) => {
            let prepared = match prepared(&asked.state, &asked.served, &params) {
                Ok(prepared) => prepared,
                Err(problem) => return Ok(HttpAnswer::Whole(refused(&problem, media))),
            };
            prepared.check_method(may_write)?;
            prepared.describe(&asked.span);
            if prepared.is_subscription() {
                drop(place);
                return follow(&asked, prepared, media, &parts).map(HttpAnswer::Whole);
            }
            (vec![Ok(prepared)], false)
        }
        SentQueries::Batch(batch) => {
            let queries = batch.iter().map(|params| prepared(&asked.state, &asked.served, params)).collect();
            (queries, true)
        }
    };
    let media = if is_batch && media == AnswerMedia::Events { AnswerMedia::Response } else { media };
    let caller = asked.caller.id.clone();
    let room = if may_write { PART } else { TAGGED };
    let made = parts::make(room, move |sink| written(asked, (queries, is_batch), media, sink, place)).await;
    Ok(match made {
        MadeAnswer::Whole(answer) if may_write || media == AnswerMedia::Events => {
            HttpAnswer::Whole(whole(media, answer, &parts.headers))
        }
        MadeAnswer::Whole(answer) => {
            let tag = etag::of(&caller, memory::untold(&answer));
            HttpAnswer::Whole(etag::kept(&tag, &parts.headers, whole(media, answer, &parts.headers)))
        }
        MadeAnswer::Begun(begun) => {
            let is_packed = media != AnswerMedia::Events && accepts_gzip(&parts.headers);
            let (body, rest) = begun.leave(is_packed);
            let response = if media == AnswerMedia::Events {
                stream::respond(body)
            } else {
                json(StatusCode::OK, media, body)
            };
            HttpAnswer::Begun(if is_packed { packed(response) } else { response }, rest)
        }
    })
}

/// Writes the answers to all queries of a request.
async fn written(
    asked: AuthenticatedRequest,
    (queries, is_batch): (Vec<Result<PreparedQuery, RequestProblem>>, bool),
    media: AnswerMedia,
    mut sink: AnswerSink,
    _place: OwnedSemaphorePermit,
) -> Result<Option<Vec<u8>>, StopReason> {
    let (before, after) = match media {
        AnswerMedia::Events => stream::AROUND_ONE,
        _ if is_batch => ("[", "]"),
        _ => ("", ""),
    };
    sink.out.extend_from_slice(before.as_bytes());
    for (index, query) in queries.iter().enumerate() {
        if index > 0 {
            sink.out.push(b',');
        }
        match query {
            Ok(prepared) => {
                prepared.write((&asked.state, &asked.served, &asked.caller), &mut sink).await?;
            }
            Err(problem) => sink.out.extend(only_errors(&problem.errors)),
        }
    }
    if media == AnswerMedia::Events && !sink.has_begun() {
        stream::put_in_one_line(&mut sink.out[before.len()..]);
    }
    sink.out.extend_from_slice(after.as_bytes());
    sink.end().await
}

fn whole(media: AnswerMedia, answer: Vec<u8>, asked: &HeaderMap) -> Response {
    if media == AnswerMedia::Events {
        stream::respond(answer.into())
    } else {
        compressed(StatusCode::OK, media, answer, asked)
    }
}

pub(super) async fn sent(
    state: &GatewayState,
    parts: &Parts,
    body: Body,
) -> Result<SentQueries, RequestProblem> {
    match parts.method {
        Method::GET | Method::HEAD => {
            let params = params::of_query(parts.uri.query().unwrap_or_default())?;
            Ok(SentQueries::One(Box::new(params)))
        }
        Method::POST if negotiate::is_json(&parts.headers) => {
            let body =
                read_up_to(state.limits.max_request_body_bytes, parts, body).await.map_err(|unread| {
                    RequestProblem::new(
                        unread.code(),
                        GraphError::new(ErrorCode::BadRequest, unread.message()),
                    )
                })?;
            params::of_body(&body, state.limits.max_query_batch_size)
        }
        Method::POST => {
            let error = GraphError::new(ErrorCode::BadRequest, "the body must be application/json in UTF-8");
            Err(RequestProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
        _ => {
            let error = GraphError::new(ErrorCode::BadRequest, "use GET or POST");
            let problem = RequestProblem::new(StatusCode::METHOD_NOT_ALLOWED, error);
            Err(RequestProblem { allowed: "GET, POST", ..problem })
        }
    }
}

fn follow(
    asked: &AuthenticatedRequest,
    prepared: PreparedQuery,
    media: AnswerMedia,
    parts: &Parts,
) -> Result<Response, RequestProblem> {
    if media != AnswerMedia::Events {
        let message = "a subscription needs Accept: text/event-stream, or a WebSocket";
        return Ok(refused(&RequestProblem::of(GraphError::new(ErrorCode::Invalid, message)), media));
    }
    let last_seen =
        parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let field = prepared.field();
    let subscriber = prepared.subscriber(&asked.state, &asked.served, &asked.caller, last_seen);
    let messages = subscribe(subscriber, &asked.state.tasks).map_err(RequestProblem::of)?;
    Ok(stream::events(field, messages))
}

/// The answer to a query that is not executed. In the older form, a mistake in it is answered with 200.
pub(super) fn refused(problem: &RequestProblem, media: AnswerMedia) -> Response {
    if media == AnswerMedia::Json && is_about_the_query(problem) {
        json(StatusCode::OK, media, only_errors(&problem.errors))
    } else {
        problem.respond(media)
    }
}

fn is_about_the_query(problem: &RequestProblem) -> bool {
    let of_query = |error: &GraphError| {
        matches!(
            error.code,
            ErrorCode::ParseFailed
                | ErrorCode::ValidationFailed
                | ErrorCode::Invalid
                | ErrorCode::PersistedQueryNotSupported
        )
    };
    problem.status == StatusCode::BAD_REQUEST && problem.errors.iter().all(of_query)
}
