//! The reason why a cluster cannot be served as requested, and a message with the cure.

use std::fmt;

/// A problem that somebody has to solve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
    /// `true` if it may go away on its own, so that another try makes sense.
    pub passes: bool,
}

impl Problem {
    /// A problem that stays until something in the management cluster changes.
    pub fn lasting(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), passes: false }
    }

    /// A problem that may be over a moment later.
    pub fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), passes: true }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
