//! The next step for one claimed object, from what is known of both sides. Pure and infallible.

use super::{
    fate::Fate,
    seen::{Knowledge, Seen, Sides, Touch},
    side::Side,
};
use crate::sync::{Mode, NamespaceState};

/// What to do next. A step is taken, its answer goes into the index, and the plan is made anew. The side is the
/// one that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// Something else has to happen first; a watch event will tell.
    Wait,
    /// Read it on both sides: what watches have shown of it is not kept, or not enough.
    Read,
    RequestNamespace,
    CreateCopy(Side),
    UpdateCopy(Side),
    DeleteCopy(Side),
    /// Ask the other side whether the original of a copy was deleted, or went with a backup.
    AskForOriginal(Side),
    /// Note on a copy that its original went with a backup.
    MarkLost(Side),
    /// Put the owner label on the original.
    Stamp(Side),
    /// Take our owner label off what was an original.
    Unstamp(Side),
    /// The name is taken by an object that is not ours.
    Conflict,
    /// Both sides have the object, and nobody has said whose it is.
    OwnerUnknown,
}

impl Step {
    /// One word for metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::Read => "read_claimed",
            Self::RequestNamespace => "request_namespace",
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
pub(crate) fn plan(sides: Sides<'_>, namespace: NamespaceState<'_>, mode: Mode) -> Step {
    match sides.on_consumer {
        Knowledge::Partial => return Step::Wait,
        Knowledge::Unread => return Step::Read,
        Knowledge::Full => {}
    }
    match mode {
        Mode::Sync => sync(sides, namespace),
        Mode::Drain if is_hidden(sides, namespace) => Step::Wait,
        Mode::Drain => end(sides.provider, Side::Provider).unwrap_or_else(|| leave(sides)),
        Mode::Withdraw => keep_copy(sides),
    }
}

/// What the provider has brought stays when the provider ends it: people may live on it.
fn keep_copy(sides: Sides<'_>) -> Step {
    let original = sides.consumer.filter(|seen| seen.touch == Touch::Stamped);
    end(original, Side::Consumer).unwrap_or(Step::Nothing)
}

/// Whether the provider may have an object that is not known yet.
fn is_hidden(sides: Sides<'_>, namespace: NamespaceState<'_>) -> bool {
    match namespace {
        NamespaceState::Unknown => true,
        NamespaceState::Mapped(_) => !sides.provider_known,
        NamespaceState::NotRequested | NamespaceState::Requested => false,
    }
}

fn leave(sides: Sides<'_>) -> Step {
    end(sides.consumer, Side::Consumer).unwrap_or(Step::Nothing)
}

/// What is left of us on one side.
fn end(seen: Option<&Seen>, side: Side) -> Option<Step> {
    let seen = seen?;
    match seen.touch {
        Touch::Copy if seen.deleting => Some(Step::Wait),
        Touch::Copy => Some(Step::DeleteCopy(side)),
        Touch::Stamped => Some(Step::Unstamp(side)),
        Touch::None | Touch::UnnamedCopy | Touch::OthersCopy => None,
    }
}

fn sync(sides: Sides<'_>, namespace: NamespaceState<'_>) -> Step {
    let matters = |seen: &Seen| seen.is_copy() || (sides.claims(seen) && seen.owner != Some(Side::Provider));
    if sides.consumer.is_some_and(matters) {
        match namespace {
            NamespaceState::NotRequested => return Step::RequestNamespace,
            NamespaceState::Unknown | NamespaceState::Requested => return Step::Wait,
            NamespaceState::Mapped(_) => {}
        }
    }
    if is_hidden(sides, namespace) {
        return Step::Wait;
    }
    let Some(owner) = owner(sides) else {
        let both = [sides.consumer, sides.provider];
        let claimed = both.into_iter().flatten().any(|seen| sides.claims(seen));
        return if claimed { Step::OwnerUnknown } else { Step::Nothing };
    };
    let copy = sides.on(owner.other());
    match sides.on(owner).filter(|original| !original.deleting) {
        Some(original) if sides.claims(original) => keep(original, copy, owner, sides.is_forsaken),
        Some(original) => abandoned(copy, owner)
            .or_else(|| end(Some(original).filter(|original| !original.is_copy()), owner))
            .unwrap_or(Step::Nothing),
        None => match abandoned(copy, owner) {
            Some(Step::DeleteCopy(side)) if sides.on(owner).is_none() => {
                bereft(side, sides.fate(owner), copy)
            }
            other => other.unwrap_or(Step::Nothing),
        },
    }
}

/// What becomes of a copy whose original is not there.
fn bereft(side: Side, fate: Fate, copy: Option<&Seen>) -> Step {
    match fate {
        Fate::Deleted => Step::DeleteCopy(side),
        Fate::Lost if copy.is_some_and(Seen::has_lost_original) => Step::Nothing,
        Fate::Lost => Step::MarkLost(side),
        Fate::Unknown => Step::AskForOriginal(side),
    }
}

/// The side whose object is the original: what the provider's says, else what the consumer's says, else
/// whichever is alone.
fn owner(sides: Sides<'_>) -> Option<Side> {
    let said = |side: Side| {
        let seen = sides.on(side)?;
        seen.owner.or_else(|| seen.is_copy().then(|| side.other()))
    };
    said(Side::Provider).or_else(|| said(Side::Consumer)).or(match (sides.consumer, sides.provider) {
        (Some(_), None) => Some(Side::Consumer),
        (None, Some(_)) => Some(Side::Provider),
        (None, None) | (Some(_), Some(_)) => None,
    })
}

/// What becomes of a copy without a claimed original.
fn abandoned(copy: Option<&Seen>, owner: Side) -> Option<Step> {
    end(copy.filter(|copy| copy.is_copy()), owner.other())
}

fn keep(original: &Seen, copy: Option<&Seen>, owner: Side, is_forsaken: bool) -> Step {
    let other = owner.other();
    let is_adoptable = |copy: &Seen| match copy.touch {
        Touch::Copy | Touch::UnnamedCopy => true,
        Touch::OthersCopy => is_forsaken,
        Touch::None => copy.is_restored_for(original),
        Touch::Stamped => false,
    };
    match copy {
        None => Step::CreateCopy(other),
        Some(copy) if copy.touch == Touch::OthersCopy && !is_forsaken => Step::Nothing,
        Some(copy) if !is_adoptable(copy) => Step::Conflict,
        Some(copy) if copy.deleting => Step::Wait,
        Some(copy) if copy.has_lost_original() => Step::UpdateCopy(other),
        Some(copy) if copy.form.is_fixed_against(&original.form) => Step::DeleteCopy(other),
        Some(copy) if copy.owned != original.desired && copy.settled_for != Some(original.desired) => {
            Step::UpdateCopy(other)
        }
        Some(_) if original.owner != Some(owner) && !original.is_copy() => Step::Stamp(owner),
        Some(_) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests;
