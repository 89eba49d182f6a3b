//! A connection over HTTP/2 whose other end proves twice a second that it is there: by answers to pings that we send
//! and time ourselves. What came over it is as old as its last proof, and not older.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::poll_fn;
use h2::{Ping, PingPong, RecvStream, client::SendRequest};
use http::{HeaderValue, Request, Response, Uri, header, uri::PathAndQuery};
use hyper::body::Frame;
use hyper_util::{client::legacy::connect::Connection as _, rt::TokioIo};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tower::{BoxError, Service as _};
use tracing::debug;

use super::{CONNECT_TIMEOUT, shards::Https};
use crate::tasks::Tasks;

/// Interval of the pings.
const PING_EVERY: Duration = Duration::from_millis(500);
/// Time without an answer after which the connection is given up.
const PONG_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that the server may send before they are read: of one answer, and of all of them. So many that a server has
/// to wait only while we have plenty to read.
const WINDOWS: (u32, u32) = (4 << 20, 32 << 20);

/// Reasons why there is no such connection.
#[derive(Debug, thiserror::Error)]
pub enum NoPulse {
    /// The server cannot be reached.
    #[error("no connection was made")]
    Unreachable(#[source] BoxError),
    /// The server does not offer HTTP/2, and so would answer no ping.
    #[error("the server does not speak HTTP/2")]
    NoHttp2,
    /// The server does not answer in time.
    #[error("the server did not answer in time")]
    Silent,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] h2::Error),
    /// Path and query do not make a URL.
    #[error("the request has no valid path")]
    Path(#[from] http::Error),
}

/// A connection that is pinged. It ends when nobody uses it any more.
#[derive(Debug)]
pub struct Pulse {
    sender: SendRequest<Bytes>,
    base: Uri,
    proof: watch::Receiver<Instant>,
}

impl Pulse {
    pub(super) async fn open(connector: &Https, base: &Uri, tasks: &Tasks) -> Result<Self, NoPulse> {
        let begun = Instant::now();
        let mut connector = connector.clone();
        let connecting = async {
            poll_fn(|cx| connector.poll_ready(cx)).await?;
            connector.call(base.clone()).await
        };
        let stream = timeout(CONNECT_TIMEOUT, connecting).await;
        let stream = stream.unwrap_or_else(|late| Err(late.into())).map_err(NoPulse::Unreachable)?;
        if !stream.connected().is_negotiated_h2() {
            return Err(NoPulse::NoHttp2);
        }
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).initial_window_size(WINDOWS.0).initial_connection_window_size(WINDOWS.1);
        let (sender, mut connection) = builder.handshake(TokioIo::new(stream)).await?;
        let mut pings = connection.ping_pong().expect("it is taken once");
        let (said, proof) = watch::channel(begun);
        tasks.spawn("pulse", async move {
            tokio::select! {
                end = connection => debug!(?end, "a pinged connection has ended"),
                () = beat(&mut pings, &said) => debug!("a ping was not answered"),
            }
        });
        Ok(Self { sender, base: base.clone(), proof })
    }

    /// When the last ping that was answered had been sent. Its sender is gone once the connection is.
    pub fn proof(&self) -> watch::Receiver<Instant> {
        self.proof.clone()
    }

    /// Returns `true` once the connection has ended.
    pub fn is_over(&self) -> bool {
        self.proof.has_changed().is_err()
    }

    /// Sends a request without a body, whose URI is path and query only, with this `Authorization`.
    ///
    /// # Errors
    /// If the server does not answer over this connection.
    pub async fn send(
        &self,
        mut request: Request<()>,
        authorization: &HeaderValue,
    ) -> Result<Response<Streamed>, NoPulse> {
        *request.uri_mut() = below(&self.base, request.uri())?;
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        let mut sender = self.sender.clone().ready().await?;
        let (answer, _) = sender.send_request(request, true)?;
        Ok(answer.await?.map(Streamed))
    }
}

/// A URI of path and query only, below that of a server.
pub(super) fn below(base: &Uri, asked: &Uri) -> Result<Uri, http::Error> {
    let mut parts = base.clone().into_parts();
    let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    let prefix = base.path().trim_end_matches('/');
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{prefix}{asked}"))?);
    Ok(Uri::from_parts(parts)?)
}

async fn beat(pings: &mut PingPong, said: &watch::Sender<Instant>) {
    loop {
        let sent = Instant::now();
        let Ok(Ok(_)) = timeout(PONG_LIMIT, pings.ping(Ping::opaque())).await else { return };
        said.send_replace(sent);
        sleep_until(sent + PING_EVERY).await;
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Streamed(RecvStream);

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let polled = self.0.poll_data(cx);
        if let Poll::Ready(Some(Ok(data))) = &polled {
            // The server may send as much again.
            let _ = self.0.flow_control().release_capacity(data.len());
        }
        polled.map_ok(Frame::data)
    }
}
