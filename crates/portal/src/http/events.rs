//! `GET /api/events`: what changes of that which the caller may know of, as an event stream.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use portolan_core::foreign::GATEWAY_GROUP;
use portolan_runtime::clock;
use serde_json::json;
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{Receiver, error::RecvError},
    },
    time::{Instant, timeout},
};

use super::input::AppAndCaller;
use crate::{
    access::AccessRight,
    app::App,
    caller::Caller,
    news::{NewsItem, NewsKind},
    problem::Problem,
    sight::CallerContext,
};

/// Longest silence of a stream: proxies close idle ones.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time after which it is tried again whether lists are answered, where they were not.
const AGAIN: Duration = Duration::from_secs(1);
/// Age at which a stream of a token ends, so that a token that has ended reads nothing for longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);
const HELLO: &[u8] = b"event: hello\ndata: {}\n\n";
const RESYNC: &[u8] = b"event: resync\ndata: {}\n\n";
const ALIVE: &[u8] = b":\n\n";

struct EventStream {
    app: Arc<App>,
    caller: Arc<Caller>,
    news: Receiver<NewsItem>,
    begun: Option<Instant>,
    /// When the session is over, or what it shows the API server.
    ends: Option<Timestamp>,
    /// When it is tried again whether lists are answered. Nobody could say whether the caller may hear of some news.
    again: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.app.metrics.stream_closed();
    }
}

pub(super) async fn follow((State(app), Extension(caller)): AppAndCaller) -> Result<Response, Problem> {
    let place = Arc::clone(&app.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many event streams are open, try again"))?;
    app.metrics.stream_opened();
    let news = app.stores.newsroom.follow();
    let ends = caller.session.as_ref().map(|opened| {
        let shown = app.sessions.shown_until(&opened.session);
        shown.map_or(opened.ends, |shown| shown.min(opened.ends))
    });
    let source = EventStream { app, caller, news, begun: None, ends, again: None, _place: place };
    let mut response = Response::new(Body::from_stream(stream::unfold(source, next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn next(mut source: EventStream) -> Option<(Result<Bytes, Infallible>, EventStream)> {
    let Some(begun) = source.begun else {
        source.begun = Some(Instant::now());
        return Some((Ok(Bytes::from_static(HELLO)), source));
    };
    let end = Instant::now() + HEARTBEAT;
    loop {
        if begun.elapsed() >= LONGEST {
            return None;
        }
        let left = source.patience(end);
        let tasks = source.app.tasks.clone();
        let told = tokio::select! {
            () = tasks.cancelled() => return None,
            told = timeout(left, source.news.recv()) => told,
        };
        // It may have ended while nothing happened.
        if source.has_ended() {
            return None;
        }
        let frame = match told {
            Ok(Err(RecvError::Closed)) => return None,
            _ if source.again.is_some() => source.caught_up(end).await,
            Err(_) => Ok(Some(Bytes::from_static(ALIVE))),
            Ok(Err(RecvError::Lagged(_))) => Ok(Some(Bytes::from_static(RESYNC))),
            Ok(Ok(news)) => source.frame(&news).await,
        };
        match frame {
            Ok(Some(bytes)) => return Some((Ok(bytes), source)),
            Ok(None) => {}
            // The token holds no more. Whoever has another one comes again with it.
            Err(problem) if problem.status == StatusCode::UNAUTHORIZED => return None,
            Err(_) => source.again = Some(Instant::now() + AGAIN),
        }
    }
}

impl EventStream {
    /// Time to wait for news before something else is to be done.
    fn patience(&self, end: Instant) -> Duration {
        let until = self.again.map_or(end, |again| again.min(end));
        let left = until.saturating_duration_since(Instant::now());
        let Some(ends) = self.ends else { return left };
        left.min(ends.duration_since(clock::now()).try_into().unwrap_or_default())
    }

    /// Returns `true` once the session is over, or what it shows: nobody reads on after a logout, and a browser comes
    /// again with a token that was renewed.
    fn has_ended(&self) -> bool {
        let session = self.caller.session.as_ref();
        self.ends.is_some_and(|ends| ends <= clock::now())
            || session.is_some_and(|opened| self.app.sessions.has_ended(&opened.session.id))
    }

    /// After news that could not be judged: that anything may have changed, as soon as lists are answered again.
    async fn caught_up(&mut self, end: Instant) -> Result<Option<Bytes>, Problem> {
        let now = Instant::now();
        if self.again.is_some_and(|again| again <= now) {
            CallerContext::new(&self.app, &self.caller).sight().await?;
            self.again = None;
            return Ok(Some(Bytes::from_static(RESYNC)));
        }
        Ok((now >= end).then_some(Bytes::from_static(ALIVE)))
    }

    /// The event about some news, if the caller may hear of it.
    async fn frame(&self, news: &NewsItem) -> Result<Option<Bytes>, Problem> {
        if !self.hears(news).await? {
            return Ok(None);
        }
        let kind = match news.kind {
            NewsKind::Products => "products",
            NewsKind::Keys => "keys",
            NewsKind::Plans | NewsKind::Auths => "policies",
            NewsKind::Routes => "routes",
            NewsKind::Anything => return Ok(Some(Bytes::from_static(RESYNC))),
        };
        let mut data = json!({"kind": kind, "namespace": news.namespace, "name": news.name});
        if let Some(version) = news.version.filter(|version| *version < u128::MAX) {
            data["version"] = version.to_string().into();
        }
        Ok(Some(Bytes::from(format!("event: changed\ndata: {data}\n\n"))))
    }

    async fn hears(&self, news: &NewsItem) -> Result<bool, Problem> {
        let asked = CallerContext::new(&self.app, &self.caller);
        let user = &self.caller.user.name;
        let list = |group, resource| {
            let namespaces = [news.namespace.clone()];
            async move {
                let places = asked.places(AccessRight::foreign("list", group, resource), &namespaces).await?;
                Ok(places.has(&namespaces[0]))
            }
        };
        match news.kind {
            NewsKind::Anything => Ok(true),
            NewsKind::Products => {
                let sight = asked.sight_in(&news.namespace).await?;
                let is_own = news.whose == *user || sight.manages_products.has(&news.namespace);
                Ok(sight.lists.has(&news.namespace) && (news.is_public || is_own))
            }
            NewsKind::Keys => {
                let is_own = news.whose == *user || (!news.owner.is_empty() && news.owner == *user);
                Ok(is_own || asked.sight_in(&news.namespace).await?.manages_keys.has(&news.namespace))
            }
            NewsKind::Plans => list("extensions.kuadrant.io", "planpolicies").await,
            NewsKind::Auths => list("kuadrant.io", "authpolicies").await,
            NewsKind::Routes => list(GATEWAY_GROUP, "httproutes").await,
        }
    }
}
