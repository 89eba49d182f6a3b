//! Why a key could not be reconciled: IO that failed. A person's mistake is a condition or an Event.

use std::{fmt::Display, time::Duration};

use portolan_runtime::{apply::WriteError, controller::Next};

/// When to look again after a lost race, if no watch event comes first.
const AFTER_RACE: Duration = Duration::from_millis(250);
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

    /// Whether somebody else was faster.
    pub(crate) fn is_race(&self) -> bool {
        matches!(*self.source, WriteError::Raced(_))
    }
}

/// A lost race is no failure: what has changed is looked at soon.
pub(crate) fn or_again(result: Result<Next, ReconcileError>) -> Result<Next, ReconcileError> {
    match result {
        Err(error) if error.is_race() => Ok(Next::After(AFTER_RACE)),
        other => other,
    }
}
