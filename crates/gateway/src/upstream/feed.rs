//! An answer that is read no faster than it is used.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use portolan_runtime::{client::carrier::Answer, traces::Span};

use crate::error::{ErrorCode, GraphError};

/// Size up to which an answer is read at once.
pub(super) const BEGINNING: usize = 256 * 1024;
/// Size from which it is worth a look at what has come.
const PART: usize = 64 * 1024;

/// A request without a whole answer.
pub(super) struct FailedRequest {
    /// The error for the caller.
    pub(super) error: GraphError,
    /// `true` if the connection was lost, so that another one may do.
    pub(super) is_lost: bool,
}

impl From<GraphError> for FailedRequest {
    fn from(error: GraphError) -> Self {
        Self { error, is_lost: false }
    }
}

/// The body of an answer, as far as it has come.
#[derive(Debug)]
pub struct AnswerFeed {
    body: Answer,
    buffer: BytesMut,
    /// Number of bytes that have come.
    come: usize,
    limit: usize,
    is_over: bool,
    /// Ends with the answer.
    span: Span,
}

impl AnswerFeed {
    /// A body of which nothing was read. It fails if it has more bytes than the limit.
    pub(super) fn new((body, span): (Answer, Span), limit: usize) -> Result<Self, FailedRequest> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            span.failed("response_too_large");
            return Err(too_large(limit).into());
        }
        let buffer = BytesMut::with_capacity(announced.min(BEGINNING));
        Ok(Self { body, buffer, come: 0, limit, is_over: false, span })
    }

    /// Reads on until so many bytes wait here, or the answer is over.
    pub(super) async fn read_to(&mut self, wanted: usize) -> Result<(), FailedRequest> {
        while self.buffer.len() < wanted && !self.is_over {
            let Some(frame) = self.body.frame().await else {
                self.is_over = true;
                break;
            };
            let frame = frame.map_err(|_| {
                self.span.failed("broken_off");
                let error = GraphError::new(ErrorCode::Unavailable, "the answer of the API server broke off");
                FailedRequest { error, is_lost: true }
            })?;
            let Some(data) = frame.data_ref() else { continue };
            self.come += data.len();
            if self.come > self.limit {
                self.span.failed("response_too_large");
                return Err(too_large(self.limit).into());
            }
            self.buffer.extend_from_slice(data);
        }
        Ok(())
    }

    /// Reads on until there is enough to look at what waits here once more: twice as much. So nothing is looked at
    /// often, however long it is.
    pub async fn more(&mut self) -> Result<(), GraphError> {
        self.fill(PART.max(self.buffer.len() * 2)).await
    }

    /// Reads to the end. Returns `true` if nothing but white space was left.
    pub async fn ends(&mut self) -> Result<bool, GraphError> {
        while self.buffer.trim_ascii().is_empty() {
            if self.is_over {
                return Ok(true);
            }
            self.buffer.clear();
            self.fill(1).await?;
        }
        Ok(false)
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), GraphError> {
        self.read_to(wanted).await.map_err(|failed| failed.error)
    }

    /// The bytes that wait here.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Drops bytes that were used.
    pub fn used(&mut self, count: usize) {
        self.buffer.advance(count);
    }

    /// Returns `true` if nothing follows the bytes that wait here.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The whole answer, if nothing of it was used.
    pub async fn whole(mut self) -> Result<Bytes, GraphError> {
        // A buffer that need not grow is never copied: half of the memory.
        self.buffer.reserve(usize::try_from(self.body.size_hint().lower()).unwrap_or_default());
        self.fill(usize::MAX).await?;
        Ok(self.buffer.freeze())
    }
}

fn too_large(limit: usize) -> GraphError {
    let message =
        format!("the answer of the API server is larger than {limit} bytes: use limit, or select less");
    GraphError::new(ErrorCode::ResponseTooLarge, message)
}
