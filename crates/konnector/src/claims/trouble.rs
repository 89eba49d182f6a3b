//! Descriptions of failures that repeat nothing of the objects: they may be Secrets.

use kube::runtime::watcher;
use portolan_runtime::{apply::WriteError, telemetry::ErrorChain};

use super::side::ClaimSide;

/// Reasons why a step was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClaimTrouble {
    /// A conflict: the object has changed meanwhile.
    Conflict,
    /// We may not.
    Denied(ClaimSide, String),
    /// The API server does not take the object.
    Refused(String),
    /// The provider has no place for the objects of the namespace, yet or any more.
    Unplaced(String),
    /// Anything else: try again.
    Failed(String),
}

impl ClaimTrouble {
    pub(super) fn of(side: ClaimSide, error: &WriteError) -> Self {
        let why = of_request(error.cause());
        match error {
            WriteError::Conflict(_) => Self::Conflict,
            // No fault of ours, and it ends by itself.
            WriteError::Forbidden(kube::Error::Api(status))
                if status.message.contains("being terminated") =>
            {
                Self::Unplaced("the namespace is terminating".to_owned())
            }
            WriteError::Forbidden(_) => Self::Denied(side, why),
            WriteError::Invalid(_) => Self::Refused(why),
            WriteError::Failed(_) => Self::Failed(why),
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Conflict => "another writer changed the object first",
            Self::Denied(_, why) | Self::Refused(why) | Self::Unplaced(why) | Self::Failed(why) => why,
        }
    }

    /// A number that differs for each sort of trouble.
    pub(super) const fn code(&self) -> u16 {
        match self {
            Self::Conflict => 1,
            Self::Denied(..) => 2,
            Self::Refused(_) => 3,
            Self::Unplaced(_) => 4,
            Self::Failed(_) => 5,
        }
    }

    /// At which failure in a row people hear of it. What may end by itself is given time.
    pub(super) const fn tolerated(&self) -> u32 {
        match self {
            Self::Denied(..) | Self::Refused(_) => 1,
            Self::Unplaced(_) | Self::Failed(_) => 3,
            Self::Conflict => 10,
        }
    }
}

/// Messages of the API server may quote values; its reasons do not.
pub(super) fn of_request(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answers {} {}", status.code, status.reason),
        kube::Error::SerdeError(_) => "the answer cannot be read".to_owned(),
        other => ErrorChain(other).to_string(),
    }
}

pub(super) fn of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => of_request(e),
        watcher::Error::WatchError(status) => {
            format!("the API server answers {} {}", status.code, status.reason)
        }
        watcher::Error::NoResourceVersion => "the answer cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn no_message_repeats_what_an_object_says() {
        let api = |code, reason: &str, message: &str| {
            let status =
                Status { code, reason: reason.to_owned(), message: message.to_owned(), ..Status::default() };
            WriteError::from(kube::Error::Api(Box::new(status)))
        };
        let refused =
            ClaimTrouble::of(ClaimSide::Provider, &api(422, "Invalid", "Invalid value: \"hunter2\""));
        assert_eq!(refused, ClaimTrouble::Refused("the API server answers 422 Invalid".to_owned()));
        let parsed = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        let unread =
            ClaimTrouble::of(ClaimSide::Provider, &WriteError::from(kube::Error::SerdeError(parsed)));
        assert!(!unread.why().contains("hunter2"));
        let ends =
            ClaimTrouble::of(ClaimSide::Consumer, &api(403, "Forbidden", "because it is being terminated"));
        assert!(matches!(ends, ClaimTrouble::Unplaced(_)));
        assert!(matches!(
            ClaimTrouble::of(ClaimSide::Consumer, &api(403, "Forbidden", "no")),
            ClaimTrouble::Denied(ClaimSide::Consumer, _)
        ));
    }
}
