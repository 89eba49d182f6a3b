//! Standing of the konnector under the contract that a session leads to: it is the one that was bound, and it belongs
//! to this cluster.

use std::{sync::Arc, time::Duration};

use portolan_core::{api::kubebind::ANNOTATION_TAKE_OVER, condition::Verdict};
use portolan_runtime::clock;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    claim::{self, Holder, HolderClaim, HolderFacts, HolderState},
    consumer::ClusterIdentity,
    contact::ProviderContact,
    identity::{ContractIdentity, identify},
    pages::HolderRecord,
    session::Session,
};
use crate::word::ContractWord;

/// For how many polls whoever had a contract may claim it again before anybody else.
pub(super) const GRACE_IN_POLLS: u32 = 4;
/// Reason on bundles and bindings: the contract belongs to another consumer cluster.
pub const CONTRACT_IN_USE: &str = "ContractInUse";
/// Reason on bundles and bindings: it is not known which cluster this is.
const CONSUMER_UNKNOWN: &str = "ConsumerClusterUnknown";

/// The permission to work with the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractStanding {
    /// Nobody can tell yet.
    Pending,
    /// It is ours, under this name.
    Open(String),
    /// Nothing is written.
    Closed(Verdict),
}

impl Session {
    /// The standing of an object with this word. What people have agreed to is remembered.
    pub fn standing(&self, word: &ContractWord) -> ContractStanding {
        let contract = match identify(&self.found(), &self.place, word) {
            ContractIdentity::NotYet => return ContractStanding::Pending,
            ContractIdentity::Refused(verdict) => return ContractStanding::Closed(verdict),
            ContractIdentity::Agreed(contract) => contract,
        };
        self.agree(&contract, word);
        match &self.holding.claimed.lock().state {
            HolderState::Unknown => ContractStanding::Pending,
            HolderState::Open => ContractStanding::Open(contract),
            HolderState::Nameless(why) => ContractStanding::Closed(nameless(why)),
            HolderState::InUse(holder) => ContractStanding::Closed(in_use(holder, &self.namespace, word)),
        }
    }

    /// The contact for somebody with this standing.
    pub fn contact_of(&self, standing: &ContractStanding) -> ProviderContact {
        match (standing, self.pulse.contact()) {
            (ContractStanding::Closed(verdict), _) => ProviderContact::Closed(verdict.clone()),
            (ContractStanding::Pending, ProviderContact::Up) => ProviderContact::Pending,
            (_, contact) => contact,
        }
    }

    fn agree(&self, contract: &str, word: &ContractWord) {
        let mut claimed = self.holding.claimed.lock();
        let said = match &word.takes_over {
            Some(former) => claimed.takes_over.insert(word.about.clone(), former.clone()),
            None => claimed.takes_over.remove(&word.about),
        };
        if claimed.agreed.as_deref() != Some(contract) {
            claimed.state = HolderState::Unknown;
            claimed.agreed = Some(contract.to_owned());
        } else if said == word.takes_over {
            return;
        }
        drop(claimed);
        self.holding.due.notify_one();
    }

    /// Takes in that the contract namespace is another one now: nobody has agreed to that.
    pub(super) fn disagree(&self) {
        self.gate.set(false);
        let mut claimed = self.holding.claimed.lock();
        claimed.agreed = None;
        claimed.state = HolderState::Unknown;
    }

    /// Finds out whose the contract is whenever that may have changed, and claims it where nobody has it.
    pub(super) fn spawn_claim(self: &Arc<Self>, poll: Duration) {
        let (session, grace) = (Arc::clone(self), poll * GRACE_IN_POLLS);
        self.tasks.spawn("claim", async move {
            loop {
                session.look_at_claim(grace).await;
                // What cannot be read or written now is tried again with the next poll.
                let due = timeout(poll, session.holding.due.notified()).await;
                drop(due);
            }
        });
    }

    async fn look_at_claim(&self, grace: Duration) {
        let Some(contract) = self.holding.claimed.lock().agreed.clone() else { return };
        let Some(state) = self.judge(&contract, grace).await else { return };
        let changed = {
            let mut claimed = self.holding.claimed.lock();
            // Meanwhile the contract may have become another.
            let same = claimed.agreed.as_ref() == Some(&contract);
            same && std::mem::replace(&mut claimed.state, state.clone()) != state
        };
        if changed {
            info!(namespace = self.namespace, ?state, "the holder of the contract is known");
            self.gate.set(state == HolderState::Open);
            self.reports.due.notify_one();
            self.tell();
        }
    }

    async fn judge(&self, contract: &str, grace: Duration) -> Option<HolderState> {
        let cluster = match self.consumer.known().await {
            ClusterIdentity::Uid(uid) => uid,
            ClusterIdentity::NotYet => return None,
            ClusterIdentity::Hidden(why) => return Some(HolderState::Nameless(why)),
        };
        let pages = self.pages(grace / GRACE_IN_POLLS)?;
        let holder = claim::holder_among(pages.iter().filter_map(|page| Holder::of(page.said())), &cluster);
        let (former, takes_over) = self.take_in_holder(holder.clone());
        let takes_over = &takes_over;
        let situation = HolderFacts { holder, cluster: &cluster, contract, takes_over, former, grace };
        if let HolderClaim::Theirs(holder) = claim::judge(&situation) {
            return Some(HolderState::InUse(holder));
        }
        let is_ours =
            |page: &&HolderRecord| Holder::of(page.said()).is_some_and(|holder| holder.cluster == cluster);
        for page in pages.iter().filter(|page| !is_ours(page)) {
            self.write(page, |conditions| claim::claim(conditions, &cluster, clock::now())).await?;
        }
        Some(HolderState::Open)
    }

    fn take_in_holder(&self, holder: Option<Holder>) -> (Option<(Holder, Duration)>, Vec<String>) {
        let mut claimed = self.holding.claimed.lock();
        let vacant = if holder.is_some() {
            claimed.holder = holder;
            claimed.vacant_since = None;
            Duration::ZERO
        } else {
            claimed.vacant_since.get_or_insert_with(Instant::now).elapsed()
        };
        (
            claimed.holder.clone().map(|holder| (holder, vacant)),
            claimed.takes_over.values().cloned().collect(),
        )
    }

    /// Gives the contract back, because nobody here refers to it any more.
    pub(super) async fn give_back(self: Arc<Self>) {
        let ClusterIdentity::Uid(cluster) = self.consumer.known().await else { return };
        for page in self.pages(Duration::ZERO).unwrap_or_default() {
            if claim::give_back(&mut page.said().to_vec(), &cluster, clock::now()) {
                let taken_out = |conditions: &mut Vec<_>| {
                    claim::give_back(conditions, &cluster, clock::now());
                };
                self.write(&page, taken_out).await;
            }
        }
    }

    /// Returns `true` if the contract is known to be ours.
    pub fn may_write(&self) -> bool {
        self.gate.is_open()
    }

    /// The contract that somebody here has agreed to.
    pub fn agreed_contract(&self) -> Option<String> {
        self.holding.claimed.lock().agreed.clone()
    }
}

fn in_use(holder: &Holder, namespace: &str, word: &ContractWord) -> Verdict {
    let Holder { cluster, since } = holder;
    let message = format!(
        "The contract {namespace} has been used by another consumer cluster since {since}: the one whose namespace \
         kube-system has the uid {cluster}. Nothing is written to the provider from here. Get a separate kubeconfig \
         for this cluster; or, if this cluster should take the contract over: {}",
        word.command(ANNOTATION_TAKE_OVER, cluster)
    );
    Verdict::error(CONTRACT_IN_USE, message)
}

fn nameless(why: &str) -> Verdict {
    let message = format!(
        "The konnector cannot tell which cluster this is, because it may not read namespace kube-system: {why}. \
         Nothing is written. Give its account the rules of charts/konnector/files/rbac.yaml."
    );
    Verdict::error(CONSUMER_UNKNOWN, message)
}
