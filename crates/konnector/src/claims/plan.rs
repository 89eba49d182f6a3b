//! The next step for one claimed object, from what is known of both sides. Pure and infallible.

use super::{
    fate::OriginalFate,
    seen::{ClaimSides, ConsumerKnowledge, ObjectMarking, SeenObject},
    side::ClaimSide,
};
use crate::sync::{EngineMode, NamespaceState};

/// The next action. A step is taken, its answer goes into the index, and a new plan is made. The side is the one
/// that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimStep {
    Nothing,
    /// Something else has to happen first; a watch event will tell.
    Wait,
    /// Read it on both sides: what watches have shown of it is not kept, or not enough.
    Read,
    RequestNamespace,
    /// The provider has yet to answer for the namespace.
    AwaitNamespace,
    CreateCopy(ClaimSide),
    UpdateCopy(ClaimSide),
    DeleteCopy(ClaimSide),
    /// Ask the other side whether the original of a copy was deleted, or went with a backup.
    AskForOriginal(ClaimSide),
    /// Note on a copy that its original went with a backup.
    MarkLost(ClaimSide),
    /// Put the owner label on the original.
    Stamp(ClaimSide),
    /// Take our owner label off what was an original.
    Unstamp(ClaimSide),
    /// The name is taken by an object that is not ours.
    Conflict,
    /// Both sides have the object, and nobody has said whose it is.
    OwnerUnknown,
}

impl ClaimStep {
    /// One word for metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::Read => "read_claimed",
            Self::RequestNamespace => "request_namespace",
            Self::AwaitNamespace => "await_namespace",
            Self::CreateCopy(_) => "create_claimed",
            Self::UpdateCopy(_) => "update_claimed",
            Self::DeleteCopy(_) => "delete_claimed",
            Self::AskForOriginal(_) => "ask_for_original",
            Self::MarkLost(_) => "mark_lost",
            Self::Stamp(_) => "stamp_claimed",
            Self::Unstamp(_) => "unstamp_claimed",
            Self::Conflict => "conflict",
            Self::OwnerUnknown => "owner_unknown",
        }
    }
}

/// The next step.
pub fn plan(sides: ClaimSides<'_>, namespace: NamespaceState<'_>, mode: EngineMode) -> ClaimStep {
    match sides.on_consumer {
        ConsumerKnowledge::Partial => return ClaimStep::Wait,
        ConsumerKnowledge::Unread => return ClaimStep::Read,
        ConsumerKnowledge::Full => {}
    }
    match mode {
        EngineMode::Sync => sync(sides, namespace),
        EngineMode::Drain if is_hidden(sides, namespace) => ClaimStep::Wait,
        EngineMode::Drain => end(sides.provider, ClaimSide::Provider).unwrap_or_else(|| leave(sides)),
        EngineMode::Withdraw => keep_copy(sides),
    }
}

/// Keeps objects of the provider when the provider ends the claim: people may rely on them.
fn keep_copy(sides: ClaimSides<'_>) -> ClaimStep {
    let original = sides.consumer.filter(|seen| seen.touch == ObjectMarking::Stamped);
    end(original, ClaimSide::Consumer).unwrap_or(ClaimStep::Nothing)
}

/// Returns `true` if the provider may have an object that is not known yet.
fn is_hidden(sides: ClaimSides<'_>, namespace: NamespaceState<'_>) -> bool {
    match namespace {
        NamespaceState::Unknown => true,
        NamespaceState::Mapped(_) => !sides.provider_known,
        NamespaceState::NotRequested | NamespaceState::Requested => false,
    }
}

fn leave(sides: ClaimSides<'_>) -> ClaimStep {
    end(sides.consumer, ClaimSide::Consumer).unwrap_or(ClaimStep::Nothing)
}

/// The step that removes our part on one side.
fn end(seen: Option<&SeenObject>, side: ClaimSide) -> Option<ClaimStep> {
    let seen = seen?;
    match seen.touch {
        ObjectMarking::Copy if seen.is_terminating => Some(ClaimStep::Wait),
        ObjectMarking::Copy => Some(ClaimStep::DeleteCopy(side)),
        ObjectMarking::Stamped => Some(ClaimStep::Unstamp(side)),
        ObjectMarking::None | ObjectMarking::UnnamedCopy | ObjectMarking::OthersCopy => None,
    }
}

fn sync(sides: ClaimSides<'_>, namespace: NamespaceState<'_>) -> ClaimStep {
    let matters =
        |seen: &SeenObject| seen.is_copy() || (sides.claims(seen) && seen.owner != Some(ClaimSide::Provider));
    if sides.consumer.is_some_and(matters) {
        match namespace {
            NamespaceState::NotRequested => return ClaimStep::RequestNamespace,
            NamespaceState::Unknown | NamespaceState::Requested => return ClaimStep::AwaitNamespace,
            NamespaceState::Mapped(_) => {}
        }
    }
    if is_hidden(sides, namespace) {
        return ClaimStep::Wait;
    }
    let Some(owner) = owner(sides) else {
        let both = [sides.consumer, sides.provider];
        let claimed = both.into_iter().flatten().any(|seen| sides.claims(seen));
        return if claimed { ClaimStep::OwnerUnknown } else { ClaimStep::Nothing };
    };
    let copy = sides.on(owner.other());
    match sides.on(owner).filter(|original| !original.is_terminating) {
        Some(original) if sides.claims(original) => keep(original, copy, owner, sides.is_orphaned),
        Some(original) => unclaimed_copy(copy, owner)
            .or_else(|| end(Some(original).filter(|original| !original.is_copy()), owner))
            .unwrap_or(ClaimStep::Nothing),
        None => match unclaimed_copy(copy, owner) {
            Some(ClaimStep::DeleteCopy(side)) if sides.on(owner).is_none() => {
                orphaned_copy(side, sides.fate(owner), copy)
            }
            other => other.unwrap_or(ClaimStep::Nothing),
        },
    }
}

/// The step for a copy whose original is absent.
fn orphaned_copy(side: ClaimSide, fate: OriginalFate, copy: Option<&SeenObject>) -> ClaimStep {
    match fate {
        OriginalFate::Deleted => ClaimStep::DeleteCopy(side),
        OriginalFate::Lost if copy.is_some_and(SeenObject::has_lost_original) => ClaimStep::Nothing,
        OriginalFate::Lost => ClaimStep::MarkLost(side),
        OriginalFate::Unknown => ClaimStep::AskForOriginal(side),
    }
}

/// The side whose object is the original: what the provider's says, else what the consumer's says, else
/// whichever is alone.
fn owner(sides: ClaimSides<'_>) -> Option<ClaimSide> {
    let said = |side: ClaimSide| {
        let seen = sides.on(side)?;
        seen.owner.or_else(|| seen.is_copy().then(|| side.other()))
    };
    said(ClaimSide::Provider).or_else(|| said(ClaimSide::Consumer)).or(
        match (sides.consumer, sides.provider) {
            (Some(_), None) => Some(ClaimSide::Consumer),
            (None, Some(_)) => Some(ClaimSide::Provider),
            (None, None) | (Some(_), Some(_)) => None,
        },
    )
}

/// The step for a copy without a claimed original.
fn unclaimed_copy(copy: Option<&SeenObject>, owner: ClaimSide) -> Option<ClaimStep> {
    end(copy.filter(|copy| copy.is_copy()), owner.other())
}

fn keep(original: &SeenObject, copy: Option<&SeenObject>, owner: ClaimSide, is_orphaned: bool) -> ClaimStep {
    let other = owner.other();
    let is_adoptable = |copy: &SeenObject| match copy.touch {
        ObjectMarking::Copy | ObjectMarking::UnnamedCopy => true,
        ObjectMarking::OthersCopy => is_orphaned,
        ObjectMarking::None => copy.is_restored_for(original),
        ObjectMarking::Stamped => false,
    };
    match copy {
        None => ClaimStep::CreateCopy(other),
        Some(copy) if copy.touch == ObjectMarking::OthersCopy && !is_orphaned => ClaimStep::Nothing,
        Some(copy) if !is_adoptable(copy) => ClaimStep::Conflict,
        Some(copy) if copy.is_terminating => ClaimStep::Wait,
        Some(copy) if copy.has_lost_original() => ClaimStep::UpdateCopy(other),
        Some(copy) if copy.form.is_fixed_against(&original.form) => ClaimStep::DeleteCopy(other),
        Some(copy) if copy.owned != original.desired && copy.settled_for != Some(original.desired) => {
            ClaimStep::UpdateCopy(other)
        }
        Some(_) if original.owner != Some(owner) && !original.is_copy() => ClaimStep::Stamp(owner),
        Some(_) => ClaimStep::Nothing,
    }
}

#[cfg(test)]
mod tests;
