//! The claim of a consumer cluster on a contract, as a condition: of its `ClusterBinding`, or of its exports where
//! the provider keeps none. Pure.
//!
//! A condition, because every backend lets a konnector write these, and none prunes them.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use portolan_core::{
    api::kubebind::CONDITION_CONSUMER_CLUSTER,
    condition::{self, Condition, ConditionStatus, Severity, Verdict},
};
use tokio::time::Instant;

/// The holder of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The uid of the cluster's namespace `kube-system`.
    pub cluster: String,
    pub since: Timestamp,
}

impl Holder {
    pub fn of(conditions: &[Condition]) -> Option<Self> {
        let said = condition::find(conditions, CONDITION_CONSUMER_CLUSTER)?;
        let holds = said.status == ConditionStatus::True && !said.reason.is_empty();
        holds.then(|| Self { cluster: said.reason.clone(), since: said.last_transition_time.0 })
    }
}

/// Knowledge about the holder of the contract.
#[derive(Debug, Default)]
pub(super) struct HolderKnowledge {
    /// The contract that somebody here has agreed to.
    pub(super) agreed: Option<String>,
    /// The holder that people want it to be taken over from, by the object with their annotation.
    pub(super) takes_over: BTreeMap<String, String>,
    pub(super) state: HolderState,
    pub(super) holder: Option<Holder>,
    pub(super) vacant_since: Option<Instant>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum HolderState {
    #[default]
    Unknown,
    Open,
    /// It is not known which cluster this is.
    Nameless(String),
    InUse(Holder),
}

/// Facts that bear on a claim.
pub(super) struct HolderFacts<'a> {
    pub(super) holder: Option<Holder>,
    /// Our cluster.
    pub(super) cluster: &'a str,
    pub(super) contract: &'a str,
    /// Whom people want it to be taken over from.
    pub(super) takes_over: &'a [String],
    /// The holder of the last look, and the time that nobody has held it since.
    pub(super) former: Option<(Holder, Duration)>,
    /// Time for a former holder to claim it again.
    pub(super) grace: Duration,
}

/// The decision about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HolderClaim {
    Ours,
    /// It is to be written that it is ours.
    Take,
    Theirs(Holder),
}

pub(super) fn judge(situation: &HolderFacts<'_>) -> HolderClaim {
    let HolderFacts { cluster, contract, takes_over, grace, .. } = *situation;
    match (&situation.holder, &situation.former) {
        (Some(holder), _) if holder.cluster == cluster => HolderClaim::Ours,
        (Some(holder), _) => {
            let named = |word: &String| *word == holder.cluster || *word == *contract;
            if takes_over.iter().any(named) { HolderClaim::Take } else { HolderClaim::Theirs(holder.clone()) }
        }
        // A ClusterBinding that was recreated, or a backup: its last holder goes first.
        (None, Some((former, vacant))) if former.cluster != cluster && *vacant < grace => {
            HolderClaim::Theirs(former.clone())
        }
        (None, _) => HolderClaim::Take,
    }
}

/// Claims the contract for a cluster.
pub(super) fn claim(conditions: &mut Vec<Condition>, cluster: &str, now: Timestamp) {
    let verdict = Verdict {
        status: ConditionStatus::True,
        severity: Severity::None,
        reason: cluster.to_owned(),
        message: format!("Used by the cluster whose namespace kube-system has the uid {cluster}."),
    };
    condition::set(conditions, CONDITION_CONSUMER_CLUSTER, verdict, now);
    condition::summarize(conditions, now);
}

/// Takes back the claim of a cluster. False where it has none.
pub fn give_back(conditions: &mut Vec<Condition>, cluster: &str, now: Timestamp) -> bool {
    let is_ours = Holder::of(conditions).is_some_and(|holder| holder.cluster == cluster);
    if is_ours {
        condition::remove(conditions, CONDITION_CONSUMER_CLUSTER);
        condition::summarize(conditions, now);
    }
    is_ours
}

/// The holder of a contract that several objects tell of: another cluster, where any of them names one.
pub(super) fn holder_among(holders: impl Iterator<Item = Holder>, cluster: &str) -> Option<Holder> {
    holders.min_by_key(|holder| (holder.cluster == cluster, holder.since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(cluster: &str) -> Holder {
        Holder { cluster: cluster.to_owned(), since: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_contract_belongs_to_one_cluster_until_people_say_otherwise() {
        let judged = |now: Option<&str>, words: &[&str], former: Option<(&str, u64)>| {
            let takes_over: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            judge(&HolderFacts {
                holder: now.map(holder),
                cluster: "us",
                contract: "contract",
                takes_over: &takes_over,
                former: former.map(|(cluster, seconds)| (holder(cluster), Duration::from_secs(seconds))),
                grace: Duration::from_secs(60),
            })
        };
        let theirs = HolderClaim::Theirs(holder("them"));
        let table = [
            (judged(None, &[], None), HolderClaim::Take, "nobody has it"),
            (judged(Some("us"), &[], None), HolderClaim::Ours, "after a restart"),
            (judged(Some("us"), &["us"], Some(("them", 9))), HolderClaim::Ours, "after a takeover"),
            (judged(Some("them"), &[], None), theirs.clone(), "another has it"),
            (judged(Some("them"), &[], Some(("us", 0))), theirs.clone(), "it was taken over"),
            (judged(Some("them"), &["them"], None), HolderClaim::Take, "people name who had it"),
            (judged(Some("them"), &["contract"], None), HolderClaim::Take, "people name the contract"),
            (judged(Some("them"), &["others"], None), theirs.clone(), "people name somebody else"),
            (judged(Some("them"), &[""], None), theirs.clone(), "people name nobody"),
            (judged(None, &[], Some(("them", 59))), theirs, "who had it may come back"),
            (judged(None, &[], Some(("them", 60))), HolderClaim::Take, "who had it does not come back"),
            (judged(None, &[], Some(("us", 0))), HolderClaim::Take, "ours was lost"),
        ];
        for (found, expected, what) in table {
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_claim_is_read_as_it_was_written_and_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        condition::set(&mut conditions, "Healthy", Verdict::holds(), at(1));
        claim(&mut conditions, "us", at(2));
        let ours = Some(Holder { cluster: "us".to_owned(), since: at(2) });
        assert_eq!(Holder::of(&conditions), ours);
        claim(&mut conditions, "us", at(3));
        assert_eq!(Holder::of(&conditions), ours);
        assert!(condition::is_true(&conditions, "Healthy"));
        assert!(!give_back(&mut conditions, "them", at(4)));
        assert!(give_back(&mut conditions, "us", at(4)));
        assert_eq!(Holder::of(&conditions), None);
        assert!(condition::is_true(&conditions, "Healthy"));
    }

    #[test]
    fn of_several_words_that_of_another_cluster_counts() {
        let among = |clusters: &[&str]| {
            holder_among(clusters.iter().copied().map(holder), "us").map(|holder| holder.cluster)
        };
        assert_eq!(among(&[]), None);
        assert_eq!(among(&["us", "us"]).as_deref(), Some("us"));
        assert_eq!(among(&["us", "them"]).as_deref(), Some("them"));
    }
}
