//! The entry point that `fuzz/` calls.

use portolan_core::auth::ReviewVersion;

use crate::protobuf;

/// Reads a `TokenReview` in protobuf, and returns why it cannot be read.
///
/// # Errors
/// The text that the caller would get.
pub fn review(body: &[u8]) -> Result<(), String> {
    protobuf::parse(body, ReviewVersion::V1).map(drop).map_err(|error| error.to_string())
}
