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
    Problem,
    answer::{accepts_gzip, compressed, json, packed},
    door, enter, etag,
    negotiate::{self, Media},
    params::{self, Sent},
    parts::{self, Made, Rest},
    prepared::{Prepared, prepared},
    record::{ROUTE, Record, span},
    socket, stream,
};
use crate::{
    error::{Code, GraphError, only_errors},
    execute::{PART, Sink, Stopped},
    identity::Caller,
    memory,
    state::{Served, State},
    subscribe::subscribe,
};

/// Size up to which a list that is still coming is kept for an answer to GET, so that it has a tag.
const TAGGED: usize = 1024 * 1024;

/// An authenticated request.
struct Asked {
    state: Arc<State>,
    served: Served,
    caller: Caller,
    span: Span,
}

/// Serves every method of `/{cluster}/graphql`.
pub async fn serve(
    Shared(state): Shared<Arc<State>>,
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
    state: Arc<State>,
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
            return problem.respond(media.unwrap_or(Media::Json));
        }
    };
    let (name, address) = (caller.name.clone(), peer.address.ip());
    let record =
        Record { state: Arc::clone(&state), cluster, caller: name, address, begin, span: span.clone() };
    let asked = Asked { state: Arc::clone(&state), served, caller, span };
    let answer = match media {
        None => {
            let message =
                "answers are application/graphql-response+json, application/json or text/event-stream";
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, GraphError::new(Code::BadRequest, message)))
        }
        Some(media) => timeout(state.limits.request_timeout, respond(asked, media, request))
            .await
            .unwrap_or_else(|_| Err(too_slow())),
    };
    match answer {
        Ok(Answer::Begun(response, rest)) => {
            state.tasks.spawn_graceful(record.until_whole(rest));
            response
        }
        Ok(Answer::Whole(response)) => record.of(response, "answered"),
        Err(problem) => record.of(problem.respond(media.unwrap_or(Media::Json)), "answered"),
    }
}

/// Opens a WebSocket. Browsers cannot send a header with it, so its first message has the token.
async fn upgraded(state: Arc<State>, cluster: String, peer: Peer, request: Request<Body>) -> Response {
    let (mut parts, _) = request.into_parts();
    // It may have been one protocol of several.
    parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let token = match door::token(&parts.headers) {
        Ok(token) => Some(token),
        Err(problem) if problem.status == StatusCode::FORBIDDEN => return problem.respond(Media::Json),
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
pub fn too_slow() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, GraphError::new(Code::Timeout, "request timeout"))
}

/// A slot for a request of a caller.
pub fn place(caller: &Caller) -> Result<OwnedSemaphorePermit, Problem> {
    caller.place().map_err(Problem::of)
}

/// A response, with the work that is left of it.
enum Answer {
    Whole(Response),
    Begun(Response, Rest),
}

async fn respond(asked: Asked, media: Media, request: Request<Body>) -> Result<Answer, Problem> {
    let place = place(&asked.caller)?;
    let (parts, body) = request.into_parts();
    let may_write = parts.method == Method::POST;
    let (queries, is_batch) = match sent(&asked.state, &parts, body).await? {
        Sent::One(params) => {
            let prepared = match prepared(&asked.state, &asked.served, &params) {
                Ok(prepared) => prepared,
                Err(problem) => return Ok(Answer::Whole(refused(&problem, media))),
            };
            prepared.check_method(may_write)?;
            prepared.describe(&asked.span);
            if prepared.is_subscription() {
                drop(place);
                return follow(&asked, prepared, media, &parts).map(Answer::Whole);
            }
            (vec![Ok(prepared)], false)
        }
        Sent::Batch(batch) => {
            let queries = batch.iter().map(|params| prepared(&asked.state, &asked.served, params)).collect();
            (queries, true)
        }
    };
    let media = if is_batch && media == Media::Events { Media::Response } else { media };
    let caller = asked.caller.id.clone();
    let room = if may_write { PART } else { TAGGED };
    let made = parts::make(room, move |sink| written(asked, (queries, is_batch), media, sink, place)).await;
    Ok(match made {
        Made::Whole(answer) if may_write || media == Media::Events => {
            Answer::Whole(whole(media, answer, &parts.headers))
        }
        Made::Whole(answer) => {
            let tag = etag::of(&caller, memory::untold(&answer));
            Answer::Whole(etag::kept(&tag, &parts.headers, whole(media, answer, &parts.headers)))
        }
        Made::Begun(begun) => {
            let is_packed = media != Media::Events && accepts_gzip(&parts.headers);
            let (body, rest) = begun.leave(is_packed);
            let response = if media == Media::Events {
                stream::respond(body)
            } else {
                json(StatusCode::OK, media, body)
            };
            Answer::Begun(if is_packed { packed(response) } else { response }, rest)
        }
    })
}

/// Writes the answers to all queries of a request.
async fn written(
    asked: Asked,
    (queries, is_batch): (Vec<Result<Prepared, Problem>>, bool),
    media: Media,
    mut sink: Sink,
    _place: OwnedSemaphorePermit,
) -> Result<Option<Vec<u8>>, Stopped> {
    let (before, after) = match media {
        Media::Events => stream::AROUND_ONE,
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
    if media == Media::Events && !sink.has_begun() {
        stream::put_in_one_line(&mut sink.out[before.len()..]);
    }
    sink.out.extend_from_slice(after.as_bytes());
    sink.end().await
}

fn whole(media: Media, answer: Vec<u8>, asked: &HeaderMap) -> Response {
    if media == Media::Events {
        stream::respond(answer.into())
    } else {
        compressed(StatusCode::OK, media, answer, asked)
    }
}

pub(super) async fn sent(state: &State, parts: &Parts, body: Body) -> Result<Sent, Problem> {
    match parts.method {
        Method::GET | Method::HEAD => {
            let params = params::of_query(parts.uri.query().unwrap_or_default())?;
            Ok(Sent::One(Box::new(params)))
        }
        Method::POST if negotiate::is_json(&parts.headers) => {
            let body =
                read_up_to(state.limits.max_request_body_bytes, parts, body).await.map_err(|unread| {
                    Problem::new(unread.code(), GraphError::new(Code::BadRequest, unread.message()))
                })?;
            params::of_body(&body, state.limits.max_query_batch_size)
        }
        Method::POST => {
            let error = GraphError::new(Code::BadRequest, "the body must be application/json in UTF-8");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
        _ => {
            let error = GraphError::new(Code::BadRequest, "use GET or POST");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, error);
            Err(Problem { allowed: "GET, POST", ..problem })
        }
    }
}

fn follow(asked: &Asked, prepared: Prepared, media: Media, parts: &Parts) -> Result<Response, Problem> {
    if media != Media::Events {
        let message = "a subscription needs Accept: text/event-stream, or a WebSocket";
        return Ok(refused(&Problem::of(GraphError::new(Code::Invalid, message)), media));
    }
    let last_seen =
        parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let field = prepared.field();
    let subscriber = prepared.subscriber(&asked.state, &asked.served, &asked.caller, last_seen);
    let messages = subscribe(subscriber, &asked.state.tasks).map_err(Problem::of)?;
    Ok(stream::events(field, messages))
}

/// The answer to a query that is not executed. In the older form, a mistake in it is answered with 200.
pub(super) fn refused(problem: &Problem, media: Media) -> Response {
    if media == Media::Json && is_about_the_query(problem) {
        json(StatusCode::OK, media, only_errors(&problem.errors))
    } else {
        problem.respond(media)
    }
}

fn is_about_the_query(problem: &Problem) -> bool {
    let of_query = |error: &GraphError| {
        matches!(
            error.code,
            Code::ParseFailed | Code::ValidationFailed | Code::Invalid | Code::PersistedQueryNotSupported
        )
    };
    problem.status == StatusCode::BAD_REQUEST && problem.errors.iter().all(of_query)
}
