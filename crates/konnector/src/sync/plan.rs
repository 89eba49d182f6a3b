//! The next step for one object, from what is known of both sides. Pure and infallible.

use super::known::{Copy, Origin, Sides};

/// What else bears on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamespaceState<'a> {
    /// What the provider has answered has not been listed yet.
    Unknown,
    /// The provider has not been asked for a namespace yet.
    NotRequested,
    /// The provider has been asked and has not answered.
    Requested,
    /// The provider's namespace; empty for copies that stand in none.
    Mapped(&'a str),
}

/// What an engine is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keep both sides in sync.
    Sync,
    /// The consumer unbinds: copies and finalizers go.
    Drain,
    /// The provider has withdrawn the export: finalizers go, copies stay.
    Withdraw,
}

/// What to do next. A step is taken, its answer goes into the index, and the plan is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Both sides are as they should be.
    Nothing,
    /// Something else has to happen first; a watch event will tell.
    Wait,
    /// Ask the provider for a namespace.
    RequestNamespace,
    /// Put our finalizer on the consumer object, before anything of it exists on the provider.
    AddFinalizer,
    /// Create the copy.
    CreateCopy,
    /// Apply the desired body to the copy.
    UpdateCopy,
    /// Write the place of the copy on the consumer object.
    Annotate,
    /// Write the copy's status to the consumer object.
    WriteStatus,
    /// Delete the copy.
    DeleteCopy,
    /// Take our finalizer off the consumer object.
    Release,
    /// The name is taken on the provider by an object that is not ours.
    Conflict,
    /// The copy of an earlier object of the same name is being deleted, and does not go.
    AwaitEarlier,
}

impl Step {
    /// One word for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::RequestNamespace => "request_namespace",
            Self::AddFinalizer => "add_finalizer",
            Self::CreateCopy => "create_copy",
            Self::UpdateCopy => "update_copy",
            Self::Annotate => "annotate",
            Self::WriteStatus => "write_status",
            Self::DeleteCopy => "delete_copy",
            Self::Release => "release",
            Self::Conflict => "conflict",
            Self::AwaitEarlier => "await_earlier",
        }
    }
}

/// A right on the consumer that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    Mark,
    WriteStatus,
}

impl Step {
    /// What the konnector has to be allowed on the consumer for this step.
    pub(super) const fn consumer_right(&self) -> Option<Right> {
        match self {
            Self::AddFinalizer | Self::Annotate | Self::Release => Some(Right::Mark),
            Self::WriteStatus => Some(Right::WriteStatus),
            Self::Nothing
            | Self::Wait
            | Self::RequestNamespace
            | Self::CreateCopy
            | Self::UpdateCopy
            | Self::DeleteCopy
            | Self::Conflict
            | Self::AwaitEarlier => None,
        }
    }
}

/// The next step. While draining, every consumer object is treated as one that is being deleted.
pub(crate) fn plan(sides: Sides<'_>, namespace: NamespaceState<'_>, mode: Mode) -> Step {
    match (sides.origin, mode) {
        (Some(origin), Mode::Withdraw) if origin.has_finalizer => Step::Release,
        (_, Mode::Withdraw) => Step::Nothing,
        (None, Mode::Sync | Mode::Drain) => without_origin(sides),
        (Some(origin), Mode::Sync) if !origin.deleting => living(origin, sides, namespace),
        (Some(origin), Mode::Sync) if says_how_it_ends(origin, sides) => Step::WriteStatus,
        (Some(origin), Mode::Sync | Mode::Drain) => going(origin, sides, namespace),
    }
}

/// A copy whose origin we have never seen stays: it may wait for a consumer that binds again.
fn without_origin(sides: Sides<'_>) -> Step {
    match sides.ours() {
        Some(copy) if sides.vanished && !copy.deleting => Step::DeleteCopy,
        _ => Step::Nothing,
    }
}

/// While finalizers on the provider hold the copy, its status tells people what it waits for.
fn says_how_it_ends(origin: &Origin, sides: Sides<'_>) -> bool {
    let held = sides.ours().filter(|copy| copy.deleting);
    held.is_some_and(|copy| origin.has_finalizer && !origin.orphans && has_news(origin, copy, sides))
}

fn going(origin: &Origin, sides: Sides<'_>, namespace: NamespaceState<'_>) -> Step {
    if !origin.has_finalizer {
        return Step::Nothing;
    }
    if origin.orphans {
        return Step::Release;
    }
    match (sides.copy, sides.ours()) {
        // One that was kept for an earlier object of the name stays.
        (Some(_), ours) if !ours.is_some_and(|copy| copy.belongs_to(origin)) => Step::Release,
        (Some(copy), _) if copy.deleting => Step::Wait,
        (Some(_), _) => Step::DeleteCopy,
        (None, _) => match namespace {
            // Without a namespace there is no copy.
            NamespaceState::NotRequested | NamespaceState::Requested => Step::Release,
            // With one, or where nobody knows, only a list can tell.
            NamespaceState::Mapped(_) if sides.provider_listed => Step::Release,
            NamespaceState::Mapped(_) | NamespaceState::Unknown => Step::Wait,
        },
    }
}

fn living(origin: &Origin, sides: Sides<'_>, namespace: NamespaceState<'_>) -> Step {
    let provider_namespace = match namespace {
        NamespaceState::NotRequested => return Step::RequestNamespace,
        NamespaceState::Unknown | NamespaceState::Requested => return Step::Wait,
        NamespaceState::Mapped(name) => name,
    };
    match (sides.copy, sides.ours()) {
        _ if !sides.provider_listed => Step::Wait,
        (Some(_), None) => Step::Conflict,
        _ if !origin.has_finalizer => Step::AddFinalizer,
        (None, _) => Step::CreateCopy,
        (_, Some(copy)) if copy.deleting && has_news(origin, copy, sides) => Step::WriteStatus,
        (_, Some(copy)) if copy.deleting && !copy.is_for(origin) => Step::AwaitEarlier,
        (_, Some(copy)) if copy.deleting => Step::Wait,
        (_, Some(copy)) => both_there(origin, copy, sides, provider_namespace),
    }
}

fn both_there(origin: &Origin, copy: &Copy, sides: Sides<'_>, provider_namespace: &str) -> Step {
    let in_sync = copy.says(origin.desired) && !copy.has_former;
    let annotated = origin.provider_uid.as_deref() == Some(&copy.uid)
        && origin.provider_namespace.as_deref().unwrap_or_default() == provider_namespace
        && !origin.has_former;
    let (held, news) = (sides.held, has_news(origin, copy, sides));
    // What the provider does not take does not keep its status from coming.
    if held.update_fails && news {
        Step::WriteStatus
    } else if !in_sync && !held.update {
        Step::UpdateCopy
    } else if !annotated && !held.annotation {
        Step::Annotate
    } else if news {
        Step::WriteStatus
    } else if in_sync && annotated && !(held.status && differs(origin, copy, sides)) {
        Step::Nothing
    } else {
        Step::Wait
    }
}

/// Whether the copy's status is to be written to the origin, and may be. That of an earlier object of the name is not.
fn has_news(origin: &Origin, copy: &Copy, sides: Sides<'_>) -> bool {
    !sides.held.status && copy.is_for(origin) && differs(origin, copy, sides)
}

/// Whether the copy's status says what the origin's does not.
fn differs(origin: &Origin, copy: &Copy, sides: Sides<'_>) -> bool {
    let settled = origin.settled_status.as_deref() == Some(&copy.status);
    !settled && !sides.generations().agree(&copy.status, &origin.status)
}

#[cfg(test)]
mod tests;
