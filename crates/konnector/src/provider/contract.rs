//! What a session sees of the contract namespace, and whether what has gone from it was withdrawn.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use portolan_runtime::apply::{WriteError, code};
use tokio::time::{Instant, timeout};

use super::{
    identity::Found,
    session::{ANSWER_LIMIT, Session},
};

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

#[derive(Clone, Debug, Default)]
struct Known {
    found: Found,
    was_seen: bool,
    doubt: Option<(Why, Instant)>,
}

/// What one look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    There { uid: String, ends: bool },
    Gone,
    Denied,
    Unanswered,
}

impl Sight {
    fn of(answer: &kube::Result<Namespace>) -> Self {
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

impl Session {
    /// The uid of the contract namespace; `None` where the provider does not let us see it.
    pub(crate) async fn contract_uid(&self) -> Result<Option<String>, WriteError> {
        match self.found() {
            Found::Uid(uid) => return Ok(Some(uid)),
            Found::Hidden => return Ok(None),
            Found::NotYet | Found::Gone => {}
        }
        let answer = self.see_contract().await;
        self.take_in(&Sight::of(&answer));
        match answer.map_err(WriteError::from) {
            Ok(namespace) => Ok(namespace.uid()),
            Err(WriteError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks whether the contract namespace is the one that the konnector began with. What has gone with it was
    /// not withdrawn.
    pub(crate) async fn doubt(&self, limit: Duration) -> Option<Doubt> {
        let sight = timeout(limit.min(ANSWER_LIMIT), self.see_contract()).await;
        let sight = sight.map_or(Sight::Unanswered, |answer| Sight::of(&answer));
        self.take_in(&sight);
        self.last_doubt()
    }

    /// What the last look has shown.
    pub(crate) fn last_doubt(&self) -> Option<Doubt> {
        self.contract.0.lock().doubt()
    }

    /// What the last look that was answered has shown.
    pub(super) fn found(&self) -> Found {
        self.contract.0.lock().found.clone()
    }

    fn take_in(&self, sight: &Sight) {
        self.contract.0.lock().take_in(sight);
        if let Sight::There { uid, .. } = sight
            && self.agreed_contract().is_some_and(|agreed| agreed != *uid)
        {
            self.disagree();
        }
    }

    async fn see_contract(&self) -> kube::Result<Namespace> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.get(&self.namespace).await
    }
}

#[cfg(test)]
mod tests;
