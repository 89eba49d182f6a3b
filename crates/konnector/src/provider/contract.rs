//! What looks at the contract namespace have shown. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use portolan_runtime::apply::code;
use tokio::time::Instant;

use super::identity::Found;

/// The contract namespace is not what it was, or nobody can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    pub(crate) why: Why,
    pub(crate) since: Duration,
}

/// Why what is in the contract namespace is perhaps not what it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Ends,
    Gone,
    Hidden,
    Unanswered,
}

impl Why {
    /// To be read after its name.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Ends => "is being deleted",
            Self::Gone => "is gone",
            Self::Hidden => "cannot be seen any more",
            Self::Unanswered => "could not be looked at",
        }
    }
}

/// What a session knows of the contract namespace.
#[derive(Debug, Default)]
pub(super) struct Contract(Mutex<Known>);

impl Contract {
    pub(super) fn take_in(&self, sight: &Sight) {
        self.0.lock().take_in(sight);
    }

    /// What the last look has shown.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.0.lock().doubt()
    }

    /// What the last look that was answered has shown.
    pub(super) fn found(&self) -> Found {
        self.0.lock().found.clone()
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    found: Found,
    was_seen: bool,
    doubt: Option<(Why, Instant)>,
}

/// What one look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    There { uid: String, ends: bool },
    Gone,
    Denied,
    Unanswered,
}

impl Sight {
    pub(super) fn of(answer: &kube::Result<Namespace>) -> Self {
        match answer {
            Ok(namespace) => Self::There {
                uid: namespace.uid().unwrap_or_default(),
                ends: namespace.metadata.deletion_timestamp.is_some(),
            },
            Err(error) if code(error) == 404 => Self::Gone,
            Err(error) if code(error) == 403 => Self::Denied,
            Err(_) => Self::Unanswered,
        }
    }
}

fn judge(was_seen: bool, sight: &Sight) -> Option<Why> {
    match sight {
        Sight::There { ends: true, .. } => Some(Why::Ends),
        Sight::Gone => Some(Why::Gone),
        Sight::Denied if was_seen => Some(Why::Hidden),
        Sight::Unanswered => Some(Why::Unanswered),
        Sight::There { .. } | Sight::Denied => None,
    }
}

impl Known {
    fn take_in(&mut self, sight: &Sight) {
        let unanswered = |why| why == Why::Unanswered;
        // How long a provider was silent says nothing of how long its namespace has been gone.
        self.doubt = judge(self.was_seen, sight).map(|why| match self.doubt {
            Some((before, since)) if unanswered(before) == unanswered(why) => (why, since),
            _ => (why, Instant::now()),
        });
        self.found = match sight {
            Sight::There { uid, .. } => Found::Uid(uid.clone()),
            Sight::Gone => Found::Gone,
            Sight::Denied => Found::Hidden,
            Sight::Unanswered => return,
        };
        self.was_seen |= matches!(sight, Sight::There { .. });
    }

    fn doubt(&self) -> Option<Doubt> {
        self.doubt.map(|(why, since)| Doubt { why, since: since.elapsed() })
    }
}

#[cfg(test)]
mod tests;
