//! The next step towards the end of a binding. Pure.

use super::super::claims::End;
use crate::sync::Mode;

/// What bears on the end of a binding.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) occasion: Occasion,
    pub(super) reach: Reach,
    /// Whether CRDs of the binding are left on the consumer.
    pub(super) has_crds: bool,
    /// Whether the copies on the provider stay: somebody said so, or they belong to another cluster.
    pub(super) keeps_copies: bool,
    /// Whether the consumer's objects stay, because the provider has ended the binding.
    pub(super) keeps_objects: bool,
    /// How what claims have brought goes; `None` where nothing is left of it.
    pub(super) claims: Option<Mode>,
}

/// Why a binding ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It was deleted.
    Deleted,
    /// It was deleted with `--cascade=orphan`.
    Orphaned,
    /// It was deleted, and no longer waits for us.
    Released,
    /// The provider withdraws its export; the binding was made by hand, and stays.
    Withdrawn,
}

/// How far the provider can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
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

impl Reach {
    /// What a binding waits for that cannot end without its provider.
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

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
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
    /// What claims have brought goes.
    EndClaims(Mode),
    /// The provider is to be told, and has to be heard first.
    Listen,
    /// The provider is told, and the binding may go.
    Release,
    /// The provider is told, and the binding stays.
    Tell,
    /// Engines are at work, and tell.
    LookAgain,
    /// Something stands in the way: people are told.
    Wait(String),
}

pub(super) fn plan(facts: &Facts) -> Step {
    match facts.occasion {
        Occasion::Released => Step::Stop,
        Occasion::Orphaned => Step::LetGo,
        _ if facts.has_crds && facts.keeps_copies => Step::Abandon { keeps_objects: facts.keeps_objects },
        Occasion::Deleted if facts.has_crds => drain(facts.reach),
        Occasion::Deleted => finish(facts),
        Occasion::Withdrawn if facts.has_crds => Step::Drain,
        Occasion::Withdrawn => facts.claims.map_or(Step::Tell, Step::EndClaims),
    }
}

fn drain(reach: Reach) -> Step {
    reach.obstacle().map_or(Step::Drain, |why| Step::Wait(why.to_owned()))
}

/// Bound objects may need what is claimed until they are gone, so it goes after them.
fn finish(facts: &Facts) -> Step {
    let Some(mode) = facts.claims else {
        return if facts.reach == Reach::Unheard { Step::Listen } else { Step::Release };
    };
    // Only to take our marks off, on this side, nothing is asked of the provider.
    let needs_provider = mode != Mode::Withdraw || facts.reach == Reach::NoSession;
    match facts.reach.obstacle() {
        Some(why) if needs_provider => Step::Wait(why.to_owned()),
        _ => Step::EndClaims(mode),
    }
}

/// What follows when claims have come as far as this.
pub(super) fn after_claims(facts: &Facts, end: End) -> Step {
    match end {
        End::Done => plan(&Facts { claims: None, ..facts.clone() }),
        End::Blocked(why) if facts.occasion != Occasion::Withdrawn => Step::Wait(why),
        End::Blocked(_) | End::UnderWay => Step::LookAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELETED: Facts = Facts {
        occasion: Occasion::Deleted,
        reach: Reach::Up,
        has_crds: true,
        keeps_copies: false,
        keeps_objects: false,
        claims: None,
    };
    const EMPTY: Facts = Facts { has_crds: false, ..DELETED };
    const WITHDRAWN: Facts = Facts { occasion: Occasion::Withdrawn, ..DELETED };

    fn waits(reach: Reach) -> Step {
        Step::Wait(reach.obstacle().unwrap().to_owned())
    }

    #[test]
    fn objects_go_before_claims_and_claims_before_the_binding() {
        let drains = Some(Mode::Drain);
        let table = [
            (Facts { claims: drains, ..DELETED }, Step::Drain),
            (Facts { claims: drains, ..EMPTY }, Step::EndClaims(Mode::Drain)),
            (EMPTY, Step::Release),
            (Facts { claims: drains, ..WITHDRAWN }, Step::Drain),
            (Facts { has_crds: false, claims: drains, ..WITHDRAWN }, Step::EndClaims(Mode::Drain)),
            (Facts { has_crds: false, ..WITHDRAWN }, Step::Tell),
            (Facts { occasion: Occasion::Released, ..DELETED }, Step::Stop),
            (Facts { occasion: Occasion::Orphaned, ..DELETED }, Step::LetGo),
        ];
        for (facts, expected) in table {
            assert_eq!(plan(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn nothing_of_the_copies_is_left_behind_because_the_provider_is_out_of_reach() {
        for reach in
            [Reach::Silent, Reach::NoSession, Reach::AnotherContract, Reach::Doubtful, Reach::Unheard]
        {
            assert_eq!(plan(&Facts { reach, ..DELETED }), waits(reach));
            let drains = Facts { reach, claims: Some(Mode::Drain), ..EMPTY };
            assert_eq!(plan(&drains), waits(reach));
            let withdraws = Facts { claims: Some(Mode::Withdraw), ..drains };
            let expected =
                if reach == Reach::NoSession { waits(reach) } else { Step::EndClaims(Mode::Withdraw) };
            assert_eq!(plan(&withdraws), expected, "{reach:?}");
            // With nothing left of it, a binding goes, and the provider is told if it can be.
            let expected = if reach == Reach::Unheard { Step::Listen } else { Step::Release };
            assert_eq!(plan(&Facts { reach, ..EMPTY }), expected, "{reach:?}");
        }
    }

    #[test]
    fn copies_that_stay_need_no_provider() {
        for reach in [Reach::Up, Reach::Silent, Reach::NoSession, Reach::AnotherContract] {
            for keeps_objects in [true, false] {
                let facts = Facts { reach, keeps_copies: true, keeps_objects, ..DELETED };
                assert_eq!(plan(&facts), Step::Abandon { keeps_objects }, "{facts:?}");
            }
        }
    }

    #[test]
    fn what_follows_claims_depends_on_how_far_they_came() {
        let met = Facts { claims: Some(Mode::Drain), ..EMPTY };
        let by_hand = Facts { occasion: Occasion::Withdrawn, ..met.clone() };
        let blocked = || End::Blocked("rights are missing".to_owned());
        assert_eq!(after_claims(&met, End::Done), Step::Release);
        assert_eq!(after_claims(&met, End::UnderWay), Step::LookAgain);
        assert_eq!(after_claims(&met, blocked()), Step::Wait("rights are missing".to_owned()));
        assert_eq!(after_claims(&by_hand, End::Done), Step::Tell);
        assert_eq!(after_claims(&by_hand, End::UnderWay), Step::LookAgain);
        // The binding itself says what is wrong with its claims.
        assert_eq!(after_claims(&by_hand, blocked()), Step::LookAgain);
    }
}
