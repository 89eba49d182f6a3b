//! `/{cluster}/graphql`: authentication, execution and the answer.

use std::sync::Arc;

use apollo_compiler::{
    executable::OperationType, request::coerce_variable_values, response::JsonMap, validation::Valid,
};
use axum::{
    Extension,
    body::Body,
    extract::{FromRequestParts as _, Path, Request, State as Shared, WebSocketUpgrade},
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, header, request::Parts};
use portolan_runtime::server::{Peer, bearer::bearer, body::read_up_to};
use secrecy::SecretString;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tracing::info;

use super::{
    Params, Problem,
    answer::{compressed, json},
    enter, etag,
    negotiate::{self, Media},
    params::{self, Sent},
    socket, stream,
};
use crate::{
    error::{Code, GraphError, only_errors},
    execute::{self, Asking, null_conditions},
    identity::Caller,
    memory::{self, Reading, Wishes},
    plan::Plan,
    state::{Served, State},
    subscribe::{Subscriber, subscribe},
};

/// An authenticated request.
struct Asked<'a> {
    state: &'a Arc<State>,
    served: &'a Served,
    caller: &'a Caller,
    token: &'a SecretString,
}

/// Serves every method of `/{cluster}/graphql`.
pub(crate) async fn serve(
    Shared(state): Shared<Arc<State>>,
    Path(cluster): Path<String>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return upgraded(state, cluster, peer, request).await;
    }
    let begin = Instant::now();
    let media = negotiate::accepted(request.headers());
    let (served, caller, token) = match enter(&state, &cluster, request.headers(), &peer).await {
        Ok(entered) => entered,
        Err(problem) => {
            info!(target: "access", cluster, address = %peer.address.ip(), status = problem.status.as_u16(), "refused");
            return problem.respond(media.unwrap_or(Media::Json));
        }
    };
    let asked = Asked { state: &state, served: &served, caller: &caller, token: &token };
    let response = match media {
        None => {
            let message =
                "answers are application/graphql-response+json, application/json or text/event-stream";
            Problem::new(StatusCode::NOT_ACCEPTABLE, GraphError::new(Code::BadRequest, message))
                .respond(Media::Json)
        }
        Some(media) => match timeout(state.limits.request_timeout, respond(&asked, media, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => problem.respond(media),
            Err(_) => too_slow().respond(media),
        },
    };
    let (status, took) = (response.status(), begin.elapsed());
    let result = if status.is_success() {
        "ok"
    } else if status.is_server_error() {
        "failed"
    } else {
        "refused"
    };
    state.metrics.answered(&cluster, result, took);
    let (who, milliseconds) = (caller.name.as_deref().unwrap_or("-"), took.as_millis());
    info!(target: "access", cluster, caller = who, address = %peer.address.ip(), status = status.as_u16(), milliseconds, "answered");
    response
}

/// Opens a WebSocket. Browsers cannot send a header with it, so its first message has the token.
async fn upgraded(state: Arc<State>, cluster: String, peer: Peer, request: Request<Body>) -> Response {
    let (mut parts, _) = request.into_parts();
    let token = bearer(&parts.headers).ok();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade
            .protocols(["graphql-transport-ws"])
            .max_message_size(state.limits.max_request_body_bytes)
            .on_upgrade(async move |socket| socket::serve(state, cluster, peer, token, socket).await),
        Err(rejection) => rejection.into_response(),
    }
}

/// The request took too long.
pub(crate) fn too_slow() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, GraphError::new(Code::Timeout, "request timeout"))
}

/// A slot for a request of a caller.
pub(crate) fn place(caller: &Caller) -> Result<OwnedSemaphorePermit, Problem> {
    let message = "too many requests of this caller are under way";
    caller.place().ok_or_else(|| Problem::of(GraphError::new(Code::TooManyRequests, message)))
}

async fn respond(asked: &Asked<'_>, media: Media, request: Request<Body>) -> Result<Response, Problem> {
    let place = place(asked.caller)?;
    let (parts, body) = request.into_parts();
    let may_write = parts.method == Method::POST;
    match sent(asked.state, &parts, body).await? {
        Sent::One(params) => {
            let prepared = match prepared(asked.state, asked.served, &params) {
                Ok(prepared) => prepared,
                Err(problem) => return Ok(refused(&problem, media)),
            };
            prepared.check_method(may_write)?;
            if prepared.is_subscription() {
                drop(place);
                return follow(asked, prepared, media, &parts);
            }
            let answer = prepared.execute(asked.state, asked.served, asked.caller).await;
            if media == Media::Events {
                return Ok(stream::once(&answer));
            }
            if may_write {
                return Ok(compressed(StatusCode::OK, media, answer, &parts.headers));
            }
            let tag = etag::of(&asked.caller.id, memory::untold(&answer));
            let response = compressed(StatusCode::OK, media, answer, &parts.headers);
            Ok(etag::kept(&tag, &parts.headers, response))
        }
        Sent::Batch(batch) => {
            let mut all = vec![b'['];
            for (index, params) in batch.iter().enumerate() {
                if index > 0 {
                    all.push(b',');
                }
                match prepared(asked.state, asked.served, params) {
                    Ok(prepared) => {
                        all.extend(prepared.execute(asked.state, asked.served, asked.caller).await);
                    }
                    Err(problem) => all.extend(only_errors(&problem.errors)),
                }
            }
            all.push(b']');
            Ok(compressed(StatusCode::OK, media, all, &parts.headers))
        }
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
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, error))
        }
    }
}

fn follow(asked: &Asked<'_>, prepared: Prepared, media: Media, parts: &Parts) -> Result<Response, Problem> {
    if media != Media::Events {
        let message = "a subscription needs Accept: text/event-stream, or a WebSocket";
        return Ok(refused(&Problem::of(GraphError::new(Code::Invalid, message)), media));
    }
    let last_seen =
        parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let field = prepared.field();
    let subscriber = prepared.subscriber(asked.state, asked.served, asked.caller, asked.token, last_seen);
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

/// A query that is ready for execution.
pub(crate) struct Prepared {
    plan: Arc<Plan>,
    variables: Valid<JsonMap>,
    wishes: Wishes,
}

/// Prepares a query, or says what is wrong with it.
pub(crate) fn prepared(state: &State, served: &Served, params: &Params) -> Result<Prepared, Problem> {
    let query = state.persisted.text(params.named()).map_err(Problem::of)?;
    let endpoint = &served.endpoint;
    let plan = endpoint.plan(&query, params.operation_name.as_deref(), state.limits.bounds());
    let plan = plan.map_err(|errors| Problem { status: StatusCode::BAD_REQUEST, errors })?;
    let none = JsonMap::new();
    let given = params.variables.as_ref().unwrap_or(&none);
    let variables = coerce_variable_values(&endpoint.api.schema, &plan.operation, given)
        .map_err(|error| Problem::of(GraphError::new(Code::Invalid, error.message().to_string())))?;
    if let Some(error) = null_conditions(&plan, &variables) {
        return Err(Problem::of(error));
    }
    let wishes = Wishes::of(params.extensions.as_ref()).map_err(Problem::of)?;
    Ok(Prepared { plan, variables, wishes })
}

impl Prepared {
    /// Returns `true` for a subscription.
    pub(crate) fn is_subscription(&self) -> bool {
        self.plan.kind == OperationType::Subscription
    }

    /// The name of its first field.
    pub(crate) fn field(&self) -> Box<str> {
        self.plan.roots.first().map(|field| field.name.clone()).unwrap_or_default()
    }

    fn check_method(&self, may_write: bool) -> Result<(), Problem> {
        if self.plan.kind == OperationType::Mutation && !may_write {
            let error = GraphError::new(Code::BadRequest, "a mutation needs POST");
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, error));
        }
        Ok(())
    }

    /// Executes it and returns the answer.
    pub(crate) async fn execute(&self, state: &State, served: &Served, caller: &Caller) -> Vec<u8> {
        let reading = Reading::new(self.wishes, caller.name.clone());
        let asking = Asking {
            endpoint: &served.endpoint,
            authorization: &caller.authorization,
            variables: &self.variables,
            max_response: state.limits.max_response_bytes,
            reading: Some(&reading),
        };
        let mut answer = execute::answer(asking, &self.plan).await;
        reading.tell(&mut answer);
        answer
    }

    /// The subscriber that it makes.
    pub(crate) fn subscriber(
        self,
        state: &Arc<State>,
        served: &Served,
        caller: &Caller,
        token: &SecretString,
        last_seen: Option<String>,
    ) -> Subscriber {
        Subscriber {
            state: Arc::clone(state),
            served: served.clone(),
            caller: caller.clone(),
            token: token.clone(),
            plan: self.plan,
            variables: self.variables,
            last_seen,
        }
    }
}
