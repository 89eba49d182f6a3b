//! Errors for answers of API servers that are not what they should be.

use crate::{
    error::{ErrorCode, GraphError},
    scan::{ListError, MalformedJson, TypeMismatch},
};

/// An error for a list that cannot be written.
pub(super) fn unlistable(error: ListError) -> GraphError {
    match error {
        ListError::Malformed(malformed) => broken(malformed),
        ListError::NoSuchField => GraphError::new(ErrorCode::Invalid, error.to_string()),
        ListError::Unordered => {
            GraphError::new(ErrorCode::Unavailable, "the list is not in the order of its names: ask again")
        }
    }
}

/// An error for an answer that is not JSON.
pub fn broken(malformed: MalformedJson) -> GraphError {
    if malformed == MalformedJson::TOO_LONG {
        return too_long();
    }
    GraphError::new(ErrorCode::Unavailable, format!("the API server's answer cannot be read: {malformed}"))
}

/// The error for what is selected so often that it would fill the memory.
pub(super) fn too_long() -> GraphError {
    let message = "what is selected is longer than --max-response-bytes: select less, or in several queries";
    GraphError::new(ErrorCode::ResponseTooLarge, message)
}

/// The error for a value that does not fit the schema.
pub(super) fn mismatched(mismatch: &TypeMismatch) -> GraphError {
    let message = format!("the API server's value is not {}, as the schema says", mismatch.expected);
    GraphError::new(ErrorCode::Internal, message).at(&mismatch.path, None)
}
