//! Answers of API servers that are no success.

use bytes::Bytes;
use http::StatusCode;

/// An answer without success.
#[derive(Debug)]
pub struct Refused {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}
