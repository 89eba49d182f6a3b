//! Answers of API servers that are no success.

use bytes::Bytes;
use http::StatusCode;

/// An answer without success.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}
