//! A stream whose first bytes must come in time. What a connection speaks is known only with them, so no timer of
//! a protocol runs before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::time::{Sleep, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The preface of HTTP/2; no request of HTTP/1.1 is shorter.
const FIRST_BYTES: usize = 24;

/// A stream that fails when its first bytes do not come in time.
pub(super) struct Patient<S> {
    stream: S,
    missing: usize,
    /// None once they are there.
    end: Option<Pin<Box<Sleep>>>,
    /// Held until the first of them is there.
    unheard: Option<TaskTrackerToken>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration, unheard: TaskTrackerToken) -> Self {
        let unheard = Some(unheard);
        Self { stream, missing: FIRST_BYTES, end: Some(Box::pin(sleep(patience))), unheard }
    }
}

impl<S: Read + Unpin> Read for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(end) = &mut this.end else { return Pin::new(&mut this.stream).poll_read(cx, cursor) };
        let mut room = [0; FIRST_BYTES];
        let wanted = this.missing.min(cursor.remaining());
        let mut first = ReadBuf::new(&mut room[..wanted]);
        if Pin::new(&mut this.stream).poll_read(cx, first.unfilled())?.is_pending() {
            return match end.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        this.unheard = None;
        this.missing -= first.filled().len();
        if this.missing == 0 {
            this.end = None;
        }
        cursor.put_slice(first.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
