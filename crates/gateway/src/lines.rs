//! The lines of an answer, as they come.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use portolan_runtime::client::carrier::Answer;
use tokio::time::timeout;

/// Maximum length of a line.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Reasons why there is no further line.
#[derive(Debug)]
pub enum LineError<E = hyper::Error> {
    /// It is longer than any.
    TooLong,
    /// Nothing came for so long.
    Silence(Duration),
    /// The answer broke off.
    Broken(E),
}

/// The lines of an answer.
pub struct AnswerLines<B = Answer> {
    body: B,
    buffer: BytesMut,
    /// Length of the part of the buffer without a line end.
    searched: usize,
    /// Time after which somebody who says nothing is given up.
    patience: Option<Duration>,
}

impl<B: Body<Data = Bytes> + Unpin> AnswerLines<B> {
    /// The lines of somebody who may say nothing for any time.
    pub fn of(body: B) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, patience: None }
    }

    /// The lines of somebody who says something at least so often.
    pub fn of_talker(body: B, patience: Duration) -> Self {
        Self { patience: Some(patience), ..Self::of(body) }
    }

    /// Returns `true` if no part of a line is waiting for the rest of it.
    pub fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next line, without its end. None at the end of the answer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LineError<B::Error>> {
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + found + 1).freeze();
                self.searched = 0;
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                return Err(LineError::TooLong);
            }
            let frame = match self.patience {
                Some(time) => timeout(time, self.body.frame()).await.map_err(|_| LineError::Silence(time))?,
                None => self.body.frame().await,
            };
            match frame {
                Some(frame) => {
                    if let Ok(data) = frame.map_err(LineError::Broken)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }
}
