//! Keeps one upstream watch going, with the credential of one of its members.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use rand::RngExt as _;
use tokio::time::{Instant, sleep};

use super::{
    channel::{Channel, Event, News},
    known::Change,
};
use crate::{
    endpoint::Endpoint,
    error::{Code, GraphError},
    lines::Lines,
    scan::{at, text_at},
    upstream::{self, JSON, Question, Refused},
};

/// Maximum size of a list that is read for its version only.
const MAX_LIST: usize = 4 * 1024 * 1024;
const FIRST_DELAY: Duration = Duration::from_millis(800);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// The end of a watch.
enum End {
    /// Another watch resumes from the same version.
    Again,
    /// The version is too old, or unknown to the server.
    Gap(GraphError),
    /// The credential is no longer accepted.
    Refused(GraphError),
    /// The API server does not answer.
    Outage,
}

/// Watches as long as there are members.
pub async fn watch(channel: Weak<Channel>, endpoint: Arc<Endpoint>, from: Option<String>) {
    if let Some(version) = &from
        && let Some(channel) = channel.upgrade()
        && let Some(error) = ahead(&channel, &endpoint, version).await
    {
        return channel.close(&error);
    }
    let mut is_callers = from.is_some();
    let mut version = from;
    let mut delay = FIRST_DELAY;
    loop {
        let Some(channel) = channel.upgrade() else { return };
        let Some((id, authorization)) = channel.leader() else { return };
        let end = match &version {
            Some(at) => {
                let (mut at, begun) = (at.clone(), Instant::now());
                let end = once(&channel, &endpoint, (id, &authorization), &mut at).await;
                let has_moved = version.as_deref() != Some(at.as_str());
                if has_moved {
                    (delay, is_callers) = (FIRST_DELAY, false);
                }
                version = Some(at);
                // Whoever ends each watch at once is not asked again at once. Another member need not wait.
                let is_short = !has_moved && begun.elapsed() < FIRST_DELAY && channel.has(id);
                if is_short && matches!(end, End::Again) { End::Outage } else { end }
            }
            None => match newest(&channel, &endpoint, &authorization).await {
                Ok(now) => {
                    version = Some(now);
                    channel.tell(News::Gap);
                    End::Again
                }
                Err(end) => end,
            },
        };
        match end {
            End::Again => {}
            End::Refused(error) => channel.expel(id, &error),
            End::Gap(error) if is_callers && error.code == Code::Timeout => channel.close(&error),
            End::Gap(_) => (version, is_callers) = (None, false),
            End::Outage => {
                drop(channel);
                let jitter: f64 = rand::rng().random_range(1.0..2.0);
                sleep(delay.mul_f64(jitter)).await;
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
    }
}

fn with(path: &str, more: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{more}")
}

/// The current version of the server.
async fn newest(channel: &Channel, endpoint: &Endpoint, authorization: &HeaderValue) -> Result<String, End> {
    let question = Question::list(with(&channel.path, "limit=1"), JSON);
    let answer = endpoint.watches.ask(authorization, question, MAX_LIST).await.map_err(|_| End::Outage)?;
    let list = answer.map_err(|refused| meaning(&refused))?;
    text_at(&list, &["metadata", "resourceVersion"]).ok_or(End::Outage)
}

/// The error for a version that the server has not reached. A watch from there would be silent and never fail.
async fn ahead(channel: &Channel, endpoint: &Endpoint, version: &str) -> Option<GraphError> {
    let (_, authorization) = channel.leader()?;
    let parameters = format!("limit=1&resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    let question = Question::list(with(&channel.path, &parameters), JSON);
    // Whatever else is wrong, the watch finds out.
    let refused = endpoint.watches.ask(&authorization, question, MAX_LIST).await.ok()?.err()?;
    match meaning(&refused) {
        End::Gap(error) if error.code == Code::Timeout => Some(error),
        _ => None,
    }
}

fn meaning(refused: &Refused) -> End {
    let error = upstream::of_answer(refused, None);
    let is_too_large = error.message.contains("Too large resource version");
    match error.code {
        Code::Unauthenticated | Code::Forbidden | Code::NotFound | Code::Invalid => End::Refused(error),
        Code::Expired => End::Gap(error),
        Code::Timeout if is_too_large => End::Gap(error),
        _ => End::Outage,
    }
}

/// Watches once from a version on, which moves with each event.
async fn once(
    channel: &Channel,
    endpoint: &Endpoint,
    (id, authorization): (u64, &HeaderValue),
    version: &mut String,
) -> End {
    let seconds = rand::rng().random_range(240..300);
    let parameters =
        format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
    let question = Question::watch(with(&channel.path, &parameters));
    let mut lines = match endpoint.watches.begin(authorization, question).await {
        Ok(Ok(body)) => Lines::of(body),
        Ok(Err(refused)) => return meaning(&refused),
        Err(_) => return End::Outage,
    };
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = channel.left.notified() => {
                if channel.has(id) {
                    continue;
                }
                // Stop reading with the credential of a member who has left.
                return End::Again;
            }
        };
        match line {
            Ok(Some(line)) => {
                if let Some(end) = heard(channel, &line, version) {
                    return end;
                }
            }
            Ok(None) => return End::Again,
            Err(_) => return End::Outage,
        }
    }
}

fn heard(channel: &Channel, line: &Bytes, version: &mut String) -> Option<End> {
    let kind = text_at(line, &["type"])?;
    let object = at(line, &["object"]).ok().flatten()?;
    let change = match kind.as_str() {
        "ADDED" => Change::Added,
        "MODIFIED" => Change::Modified,
        "DELETED" => Change::Deleted,
        "BOOKMARK" => {
            *version = text_at(object, &["metadata", "resourceVersion"]).unwrap_or_else(|| version.clone());
            return None;
        }
        _ => {
            let reason = text_at(object, &["reason"]).unwrap_or_default();
            let is_gone = matches!(at(object, &["code"]), Ok(Some(b"410")));
            let status = if is_gone || reason == "Expired" || reason == "Gone" { 410 } else { 500 };
            let status = http::StatusCode::from_u16(status).unwrap_or_default();
            return Some(meaning(&Refused { status, body: line.slice_ref(object) }));
        }
    };
    let metadata = at(object, &["metadata"]).ok().flatten()?;
    let text = |key: &str| text_at(metadata, &[key]).unwrap_or_default();
    *version = text("resourceVersion");
    let key = key(&text("namespace"), &text("name"));
    let event = Event { change, object: line.slice_ref(object), key, version: version.clone() };
    channel.tell(News::Event(Arc::new(event)));
    None
}

/// The key of an object among those of its kind.
pub fn key(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into()
}
