//! Why a key could not be reconciled: IO that failed. A person's mistake is a condition or an Event.

use std::{fmt::Display, time::Duration};

use portolan_runtime::{apply::WriteError, controller::ReconcileFailure};

/// When to look again for what nobody watches, such as a foreign namespace that stands in the way.
pub(crate) const RECHECK: Duration = Duration::from_secs(30);

/// Something could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {what}")]
pub(crate) struct ReconcileError {
    action: &'static str,
    what: String,
    #[source]
    source: Box<WriteError>,
}

impl ReconcileError {
    pub(crate) fn new(action: &'static str, what: impl Display, source: impl Into<WriteError>) -> Self {
        Self { action, what: what.to_string(), source: Box::new(source.into()) }
    }
}

impl ReconcileFailure for ReconcileError {
    fn is_conflict(&self) -> bool {
        self.source.is_conflict()
    }
}
