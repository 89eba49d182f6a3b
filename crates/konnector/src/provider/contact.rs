//! Contact with a provider.

use std::time::Duration;

use portolan_core::condition::Verdict;
use portolan_runtime::{
    apply::{WriteError, code},
    telemetry::ErrorChain,
};
use tokio::time::timeout;

/// The longest that the provider may take to answer a question of ours.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The provider has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} seconds", ANSWER_LIMIT.as_secs())]
struct AnswerTimeout;

/// Waits for an answer of the provider, and not for longer than it may take: others wait for the worker.
pub async fn in_time<T>(answer: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
    let silence = |_| Err(WriteError::Failed(kube::Error::Service(Box::new(AnswerTimeout))));
    timeout(ANSWER_LIMIT, answer).await.unwrap_or_else(silence)
}

/// The state of contact with a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProviderContact {
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

impl ProviderContact {
    /// Judges an error.
    pub(super) fn of(error: &kube::Error) -> Self {
        let message = ErrorChain(error).to_string();
        if [403, 404].contains(&code(error)) { Self::Refused { message } } else { Self::Down { message } }
    }
}

/// The outcome of the last heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatOutcome {
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
