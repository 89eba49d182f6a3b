//! Connections that fail when they are silent for too long.
//!
//! A connection that a NAT or a load balancer has forgotten stays open on our side: nothing comes, and nothing
//! says so. With HTTP/2, pings make a living server speak. With HTTP/1.1, who has asked is owed an answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{BoxError, Service};

use super::signs::{Line, SILENCE};

/// Makes lively connections of another connector's.
#[derive(Clone, Debug)]
pub(super) struct Lively<C> {
    inner: C,
    line: Arc<Line>,
    /// Limit for TCP and TLS together.
    limit: Duration,
}

impl<C> Lively<C> {
    pub(super) const fn new(inner: C, line: Arc<Line>, limit: Duration) -> Self {
        Self { inner, line, limit }
    }
}

impl<C> Service<Uri> for Lively<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: Connection + Unpin + Send + 'static,
    C::Future: Send + 'static,
{
    type Response = LivelyStream<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, line, limit) = (self.inner.call(uri), Arc::clone(&self.line), self.limit);
        Box::pin(async move {
            let too_late = |_| {
                let text = format!("no connection was made within {} seconds", limit.as_secs());
                io::Error::new(io::ErrorKind::TimedOut, text)
            };
            let stream = timeout(limit, connecting).await.map_err(too_late)??;
            Ok(LivelyStream::new(stream, line))
        })
    }
}

/// A stream that fails when nothing comes from it for too long.
pub(super) struct LivelyStream<S> {
    stream: S,
    line: Arc<Line>,
    multiplexed: bool,
    timer: Pin<Box<Sleep>>,
    /// Until when something must have come. None while nobody wants to read.
    deadline: Option<Instant>,
}

impl<S: Connection> LivelyStream<S> {
    fn new(stream: S, line: Arc<Line>) -> Self {
        let multiplexed = stream.connected().is_negotiated_h2();
        line.server.multiplexes.store(multiplexed, Ordering::Relaxed);
        line.heard();
        Self { stream, line, multiplexed, timer: Box::pin(sleep(SILENCE)), deadline: None }
    }
}

impl<S> LivelyStream<S> {
    /// Nothing is there to be read.
    fn silent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + SILENCE);
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(self.lost()));
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn lost(&self) -> io::Error {
        // A connection of HTTP/1.1 may be an idle one; those that are not are counted where their answer is read.
        if self.multiplexed {
            self.line.server.lost();
        }
        let text = format!("the server was silent for {} seconds", SILENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Restarts the wait, as a new request may; but a ping is nobody's request.
    fn wrote(&mut self) {
        if let Some(deadline) = self.deadline.as_mut().filter(|_| !self.multiplexed) {
            *deadline = Instant::now() + SILENCE;
        }
    }
}

impl<S: Connection> Connection for LivelyStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl<S: Read + Unpin> Read for LivelyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, cursor) else {
            return self.silent(cx);
        };
        self.deadline = None;
        self.line.heard();
        Poll::Ready(read)
    }
}

impl<S: Write + Unpin> Write for LivelyStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
