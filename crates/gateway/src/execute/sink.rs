//! The way of an answer to its reader: it is kept while it is small, and handed on in parts as soon as it is not, no
//! faster than they are taken.

use std::mem::take;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::GraphError;

/// Size of a part.
pub const PART: usize = 64 * 1024;

/// A part of an answer.
#[derive(Debug)]
pub enum AnswerPart {
    /// The next bytes.
    Bytes(Bytes),
    /// Nothing more: the answer is whole.
    End,
}

/// Reasons why an answer has no end.
#[derive(Debug)]
pub enum StopReason {
    /// Its reader has gone.
    Gone,
    /// It has begun already, and the rest cannot be had.
    Broken(GraphError),
}

/// An answer in the making.
pub struct AnswerSink {
    /// The bytes that wait here.
    pub out: Vec<u8>,
    /// The size from which they are handed on.
    pub room: usize,
    parts: Option<mpsc::Sender<AnswerPart>>,
    has_begun: bool,
}

impl AnswerSink {
    /// An answer that is kept, whatever its size.
    pub const fn kept() -> Self {
        Self { out: Vec::new(), room: usize::MAX, parts: None, has_begun: false }
    }

    /// An answer that is handed on from a size on.
    pub const fn handed_on(room: usize, parts: mpsc::Sender<AnswerPart>) -> Self {
        Self { out: Vec::new(), room, parts: Some(parts), has_begun: false }
    }

    /// Returns `true` if nothing that is written can be taken back.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Hands on what waits here if that is a part.
    pub async fn pass(&mut self) -> Result<(), StopReason> {
        if self.out.len() < self.room {
            return Ok(());
        }
        self.flush().await
    }

    /// Hands on what waits here, whatever its size.
    pub async fn flush(&mut self) -> Result<(), StopReason> {
        let Some(parts) = &self.parts else { return Ok(()) };
        (self.has_begun, self.room) = (true, PART);
        let next = Vec::with_capacity(PART + PART / 4);
        let bytes = std::mem::replace(&mut self.out, next);
        parts.send(AnswerPart::Bytes(bytes.into())).await.map_err(|_| StopReason::Gone)
    }

    /// The end of the answer: all of it, unless it was handed on.
    pub async fn end(mut self) -> Result<Option<Vec<u8>>, StopReason> {
        if !self.has_begun {
            return Ok(Some(take(&mut self.out)));
        }
        self.flush().await?;
        if let Some(parts) = &self.parts {
            parts.send(AnswerPart::End).await.map_err(|_| StopReason::Gone)?;
        }
        Ok(None)
    }
}
