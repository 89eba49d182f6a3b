//! `/{cluster}/mcp`: persisted documents as tools of the Model Context Protocol, over its streamable HTTP transport.
//!
//! There are no sessions and no streams: each message is a POST, and each answer is JSON.

use std::sync::Arc;

use apollo_compiler::response::JsonMap;
use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State as Shared},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use portolan_runtime::server::{Peer, body::read_up_to};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    Params, RequestProblem,
    answer::json as answer_json,
    enter,
    graphql::{place, too_slow},
    negotiate::{self, AnswerMedia},
    prepared::prepared,
    record::{RequestRecord, span},
};
use crate::{
    error::{ErrorCode, GraphError, only_errors},
    identity::Caller,
    mcp::{self, ClientMessage, MessageAnswer, MessageFault, ProtocolEra},
    state::{GatewayState, ServedCluster},
};

/// The name of a request in spans.
const ROUTE: &str = "/{cluster}/mcp";

/// Pages of these origins may ask.
#[derive(Clone, Debug)]
pub(super) struct AllowedOrigins(pub(super) Arc<[String]>);

/// Serves every method.
pub(super) async fn serve(
    Shared(state): Shared<Arc<GatewayState>>,
    Path(cluster): Path<String>,
    Extension(peer): Extension<Peer>,
    Extension(origins): Extension<AllowedOrigins>,
    request: Request<Body>,
) -> Response {
    let begin = Instant::now();
    if !is_welcome(request.headers(), &origins) {
        let error = GraphError::new(ErrorCode::Forbidden, "pages of this origin may not ask");
        return RequestProblem::new(StatusCode::FORBIDDEN, error).respond(AnswerMedia::Json);
    }
    let (served, caller) = match enter(&state, &cluster, request.headers(), &peer).await {
        Ok(entered) => entered,
        Err(problem) => {
            info!(target: "access", cluster, address = %peer.address.ip(), status = problem.status.as_u16(), "refused");
            return problem.respond(AnswerMedia::Json);
        }
    };
    let span = span(&state, (ROUTE, &cluster), &state.traces.parent(request.headers()));
    let answering = timeout(state.limits.request_timeout, respond(&state, &served, &caller, request));
    let response = match span.cover(answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.respond(AnswerMedia::Json),
        Err(_) => too_slow().respond(AnswerMedia::Json),
    };
    let (name, address) = (caller.name, peer.address.ip());
    let record = RequestRecord { state: Arc::clone(&state), cluster, caller: name, address, begin, span };
    record.of(response, "answered over MCP")
}

/// Browsers say which page asks. Only pages of listed origins may: whoever makes a name lead here has the Host of it.
fn is_welcome(headers: &HeaderMap, origins: &AllowedOrigins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    origins.0.iter().any(|listed| listed == origin)
}

async fn respond(
    state: &GatewayState,
    served: &ServedCluster,
    caller: &Caller,
    request: Request<Body>,
) -> Result<Response, RequestProblem> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        let error = GraphError::new(ErrorCode::BadRequest, "use POST: there is no stream to open");
        return Err(RequestProblem::new(StatusCode::METHOD_NOT_ALLOWED, error));
    }
    if !negotiate::is_json(&parts.headers) {
        let error = GraphError::new(ErrorCode::BadRequest, "the body must be application/json in UTF-8");
        return Err(RequestProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let body = read_up_to(state.limits.max_request_body_bytes, &parts, body).await.map_err(|unread| {
        RequestProblem::new(unread.code(), GraphError::new(ErrorCode::BadRequest, unread.message()))
    })?;
    let message = match ClientMessage::read(&body, &parts.headers) {
        Ok(message) => message,
        Err(fault) => return Ok(refused(&fault)),
    };
    if message.id.is_none() {
        // A notification, or a response to what was never asked.
        let mut response = Response::default();
        *response.status_mut() = StatusCode::ACCEPTED;
        return Ok(response);
    }
    Ok(match answer(state, served, caller, &message).await? {
        Ok(answer) => told(StatusCode::OK, &answer),
        Err(fault) => refused(&fault),
    })
}

fn refused(fault: &MessageFault) -> Response {
    told(fault.status, &fault.to_json())
}

fn told(status: StatusCode, answer: &Value) -> Response {
    let mut response = answer_json(status, AnswerMedia::Json, answer.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn answer(
    state: &GatewayState,
    served: &ServedCluster,
    caller: &Caller,
    message: &ClientMessage,
) -> Result<MessageAnswer, RequestProblem> {
    Ok(match (message.method.as_str(), message.era) {
        ("initialize", ProtocolEra::Legacy) => Ok(mcp::initialized(message)),
        ("ping", ProtocolEra::Legacy) => Ok(message.result(json!({}))),
        ("server/discover", ProtocolEra::Modern) => Ok(message.discovered()),
        ("tools/list", _) if message.params.get("cursor").is_some_and(|cursor| !cursor.is_null()) => {
            Err(message.invalid("there is no such cursor: the list has one page"))
        }
        ("tools/list", _) => Ok(message.kept(listed(state, served))),
        ("tools/call", _) => {
            let _place = place(caller)?;
            called(state, served, caller, message).await
        }
        _ => Err(message.no_method()),
    })
}

/// The tools of a cluster. To try many documents takes a while.
fn listed(state: &GatewayState, served: &ServedCluster) -> Value {
    let (known, api) = (state.persisted.operations(), &served.endpoint.api);
    let make = || mcp::listed(api, &known, state.limits.bounds());
    tokio::task::block_in_place(|| served.endpoint.tools.of(&known, make))
}

/// Calls a tool. What is wrong with its arguments is an answer, from which a model may learn.
async fn called(
    state: &GatewayState,
    served: &ServedCluster,
    caller: &Caller,
    message: &ClientMessage,
) -> MessageAnswer {
    let name = message.params.get("name").and_then(Value::as_str).unwrap_or_default();
    let known = state.persisted.operations();
    let tool = mcp::find(&served.endpoint, &known, name, state.limits.bounds());
    let Some(tool) = tool else { return Err(message.invalid(format!("there is no tool {name:?}"))) };
    let arguments = match message.params.get("arguments") {
        None | Some(Value::Null) => serde_json::Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(message.invalid("arguments must be an object")),
    };
    if let Some(unknown) = mcp::unknown_argument(&tool, &arguments) {
        return Ok(content(message, &format!("the tool has no argument {unknown:?}"), true));
    }
    let variables: JsonMap = serde_json::from_value(Value::Object(arguments))
        .map_err(|_| message.invalid("unreadable arguments"))?;
    let params = Params {
        document_id: Some(tool.known.id.clone()),
        operation_name: tool.known.operation.clone(),
        variables: Some(variables),
        ..Params::default()
    };
    let (json, is_error) = match prepared(state, served, &params) {
        Ok(prepared) => {
            let json = prepared.execute(state, served, caller).await;
            let is_error = has_errors(&json);
            (json, is_error)
        }
        Err(problem) => (only_errors(&problem.errors), true),
    };
    Ok(content(message, &String::from_utf8_lossy(&json), is_error))
}

fn content(message: &ClientMessage, text: &str, is_error: bool) -> Value {
    message.result(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
}

/// Returns `true` if an answer has errors.
fn has_errors(json: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Whole {
        #[serde(default)]
        errors: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Whole>(json).map_or(true, |whole| whole.errors.is_some())
}
