//! Answers of API servers that are no success.

use bytes::Bytes;
use http::StatusCode;

/// An answer without success.
#[derive(Debug)]
pub struct RefusedAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}
