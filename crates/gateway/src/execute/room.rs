//! Room for what is kept in memory for one answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{ErrorCode, GraphError};

/// Room for a number of bytes, which whoever keeps some of them takes first.
#[derive(Debug)]
pub(super) struct ByteRoom {
    left: AtomicUsize,
    limit: usize,
}

impl ByteRoom {
    /// Room for this number of bytes.
    pub(super) const fn of(limit: usize) -> Self {
        Self { left: AtomicUsize::new(limit), limit }
    }

    /// Takes some of it, or fails if there is not so much.
    pub(super) fn take(&self, bytes: usize) -> Result<(), GraphError> {
        if take(&self.left, bytes) { Ok(()) } else { Err(self.too_large()) }
    }

    /// The error of what has no room.
    pub(super) fn too_large(&self) -> GraphError {
        let message = format!(
            "what is read for relations has more than {} bytes: use limit, or select less",
            self.limit
        );
        GraphError::new(ErrorCode::ResponseTooLarge, message)
    }
}

/// Takes from what is left, if that is enough.
pub(super) fn take(left: &AtomicUsize, count: usize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).is_ok()
}
