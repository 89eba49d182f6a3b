//! Bodies that are still being sent when the answer is ready. If nobody read on, the connection would be reset or the
//! stream cut off, and the client would often see that instead of the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::timeout};

use crate::tasks::Tasks;

/// Limits on the bytes that are read on, and on the time.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body that is handed back when it is dropped before its end.
struct Heard {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Rest>>,
    is_read: bool,
}

/// The part of a body that nobody has read.
struct Rest {
    body: Incoming,
    /// Somebody has begun to read, and so has told the client to send.
    is_read: bool,
}

/// The unread rest of a body.
pub(super) struct Leftover {
    rest: oneshot::Receiver<Rest>,
    /// A client that waits for `100 Continue` sends nothing until somebody reads.
    waits_for_a_word: bool,
}

/// The request as handlers see it.
pub(super) fn heard(request: Request<Incoming>) -> (Request<Body>, Leftover) {
    let waits_for_a_word = expects_a_word(request.headers());
    let (back, rest) = oneshot::channel();
    let heard = |body| Heard { body: Some(body), back: Some(back), is_read: false };
    (request.map(|body| Body::new(heard(body))), Leftover { rest, waits_for_a_word })
}

fn expects_a_word(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Leftover {
    /// Reads the rest in the background, while the answer is sent.
    pub(super) fn pour_away(mut self, tasks: &Tasks) {
        if let Ok(Rest { mut body, is_read }) = self.rest.try_recv()
            && (is_read || !self.waits_for_a_word)
        {
            tasks.spawn("rest of a body", async move {
                let _ = timeout(TIMEOUT, pour(&mut body)).await;
            });
        }
    }
}

async fn pour(body: &mut Incoming) {
    let mut left = MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl hyper::body::Body for Heard {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_read = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(back)) = (rest, self.back.take()) {
            // Nobody waits for it when the answer was there long ago.
            let _ = back.send(Rest { body, is_read: self.is_read });
        }
    }
}
