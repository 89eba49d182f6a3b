//! The next step towards the end of a binding. Pure.

use super::super::claims::ClaimsEnd;
use crate::sync::EngineMode;

/// Facts that bear on the end of a binding.
#[derive(Clone, Debug)]
pub(super) struct CleanupFacts {
    pub(super) occasion: EndReason,
    pub(super) reach: ProviderReach,
    /// `true` if CRDs of the binding are left on the consumer.
    pub(super) has_crds: bool,
    /// `true` if the copies on the provider stay: by an annotation, because they belong to another cluster, or because
    /// nobody has asked for their end.
    pub(super) keeps_copies: bool,
    /// `true` if the consumer's objects stay, because the provider or the garbage collector has ended the binding.
    pub(super) keeps_objects: bool,
    /// Mode in which the copies for claims are removed; `None` where nothing is left of them.
    pub(super) claims: Option<EngineMode>,
}

/// Reasons why a binding ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// It was deleted.
    Deleted,
    /// It was deleted with `--cascade=orphan`.
    Orphaned,
    /// It was deleted, and no longer waits for us.
    Released,
    /// The provider withdraws its export; the binding was made by hand, and stays.
    Withdrawn,
}

/// Reach of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProviderReach {
    Up,
    /// After a start: it has not said yet what it exports.
    Unheard,
    Silent,
    /// Its kubeconfig cannot be used.
    NoSession,
    /// Its kubeconfig leads to another contract.
    AnotherContract,
    /// It is not known whose the contract is.
    Doubtful,
}

impl ProviderReach {
    /// The obstacle for a binding that cannot end without its provider.
    fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Up => None,
            Self::Unheard | Self::Silent => Some("the provider cluster does not answer"),
            Self::NoSession => Some("its kubeconfig cannot be used"),
            Self::AnotherContract => {
                Some("the kubeconfig leads to another contract than the one that is bound")
            }
            Self::Doubtful => Some("it is not known whether the contract is still the one that is bound"),
        }
    }
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CleanupStep {
    /// Nobody works for the binding any more.
    Stop,
    /// CRDs and objects stay on the consumer, without our marks.
    LetGo,
    /// The CRDs go and the copies stay.
    Abandon {
        /// CRDs with objects stay as well.
        keeps_objects: bool,
    },
    /// Objects, copies and CRDs go.
    Drain,
    /// Remove the copies for claims.
    EndClaims(EngineMode),
    /// The provider is to be told, and has to be heard first.
    Listen,
    /// Report it to the provider, and let the binding go.
    Release,
    /// Report it to the provider, and keep the binding.
    Tell,
    /// Wait for the engines, which report.
    LookAgain,
    /// Something stands in the way: report it.
    Wait(String),
}

pub(super) fn plan(facts: &CleanupFacts) -> CleanupStep {
    match facts.occasion {
        EndReason::Released => CleanupStep::Stop,
        EndReason::Orphaned => CleanupStep::LetGo,
        _ if facts.has_crds && facts.keeps_copies => {
            CleanupStep::Abandon { keeps_objects: facts.keeps_objects }
        }
        EndReason::Deleted if facts.has_crds => drain(facts.reach),
        EndReason::Deleted => finish(facts),
        EndReason::Withdrawn if facts.has_crds => CleanupStep::Drain,
        EndReason::Withdrawn => facts.claims.map_or(CleanupStep::Tell, CleanupStep::EndClaims),
    }
}

fn drain(reach: ProviderReach) -> CleanupStep {
    reach.obstacle().map_or(CleanupStep::Drain, |why| CleanupStep::Wait(why.to_owned()))
}

/// Bound objects may need what is claimed until they are gone, so it goes after them.
fn finish(facts: &CleanupFacts) -> CleanupStep {
    let Some(mode) = facts.claims else {
        return if facts.reach == ProviderReach::Unheard {
            CleanupStep::Listen
        } else {
            CleanupStep::Release
        };
    };
    // Only to take our marks off, on this side, nothing is asked of the provider.
    let needs_provider = mode != EngineMode::Withdraw || facts.reach == ProviderReach::NoSession;
    match facts.reach.obstacle() {
        Some(why) if needs_provider => CleanupStep::Wait(why.to_owned()),
        _ => CleanupStep::EndClaims(mode),
    }
}

/// The step that follows this progress of the claims.
pub(super) fn after_claims(facts: &CleanupFacts, end: ClaimsEnd) -> CleanupStep {
    match end {
        ClaimsEnd::Done => plan(&CleanupFacts { claims: None, ..facts.clone() }),
        ClaimsEnd::Blocked(why) if facts.occasion != EndReason::Withdrawn => CleanupStep::Wait(why),
        ClaimsEnd::Blocked(_) | ClaimsEnd::UnderWay => CleanupStep::LookAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELETED: CleanupFacts = CleanupFacts {
        occasion: EndReason::Deleted,
        reach: ProviderReach::Up,
        has_crds: true,
        keeps_copies: false,
        keeps_objects: false,
        claims: None,
    };
    const EMPTY: CleanupFacts = CleanupFacts { has_crds: false, ..DELETED };
    const WITHDRAWN: CleanupFacts = CleanupFacts { occasion: EndReason::Withdrawn, ..DELETED };

    fn waits(reach: ProviderReach) -> CleanupStep {
        CleanupStep::Wait(reach.obstacle().unwrap().to_owned())
    }

    #[test]
    fn objects_go_before_claims_and_claims_before_the_binding() {
        let drains = Some(EngineMode::Drain);
        let table = [
            (CleanupFacts { claims: drains, ..DELETED }, CleanupStep::Drain),
            (CleanupFacts { claims: drains, ..EMPTY }, CleanupStep::EndClaims(EngineMode::Drain)),
            (EMPTY, CleanupStep::Release),
            (CleanupFacts { claims: drains, ..WITHDRAWN }, CleanupStep::Drain),
            (
                CleanupFacts { has_crds: false, claims: drains, ..WITHDRAWN },
                CleanupStep::EndClaims(EngineMode::Drain),
            ),
            (CleanupFacts { has_crds: false, ..WITHDRAWN }, CleanupStep::Tell),
            (CleanupFacts { occasion: EndReason::Released, ..DELETED }, CleanupStep::Stop),
            (CleanupFacts { occasion: EndReason::Orphaned, ..DELETED }, CleanupStep::LetGo),
        ];
        for (facts, expected) in table {
            assert_eq!(plan(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn nothing_of_the_copies_is_left_behind_because_the_provider_is_out_of_reach() {
        for reach in [
            ProviderReach::Silent,
            ProviderReach::NoSession,
            ProviderReach::AnotherContract,
            ProviderReach::Doubtful,
            ProviderReach::Unheard,
        ] {
            assert_eq!(plan(&CleanupFacts { reach, ..DELETED }), waits(reach));
            let drains = CleanupFacts { reach, claims: Some(EngineMode::Drain), ..EMPTY };
            assert_eq!(plan(&drains), waits(reach));
            let withdraws = CleanupFacts { claims: Some(EngineMode::Withdraw), ..drains };
            let expected = if reach == ProviderReach::NoSession {
                waits(reach)
            } else {
                CleanupStep::EndClaims(EngineMode::Withdraw)
            };
            assert_eq!(plan(&withdraws), expected, "{reach:?}");
            // With nothing left of it, a binding is deleted, and the provider hears of it if possible.
            let expected =
                if reach == ProviderReach::Unheard { CleanupStep::Listen } else { CleanupStep::Release };
            assert_eq!(plan(&CleanupFacts { reach, ..EMPTY }), expected, "{reach:?}");
        }
    }

    #[test]
    fn copies_that_stay_need_no_provider() {
        for reach in [
            ProviderReach::Up,
            ProviderReach::Silent,
            ProviderReach::NoSession,
            ProviderReach::AnotherContract,
        ] {
            for keeps_objects in [true, false] {
                let facts = CleanupFacts { reach, keeps_copies: true, keeps_objects, ..DELETED };
                assert_eq!(plan(&facts), CleanupStep::Abandon { keeps_objects }, "{facts:?}");
            }
        }
    }

    #[test]
    fn what_follows_claims_depends_on_how_far_they_came() {
        let met = CleanupFacts { claims: Some(EngineMode::Drain), ..EMPTY };
        let by_hand = CleanupFacts { occasion: EndReason::Withdrawn, ..met.clone() };
        let blocked = || ClaimsEnd::Blocked("rights are missing".to_owned());
        assert_eq!(after_claims(&met, ClaimsEnd::Done), CleanupStep::Release);
        assert_eq!(after_claims(&met, ClaimsEnd::UnderWay), CleanupStep::LookAgain);
        assert_eq!(after_claims(&met, blocked()), CleanupStep::Wait("rights are missing".to_owned()));
        assert_eq!(after_claims(&by_hand, ClaimsEnd::Done), CleanupStep::Tell);
        assert_eq!(after_claims(&by_hand, ClaimsEnd::UnderWay), CleanupStep::LookAgain);
        // The binding itself says what is wrong with its claims.
        assert_eq!(after_claims(&by_hand, blocked()), CleanupStep::LookAgain);
    }
}
