//! Findings of looks at the contract namespace. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use portolan_runtime::apply::code;
use tokio::time::Instant;

use super::identity::FoundContract;

/// The contract namespace is not what it was, or nobody can tell.
#[derive(Clone, Copy, Debug)]
pub struct ContractDoubt {
    pub why: DoubtReason,
    pub since: Duration,
}

/// Reasons to doubt what is in the contract namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtReason {
    Terminating,
    Gone,
    Hidden,
    Unanswered,
}

impl DoubtReason {
    /// To be read after its name.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Terminating => "is terminating",
            Self::Gone => "is gone",
            Self::Hidden => "is no longer visible",
            Self::Unanswered => "could not be read",
        }
    }
}

/// Knowledge of a session about the contract namespace.
#[derive(Debug, Default)]
pub(super) struct ContractState(Mutex<KnownContract>);

impl ContractState {
    pub(super) fn take_in(&self, sight: &ContractSight) {
        self.0.lock().take_in(sight);
    }

    /// The doubt after the last look.
    pub(super) fn doubt(&self) -> Option<ContractDoubt> {
        self.0.lock().doubt()
    }

    /// The finding of the last look that was answered.
    pub(super) fn found(&self) -> FoundContract {
        self.0.lock().found.clone()
    }
}

#[derive(Clone, Debug, Default)]
struct KnownContract {
    found: FoundContract,
    was_seen: bool,
    doubt: Option<(DoubtReason, Instant)>,
}

/// The finding of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContractSight {
    There { uid: String, is_terminating: bool },
    Gone,
    Denied,
    Unanswered,
}

impl ContractSight {
    pub(super) fn of(answer: &kube::Result<Namespace>) -> Self {
        match answer {
            Ok(namespace) => Self::There {
                uid: namespace.uid().unwrap_or_default(),
                is_terminating: namespace.metadata.deletion_timestamp.is_some(),
            },
            Err(error) if code(error) == 404 => Self::Gone,
            Err(error) if code(error) == 403 => Self::Denied,
            Err(_) => Self::Unanswered,
        }
    }
}

fn judge(was_seen: bool, sight: &ContractSight) -> Option<DoubtReason> {
    match sight {
        ContractSight::There { is_terminating: true, .. } => Some(DoubtReason::Terminating),
        ContractSight::Gone => Some(DoubtReason::Gone),
        ContractSight::Denied if was_seen => Some(DoubtReason::Hidden),
        ContractSight::Unanswered => Some(DoubtReason::Unanswered),
        ContractSight::There { .. } | ContractSight::Denied => None,
    }
}

impl KnownContract {
    fn take_in(&mut self, sight: &ContractSight) {
        let unanswered = |why| why == DoubtReason::Unanswered;
        // How long a provider was silent says nothing of how long its namespace has been gone.
        self.doubt = judge(self.was_seen, sight).map(|why| match self.doubt {
            Some((before, since)) if unanswered(before) == unanswered(why) => (why, since),
            _ => (why, Instant::now()),
        });
        self.found = match sight {
            ContractSight::There { uid, .. } => FoundContract::Uid(uid.clone()),
            ContractSight::Gone => FoundContract::Gone,
            ContractSight::Denied => FoundContract::Hidden,
            ContractSight::Unanswered => return,
        };
        self.was_seen |= matches!(sight, ContractSight::There { .. });
    }

    fn doubt(&self) -> Option<ContractDoubt> {
        self.doubt.map(|(why, since)| ContractDoubt { why, since: since.elapsed() })
    }
}

#[cfg(test)]
mod tests;
