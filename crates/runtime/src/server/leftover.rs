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
    back: Option<oneshot::Sender<Incoming>>,
}

/// The unread rest of a body.
pub(super) struct Leftover {
    body: oneshot::Receiver<Incoming>,
    /// A client that waits for `100 Continue` does not send the body any more.
    is_awaited: bool,
}

/// The request as handlers see it.
pub(super) fn heard(request: Request<Incoming>) -> (Request<Body>, Leftover) {
    let is_awaited = !expects_a_word(request.headers());
    let (back, body) = oneshot::channel();
    let request = request.map(|body| Body::new(Heard { body: Some(body), back: Some(back) }));
    (request, Leftover { body, is_awaited })
}

fn expects_a_word(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Leftover {
    /// Reads the rest in the background, while the answer is sent.
    pub(super) fn pour_away(mut self, tasks: &Tasks) {
        if let Ok(mut body) = self.body.try_recv()
            && self.is_awaited
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
            let _ = back.send(body);
        }
    }
}
