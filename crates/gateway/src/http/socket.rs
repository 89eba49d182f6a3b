//! `graphql-transport-ws`: queries and subscriptions over one WebSocket, whose first message has the token.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use bytes::Bytes;
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use http::StatusCode;
use portolan_runtime::{server::Peer, tasks::Tasks, traces::Parent};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at, timeout},
};

use super::{Params, RequestProblem, graphql, identify, prepared, record};
use crate::{
    error::ErrorCode,
    identity::Caller,
    state::{GatewayState, ServedCluster},
    subscribe::{SubscriptionMessage, subscribe},
};

/// Limit for the first message.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval of pings.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum number of operations in progress on one socket.
const MAX_OPERATIONS: usize = 100;
/// Maximum number of messages that wait for a slow reader.
const WAITING: usize = 16;

#[derive(Deserialize)]
struct SocketMessage {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    payload: Option<Box<RawValue>>,
}

/// The code and the reason of a close.
type CloseReason = (u16, &'static str);

const INVALID: CloseReason = (4400, "Invalid message");
const UNAUTHORIZED: CloseReason = (4401, "Unauthorized");
const FORBIDDEN: CloseReason = (4403, "Forbidden");
const UNSPOKEN: CloseReason = (4406, "Subprotocol not acceptable");
const TOO_LATE: CloseReason = (4408, "Connection initialisation timeout");
const TWICE: CloseReason = (4429, "Too many initialisation requests");

/// Serves one socket.
pub async fn serve(
    state: Arc<GatewayState>,
    (cluster, peer): (String, Peer),
    parent: Parent,
    token: Option<SecretString>,
    socket: WebSocket,
) {
    let is_spoken = socket.protocol().is_some();
    let (mut sink, mut source) = socket.split();
    let entered = if is_spoken {
        match timeout(PATIENCE, first(&mut sink, &mut source)).await {
            Err(_) => Err(TOO_LATE),
            Ok(Some(text)) => initialised(&state, &cluster, &peer, token, &text).await,
            Ok(None) => Err(INVALID),
        }
    } else {
        Err(UNSPOKEN)
    };
    let (served, caller) = match entered {
        Ok(entered) => entered,
        Err(close) => return end(&mut sink, close).await,
    };
    let acknowledged = Frame::Text(r#"{"type":"connection_ack"}"#.into());
    if sink.send(acknowledged).await.is_err() {
        return;
    }
    let (sender, outgoing) = mpsc::channel(WAITING);
    let tasks = state.tasks.child();
    let session = SocketSession {
        state,
        served,
        caller,
        parent,
        sender,
        tasks: tasks.clone(),
        running: HashMap::new(),
    };
    let close = conversed(session, outgoing, (&mut sink, &mut source)).await;
    tasks.cancel();
    if let Some(close) = close {
        end(&mut sink, close).await;
    }
}

/// Hears and says until one side ends. Returns how to close, unless that is done.
async fn conversed(
    mut session: SocketSession,
    mut outgoing: mpsc::Receiver<Frame>,
    (sink, source): (&mut SplitSink<WebSocket, Frame>, &mut SplitStream<WebSocket>),
) -> Option<CloseReason> {
    let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        let frame = tokio::select! {
            said = source.next() => match said {
                Some(Ok(Frame::Text(text))) => match session.hear(&text) {
                    Ok(Some(answer)) => answer,
                    Ok(None) => continue,
                    Err(close) => return Some(close),
                },
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                Some(Ok(Frame::Binary(_))) => return Some(INVALID),
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return None,
            },
            frame = outgoing.recv() => frame?,
            // Whoever has gone without a word is found out, and no proxy takes a quiet socket for a dead one.
            _ = beat.tick() => Frame::Ping(Bytes::new()),
        };
        let is_last = matches!(frame, Frame::Close(_));
        if sink.send(frame).await.is_err() || is_last {
            return None;
        }
    }
}

async fn end(sink: &mut SplitSink<WebSocket, Frame>, close: CloseReason) {
    // The client may be gone already.
    let _ = sink.send(closing(close)).await;
}

fn closing((code, reason): CloseReason) -> Frame {
    Frame::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// The first message. Pings may come before it.
async fn first(
    sink: &mut SplitSink<WebSocket, Frame>,
    source: &mut SplitStream<WebSocket>,
) -> Option<String> {
    loop {
        match source.next().await {
            Some(Ok(Frame::Text(text))) => match kind(&text).as_str() {
                "ping" => sink.send(Frame::Text(pong().into())).await.ok()?,
                "pong" => {}
                _ => return Some(text.to_string()),
            },
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
            _ => return None,
        }
    }
}

/// What a message is; empty for what is none.
fn kind(text: &str) -> String {
    serde_json::from_str(text).map(|said: SocketMessage| said.kind).unwrap_or_default()
}

fn pong() -> String {
    json!({"type": "pong"}).to_string()
}

/// The token in the words of the first message, with or without the name of its scheme.
fn bare(words: &str) -> &str {
    match words.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => words.trim(),
    }
}

/// Authenticates by the first message.
async fn initialised(
    state: &GatewayState,
    cluster: &str,
    peer: &Peer,
    token: Option<SecretString>,
    text: &str,
) -> Result<(ServedCluster, Caller), CloseReason> {
    let said: SocketMessage = serde_json::from_str(text).map_err(|_| INVALID)?;
    if said.kind != "connection_init" {
        return Err(UNAUTHORIZED);
    }
    let payload: Value =
        said.payload.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let words = ["Authorization", "authorization", "token"].iter().find_map(|key| payload[*key].as_str());
    let said = words.map(bare).filter(|token| !token.is_empty());
    let token = said.map(SecretString::from).or(token).ok_or(UNAUTHORIZED)?;
    identify(state, cluster, &token, peer).await.map_err(|_| FORBIDDEN)
}

struct SocketSession {
    state: Arc<GatewayState>,
    served: ServedCluster,
    caller: Caller,
    parent: Parent,
    sender: mpsc::Sender<Frame>,
    tasks: Tasks,
    running: HashMap<String, RunningOperation>,
}

/// An operation that may still say something.
struct RunningOperation {
    tasks: Tasks,
    /// `true` once its last message is on its way, so that its id is free before the client hears of it.
    is_over: Arc<AtomicBool>,
}

impl SocketSession {
    /// Hears a message. Returns what is answered at once: who takes from the queue must not wait for room in it.
    fn hear(&mut self, text: &str) -> Result<Option<Frame>, CloseReason> {
        let said: SocketMessage = serde_json::from_str(text).map_err(|_| INVALID)?;
        match (said.kind.as_str(), said.id, said.payload) {
            ("ping", ..) => return Ok(Some(Frame::Text(pong().into()))),
            ("pong", ..) => {}
            ("connection_init", ..) => return Err(TWICE),
            ("complete", Some(id), _) => {
                if let Some(running) = self.running.remove(&id) {
                    running.tasks.cancel();
                }
            }
            ("subscribe", Some(id), Some(payload)) => self.begin(id, &payload)?,
            _ => return Err(INVALID),
        }
        Ok(None)
    }

    fn begin(&mut self, id: String, payload: &RawValue) -> Result<(), CloseReason> {
        let params: Params = serde_json::from_str(payload.get()).map_err(|_| INVALID)?;
        self.running.retain(|_, running| !running.is_over.load(Ordering::Relaxed));
        if self.running.contains_key(&id) {
            return Err((4409, "Subscriber already exists"));
        }
        if self.running.len() >= MAX_OPERATIONS {
            return Err((4429, "Too many operations"));
        }
        let (tasks, is_over) = (self.tasks.child(), Arc::<AtomicBool>::default());
        self.running
            .insert(id.clone(), RunningOperation { tasks: tasks.clone(), is_over: Arc::clone(&is_over) });
        let work = OperationWork {
            state: Arc::clone(&self.state),
            served: self.state.served(&self.served.endpoint.name).unwrap_or_else(|| self.served.clone()),
            caller: self.caller.clone(),
            parent: self.parent.clone(),
            sender: self.sender.clone(),
            is_over,
            id,
        };
        let own = tasks.clone();
        tasks.spawn("operation", async move {
            work.run(params, &own).await;
            own.cancel();
        });
        Ok(())
    }
}

/// One operation of a socket.
struct OperationWork {
    state: Arc<GatewayState>,
    served: ServedCluster,
    caller: Caller,
    parent: Parent,
    sender: mpsc::Sender<Frame>,
    is_over: Arc<AtomicBool>,
    id: String,
}

impl OperationWork {
    async fn run(&self, params: Params, tasks: &Tasks) {
        let done = self.answer(params, tasks).await;
        if tasks.is_cancelled() {
            // Who has said `complete` hears nothing more.
            return;
        }
        let (last, is_refused) = match done {
            Ok(is_refused) => (json!({"id": self.id, "type": "complete"}), is_refused),
            Err(problem) => {
                let errors: Vec<Value> =
                    problem.errors.iter().take(100).map(crate::error::GraphError::to_json).collect();
                let is_refused = problem.status == StatusCode::UNAUTHORIZED;
                (json!({"id": self.id, "type": "error", "payload": errors}), is_refused)
            }
        };
        self.is_over.store(true, Ordering::Relaxed);
        self.say(last.to_string()).await;
        if is_refused {
            // The socket has no other token.
            let _ = self.sender.send(closing(UNAUTHORIZED)).await;
        }
    }

    async fn say(&self, text: String) {
        let _ = self.sender.send(Frame::Text(text.into())).await;
    }

    /// Answers. Returns `true` if the token is accepted no more.
    async fn answer(&self, params: Params, tasks: &Tasks) -> Result<bool, RequestProblem> {
        let _place = graphql::place(&self.caller)?;
        // The socket may have been opened long ago.
        let ServedCluster { endpoint, callers } = &self.served;
        callers.still_accept(&endpoint.upstream, &self.caller).await.map_err(RequestProblem::of)?;
        let prepared = prepared::prepared(&self.state, &self.served, &params)?;
        if !prepared.is_subscription() {
            let answer = self.executed(&prepared).await?;
            self.next(&answer).await;
            return Ok(false);
        }
        let field = prepared.field();
        let subscriber = prepared.subscriber(&self.state, &self.served, &self.caller, None);
        let mut messages = Box::pin(subscribe(subscriber, tasks).map_err(RequestProblem::of)?);
        let mut is_refused = false;
        while let Some(message) = messages.next().await {
            match message {
                SubscriptionMessage::Next(answer, _) => self.next(&answer).await,
                SubscriptionMessage::Failed(error) => {
                    is_refused = error.code == ErrorCode::Unauthenticated;
                    self.next(&super::stream::failed(&field, &error)).await;
                }
            }
        }
        Ok(is_refused)
    }

    async fn executed(&self, prepared: &prepared::PreparedQuery) -> Result<Vec<u8>, RequestProblem> {
        let span = record::span(&self.state, (record::ROUTE, &self.served.endpoint.name), &self.parent);
        prepared.describe(&span);
        let work = span.cover(prepared.execute(&self.state, &self.served, &self.caller));
        timeout(self.state.limits.request_timeout, work).await.map_err(|_| {
            span.failed("timeout");
            graphql::too_slow()
        })
    }

    async fn next(&self, answer: &[u8]) {
        let payload = String::from_utf8_lossy(answer);
        let id = crate::scan::quoted(&self.id);
        self.say(format!("{{\"id\":{id},\"type\":\"next\",\"payload\":{payload}}}")).await;
    }
}
