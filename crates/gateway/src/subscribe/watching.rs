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
    channel::{WatchChannel, WatchEvent, WatchNews},
    known::ChangeKind,
};
use crate::{
    endpoint::ClusterEndpoint,
    error::{ErrorCode, GraphError},
    lines::AnswerLines,
    scan::{at, text_at},
    upstream::{self, ApiRequest, JSON, RefusedAnswer},
};

/// Maximum size of a list that is read for its version only.
const MAX_LIST: usize = 4 * 1024 * 1024;
const FIRST_DELAY: Duration = Duration::from_millis(800);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// The end of a watch.
enum WatchEnd {
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
pub async fn watch(channel: Weak<WatchChannel>, endpoint: Arc<ClusterEndpoint>, from: Option<String>) {
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
                if is_short && matches!(end, WatchEnd::Again) { WatchEnd::Outage } else { end }
            }
            None => match newest(&channel, &endpoint, &authorization).await {
                Ok(now) => {
                    version = Some(now);
                    channel.tell(WatchNews::Gap);
                    WatchEnd::Again
                }
                Err(end) => end,
            },
        };
        match end {
            WatchEnd::Again => {}
            WatchEnd::Refused(error) => channel.expel(id, &error),
            WatchEnd::Gap(error) if is_callers && error.code == ErrorCode::Timeout => channel.close(&error),
            WatchEnd::Gap(_) => (version, is_callers) = (None, false),
            WatchEnd::Outage => {
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
async fn newest(
    channel: &WatchChannel,
    endpoint: &ClusterEndpoint,
    authorization: &HeaderValue,
) -> Result<String, WatchEnd> {
    let question = ApiRequest::list(with(&channel.path, "limit=1"), JSON);
    let answer =
        endpoint.watches.ask(authorization, question, MAX_LIST).await.map_err(|_| WatchEnd::Outage)?;
    let list = answer.map_err(|refused| meaning(&refused))?;
    text_at(&list, &["metadata", "resourceVersion"]).ok_or(WatchEnd::Outage)
}

/// The error for a version that the server has not reached. A watch from there would be silent and never fail.
async fn ahead(channel: &WatchChannel, endpoint: &ClusterEndpoint, version: &str) -> Option<GraphError> {
    let (_, authorization) = channel.leader()?;
    let parameters = format!("limit=1&resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    let question = ApiRequest::list(with(&channel.path, &parameters), JSON);
    // Whatever else is wrong, the watch finds out.
    let refused = endpoint.watches.ask(&authorization, question, MAX_LIST).await.ok()?.err()?;
    match meaning(&refused) {
        WatchEnd::Gap(error) if error.code == ErrorCode::Timeout => Some(error),
        _ => None,
    }
}

fn meaning(refused: &RefusedAnswer) -> WatchEnd {
    let error = upstream::of_answer(refused, None);
    let is_too_large = error.message.contains("Too large resource version");
    match error.code {
        ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::NotFound | ErrorCode::Invalid => {
            WatchEnd::Refused(error)
        }
        ErrorCode::Expired => WatchEnd::Gap(error),
        ErrorCode::Timeout if is_too_large => WatchEnd::Gap(error),
        _ => WatchEnd::Outage,
    }
}

/// Watches once from a version on, which moves with each event.
async fn once(
    channel: &WatchChannel,
    endpoint: &ClusterEndpoint,
    (id, authorization): (u64, &HeaderValue),
    version: &mut String,
) -> WatchEnd {
    let seconds = rand::rng().random_range(240..300);
    let parameters =
        format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
    let question = ApiRequest::watch(with(&channel.path, &parameters));
    let mut lines = match endpoint.watches.begin(authorization, question).await {
        Ok(Ok(body)) => AnswerLines::of(body),
        Ok(Err(refused)) => return meaning(&refused),
        Err(_) => return WatchEnd::Outage,
    };
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = channel.left.notified() => {
                if channel.has(id) {
                    continue;
                }
                // Stop reading with the credential of a member who has left.
                return WatchEnd::Again;
            }
        };
        match line {
            Ok(Some(line)) => {
                if let Some(end) = heard(channel, &line, version) {
                    return end;
                }
            }
            Ok(None) => return WatchEnd::Again,
            Err(_) => return WatchEnd::Outage,
        }
    }
}

fn heard(channel: &WatchChannel, line: &Bytes, version: &mut String) -> Option<WatchEnd> {
    let kind = text_at(line, &["type"])?;
    let object = at(line, &["object"]).ok().flatten()?;
    let change = match kind.as_str() {
        "ADDED" => ChangeKind::Added,
        "MODIFIED" => ChangeKind::Modified,
        "DELETED" => ChangeKind::Deleted,
        "BOOKMARK" => {
            *version = text_at(object, &["metadata", "resourceVersion"]).unwrap_or_else(|| version.clone());
            return None;
        }
        _ => {
            let reason = text_at(object, &["reason"]).unwrap_or_default();
            let is_gone = matches!(at(object, &["code"]), Ok(Some(b"410")));
            let status = if is_gone || reason == "Expired" || reason == "Gone" { 410 } else { 500 };
            let status = http::StatusCode::from_u16(status).unwrap_or_default();
            return Some(meaning(&RefusedAnswer { status, body: line.slice_ref(object) }));
        }
    };
    let metadata = at(object, &["metadata"]).ok().flatten()?;
    let text = |key: &str| text_at(metadata, &[key]).unwrap_or_default();
    *version = text("resourceVersion");
    let key = key(&text("namespace"), &text("name"));
    let event = WatchEvent { change, object: line.slice_ref(object), key, version: version.clone() };
    channel.tell(WatchNews::Event(Arc::new(event)));
    None
}

/// The key of an object among those of its kind.
pub fn key(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into()
}
