//! Pure: the error for a query that does not fit.

use crate::error::{ErrorCode, GraphError};

/// An error for a query that does not fit.
pub fn unfit(message: impl Into<String>) -> GraphError {
    GraphError::new(ErrorCode::ValidationFailed, message)
}
