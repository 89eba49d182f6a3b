//! The HTTP client under a client of Kubernetes: few connections, each for many exchanges, and none for longer than
//! it lives.
//!
//! A shard has one HTTP/2 connection and takes a bounded number of exchanges, since servers allow no more at a time
//! and watches never end. One that does not answer gets no further request: the next goes over another connection
//! while the first is still in doubt.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::Body;
use parking_lot::Mutex;
use tower::Service;

use super::{
    lively::Lively,
    signs::{Exchange, Line, Server, Unanswered},
    watches,
};

/// Interval of the HTTP/2 pings to a silent server.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Not the limit that counts: a silent connection fails before.
const PONG_LIMIT: Duration = Duration::from_secs(60);
/// Limit on the exchanges that share a connection. API servers take 100.
const EXCHANGES: u32 = 64;
/// Limit on the bytes of one answer that nobody has read yet. All exchanges of a connection together may have as many
/// as that: an answer that is read slowly keeps no other one waiting.
const UNREAD: u32 = 1024 * 1024;
const UNREAD_OF_ALL: u32 = UNREAD * EXCHANGES;
/// Limit on concurrent connections in doubt; a server that is merely slow gets no more.
const MAX_DOUBTED: usize = 8;
/// Time for which an unused shard is kept.
const UNUSED: Duration = Duration::from_secs(30);

/// The connector that makes connections.
pub(super) type Https = HttpsConnector<HttpConnector>;

/// The connections to one API server.
#[derive(Clone, Debug)]
pub(super) struct Shards(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Https,
    connect_limit: Duration,
    server: Arc<Server>,
    shards: Mutex<Vec<Arc<Shard>>>,
}

#[derive(Debug)]
struct Shard {
    client: legacy::Client<Lively<Https>, Body>,
    line: Arc<Line>,
}

impl Shards {
    pub(super) fn new(connector: Https, connect_limit: Duration, cluster: &'static str) -> Self {
        let server = Server::new(cluster);
        Self(Arc::new(Inner { connector, connect_limit, server, shards: Mutex::default() }))
    }
}

impl Inner {
    /// A shard with room for an exchange, which begins.
    fn begin(&self) -> (Arc<Shard>, Unanswered, Exchange) {
        let mut shards = self.shards.lock();
        shards.retain(|shard| shard.is_of_use());
        let mut doubted = shards.iter().filter(|shard| shard.line.is_doubted()).count();
        for shard in shards.iter().filter(|shard| !shard.line.is_doubted()) {
            if doubted < MAX_DOUBTED && shard.line.keeps_silent() {
                shard.line.doubt();
                doubted += 1;
            }
        }
        let found = shards.iter().find(|shard| shard.has_room()).cloned();
        let shard = found.unwrap_or_else(|| {
            let shard = Arc::new(self.shard());
            shards.push(Arc::clone(&shard));
            shard
        });
        let (unanswered, exchange) = shard.line.ask();
        (shard, unanswered, exchange)
    }

    fn shard(&self) -> Shard {
        let line = Line::new(Arc::clone(&self.server));
        let connector = Lively::new(self.connector.clone(), Arc::clone(&line), self.connect_limit);
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A shared connection counts as idle while no new request takes it, however many watches it carries.
            .pool_idle_timeout(None)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PONG_LIMIT)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(UNREAD)
            .http2_initial_connection_window_size(UNREAD_OF_ALL)
            .build(connector);
        Shard { client, line }
    }
}

impl Shard {
    fn is_of_use(&self) -> bool {
        self.line.exchanges() > 0 || !self.line.is_doubted() && self.line.unused_for() < UNUSED
    }

    fn has_room(&self) -> bool {
        self.line.is_trusted() && (!self.line.multiplexes() || self.line.exchanges() < EXCHANGES as usize)
    }
}

impl Service<Request<Body>> for Shards {
    type Response = Response<Answer>;
    type Error = legacy::Error;
    type Future = BoxFuture<'static, Result<Self::Response, legacy::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shards = self.clone();
        Box::pin(async move { shards.send(request).await })
    }
}

impl Shards {
    /// Sends a request over a connection that lives.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Answer>, legacy::Error> {
        let (shard, unanswered, exchange) = self.0.begin();
        if !shard.line.multiplexes() {
            watches::shorten(request.uri_mut());
        }
        let line = Arc::clone(&shard.line);
        match shard.client.request(request).await {
            Ok(answer) => {
                unanswered.ends();
                Ok(answer.map(|body| Answer { body, line, _exchange: exchange }))
            }
            Err(error) => {
                drop(unanswered);
                note(&line, &error);
                line.server.failed();
                Err(error)
            }
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    line: Arc<Line>,
    _exchange: Exchange,
}

impl hyper::body::Body for Answer {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &polled {
            note(&self.line, error);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts a connection of HTTP/1.1 that was given up; each has one exchange.
fn note(line: &Line, error: &(dyn Error + 'static)) {
    if !line.multiplexes() && is_silence(error) {
        line.server.lost();
    }
}

fn is_silence(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        next = error.source();
    }
    false
}
