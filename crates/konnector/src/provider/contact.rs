//! Contact with a provider.

use std::time::Duration;

use portolan_core::condition::Verdict;
use portolan_runtime::{apply::code, telemetry::ErrorChain};

/// The longest that the provider may take to answer a question of ours.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The state of contact with a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// It has not answered yet.
    #[default]
    Pending,
    /// It has answered, and still does.
    Up,
    /// It does not answer, or does not know us.
    Down { message: String },
    /// It knows us, and does not let us see the contract: perhaps it is not the same any more.
    Refused { message: String },
    /// It answers, and the contract is not ours to work with.
    Closed(Verdict),
}

impl Contact {
    /// Judges an error.
    pub(super) fn of(error: &kube::Error) -> Self {
        let message = ErrorChain(error).to_string();
        if [403, 404].contains(&code(error)) { Self::Refused { message } } else { Self::Down { message } }
    }
}

/// The outcome of the last heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heartbeat {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// The provider keeps no ClusterBinding.
    NotKept,
    /// It did.
    Beating,
    /// It did not.
    Failed(String),
}
