//! Whether the contract namespace is still the one that the konnector began with.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use portolan_runtime::apply::{WriteError, code};
use tokio::time::{Instant, timeout};

use super::session::{ANSWER_LIMIT, Session};

/// The contract namespace is not what it was, or nobody can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    pub(crate) why: Why,
    pub(crate) since: Duration,
}

/// Why what is in the contract namespace is perhaps not what it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    MadeAnew,
    Ends,
    Gone,
    Hidden,
    Unanswered,
}

impl Why {
    /// To be read after its name.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::MadeAnew => "was made anew",
            Self::Ends => "is being deleted",
            Self::Gone => "is gone",
            Self::Hidden => "cannot be seen any more",
            Self::Unanswered => "could not be looked at",
        }
    }
}

/// What is known of the contract namespace. It outlives sessions: a new one asks whether it is still the same.
#[derive(Debug, Default)]
pub(super) struct Contract(Mutex<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    began_with: Identity,
    now: Option<String>,
    doubt: Option<(Why, Instant)>,
    /// What a bundle has said last that it was bound to.
    told: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Identity {
    #[default]
    Unknown,
    /// The provider has never let us see it.
    Hidden,
    Uid(String),
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

fn judge(began_with: &Identity, sight: &Sight) -> Option<Why> {
    match (sight, began_with) {
        (Sight::There { uid, .. }, Identity::Uid(first)) if uid != first => Some(Why::MadeAnew),
        (Sight::There { ends: true, .. }, _) => Some(Why::Ends),
        (Sight::Gone, _) => Some(Why::Gone),
        (Sight::Denied, Identity::Uid(_)) => Some(Why::Hidden),
        (Sight::Unanswered, _) => Some(Why::Unanswered),
        (Sight::There { .. }, _) | (Sight::Denied, Identity::Unknown | Identity::Hidden) => None,
    }
}

impl Known {
    fn take_in(&mut self, sight: &Sight) {
        match (sight, &self.began_with) {
            (Sight::There { uid, .. }, Identity::Unknown | Identity::Hidden) => {
                self.began_with = Identity::Uid(uid.clone());
            }
            (Sight::Denied, Identity::Unknown) => self.began_with = Identity::Hidden,
            _ => {}
        }
        match sight {
            Sight::There { uid, .. } => self.now = Some(uid.clone()),
            Sight::Gone | Sight::Denied => self.now = None,
            Sight::Unanswered => {}
        }
        let unanswered = |why| why == Why::Unanswered;
        // How long a provider was silent says nothing of how long its namespace has been gone.
        self.doubt = judge(&self.began_with, sight).map(|why| match self.doubt {
            Some((before, since)) if unanswered(before) == unanswered(why) => (why, since),
            _ => (why, Instant::now()),
        });
    }

    /// Begins with what was bound before this process started.
    fn expect(&mut self, uid: &str) {
        if self.told.as_deref() == Some(uid) {
            return;
        }
        self.told = Some(uid.to_owned());
        let is_another = self.now.as_deref().is_some_and(|now| now != uid);
        self.began_with = Identity::Uid(uid.to_owned());
        if is_another && self.doubt.is_none() {
            self.doubt = Some((Why::MadeAnew, Instant::now()));
        }
    }

    fn accept(&mut self) {
        if let Some(uid) = self.now.clone() {
            self.began_with = Identity::Uid(uid);
            self.doubt = None;
        }
    }

    fn settled(&self) -> Option<String> {
        match &self.began_with {
            Identity::Uid(uid) if self.doubt.is_none() => Some(uid.clone()),
            Identity::Uid(_) | Identity::Hidden | Identity::Unknown => None,
        }
    }

    fn doubt(&self) -> Option<Doubt> {
        self.doubt.map(|(why, since)| Doubt { why, since: since.elapsed() })
    }
}

impl Contract {
    /// Goes on with what a former session of the same contract has known.
    pub(super) fn inherit(&self, former: &Self) {
        // What is there now is asked of the provider that this session has.
        let known = Known { now: None, ..former.0.lock().clone() };
        *self.0.lock() = known;
    }
}

impl Session {
    /// The uid of the contract namespace; `None` where the provider does not let us see it.
    pub(crate) async fn contract_uid(&self) -> Result<Option<String>, WriteError> {
        let known = self.contract.0.lock().clone();
        if known.now.is_some() || known.began_with == Identity::Hidden {
            return Ok(known.now);
        }
        let answer = self.see_contract().await;
        self.contract.0.lock().take_in(&Sight::of(&answer));
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
        let mut known = self.contract.0.lock();
        known.take_in(&sight);
        known.doubt()
    }

    /// What the last look has shown.
    pub(crate) fn last_doubt(&self) -> Option<Doubt> {
        self.contract.0.lock().doubt()
    }

    /// From now on the contract namespace is the one that is there.
    pub(crate) fn accept_contract(&self) {
        self.contract.0.lock().accept();
    }

    /// Takes in what a bundle says that it is bound to.
    pub(crate) fn expect_contract(&self, uid: &str) {
        self.contract.0.lock().expect(uid);
    }

    /// The uid of the contract namespace, as long as nobody doubts it.
    pub(crate) fn settled_contract(&self) -> Option<String> {
        self.contract.0.lock().settled()
    }

    async fn see_contract(&self) -> kube::Result<Namespace> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.get(&self.namespace).await
    }
}

#[cfg(test)]
mod tests;
