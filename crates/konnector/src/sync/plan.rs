//! The next step for one object, from what is known of both sides. Pure and infallible.

use super::known::{CopyState, OriginState, SyncSides};

/// The state of a namespace on the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState<'a> {
    /// The provider's answers have not been listed yet.
    Unknown,
    /// The provider has not been asked for a namespace yet.
    NotRequested,
    /// The provider has been asked and has not answered.
    Requested,
    /// The provider's namespace; empty for copies that stand in none.
    Mapped(&'a str),
}

/// The task of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineMode {
    /// Keep both sides in sync.
    Sync,
    /// The consumer unbinds: copies and finalizers go.
    Drain,
    /// The provider has withdrawn the export: finalizers go, copies stay.
    Withdraw,
}

/// The next action. A step is taken, its answer goes into the index, and a new plan is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncStep {
    /// Both sides are as they should be.
    Nothing,
    /// Something else has to happen first; a watch event will tell.
    Wait,
    /// Ask the provider for a namespace.
    RequestNamespace,
    /// The provider has yet to answer for the namespace.
    AwaitNamespace,
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
    /// The copy of an earlier object of the same name is terminating, and does not go.
    AwaitEarlier,
}

impl SyncStep {
    /// One word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::RequestNamespace => "request_namespace",
            Self::AwaitNamespace => "await_namespace",
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
pub enum ConsumerRight {
    Mark,
    WriteStatus,
}

impl SyncStep {
    /// The right that the konnector needs on the consumer for this step.
    pub(super) const fn consumer_right(&self) -> Option<ConsumerRight> {
        match self {
            Self::AddFinalizer | Self::Annotate | Self::Release => Some(ConsumerRight::Mark),
            Self::WriteStatus => Some(ConsumerRight::WriteStatus),
            Self::Nothing
            | Self::Wait
            | Self::RequestNamespace
            | Self::AwaitNamespace
            | Self::CreateCopy
            | Self::UpdateCopy
            | Self::DeleteCopy
            | Self::Conflict
            | Self::AwaitEarlier => None,
        }
    }
}

/// The next step. While draining, every consumer object is treated as one that is terminating.
pub fn plan(sides: SyncSides<'_>, namespace: NamespaceState<'_>, mode: EngineMode) -> SyncStep {
    match (sides.origin, mode) {
        (Some(origin), EngineMode::Withdraw) if origin.has_finalizer => SyncStep::Release,
        (_, EngineMode::Withdraw) => SyncStep::Nothing,
        (None, EngineMode::Sync | EngineMode::Drain) => without_origin(sides),
        (Some(origin), EngineMode::Sync) if !origin.is_terminating => living(origin, sides, namespace),
        (Some(origin), EngineMode::Sync) if reports_termination(origin, sides) => SyncStep::WriteStatus,
        (Some(origin), EngineMode::Sync | EngineMode::Drain) => terminating(origin, sides, namespace),
    }
}

/// A copy whose origin we have never seen stays: it may wait for a consumer that binds again.
fn without_origin(sides: SyncSides<'_>) -> SyncStep {
    match sides.ours() {
        // Its origin may be there again, with a backup.
        Some(_) if sides.vanished && !sides.origins_listed => SyncStep::Wait,
        Some(copy) if sides.vanished && !copy.is_terminating => SyncStep::DeleteCopy,
        _ => SyncStep::Nothing,
    }
}

/// While finalizers on the provider hold the copy, its status tells people what it waits for.
fn reports_termination(origin: &OriginState, sides: SyncSides<'_>) -> bool {
    let held = sides.ours().filter(|copy| copy.is_terminating);
    held.is_some_and(|copy| origin.has_finalizer && !origin.orphans && has_news(origin, copy, sides))
}

fn terminating(origin: &OriginState, sides: SyncSides<'_>, namespace: NamespaceState<'_>) -> SyncStep {
    if !origin.has_finalizer {
        return SyncStep::Nothing;
    }
    if origin.orphans {
        return SyncStep::Release;
    }
    match (sides.copy, sides.ours()) {
        // One that was kept for an earlier object of the name stays.
        (Some(_), ours) if !ours.is_some_and(|copy| copy.belongs_to(origin)) => SyncStep::Release,
        (Some(copy), _) if copy.is_terminating => SyncStep::Wait,
        (Some(_), _) => SyncStep::DeleteCopy,
        (None, _) => match namespace {
            // Without a namespace there is no copy.
            NamespaceState::NotRequested | NamespaceState::Requested => SyncStep::Release,
            // With one, or where nobody knows, only a list can tell.
            NamespaceState::Mapped(_) if sides.provider_listed => SyncStep::Release,
            NamespaceState::Mapped(_) | NamespaceState::Unknown => SyncStep::Wait,
        },
    }
}

fn living(origin: &OriginState, sides: SyncSides<'_>, namespace: NamespaceState<'_>) -> SyncStep {
    let provider_namespace = match namespace {
        NamespaceState::NotRequested => return SyncStep::RequestNamespace,
        NamespaceState::Unknown | NamespaceState::Requested => return SyncStep::AwaitNamespace,
        NamespaceState::Mapped(name) => name,
    };
    match (sides.copy, sides.ours()) {
        _ if !sides.provider_listed => SyncStep::Wait,
        (Some(_), None) => SyncStep::Conflict,
        _ if !origin.has_finalizer => SyncStep::AddFinalizer,
        (None, _) => SyncStep::CreateCopy,
        (_, Some(copy)) if copy.is_terminating && has_news(origin, copy, sides) => SyncStep::WriteStatus,
        (_, Some(copy)) if copy.is_terminating && !copy.is_for(origin) => SyncStep::AwaitEarlier,
        (_, Some(copy)) if copy.is_terminating => SyncStep::Wait,
        (_, Some(copy)) => both_there(origin, copy, sides, provider_namespace),
    }
}

fn both_there(
    origin: &OriginState,
    copy: &CopyState,
    sides: SyncSides<'_>,
    provider_namespace: &str,
) -> SyncStep {
    let in_sync = copy.says(origin.desired) && !copy.has_former;
    let annotated = origin.provider_uid.as_deref() == Some(&copy.uid)
        && origin.provider_namespace.as_deref().unwrap_or_default() == provider_namespace
        && !origin.has_former;
    let (held, news) = (sides.held, has_news(origin, copy, sides));
    // What the provider does not take does not keep its status from coming.
    if held.update_fails && news {
        SyncStep::WriteStatus
    } else if !in_sync && !held.update {
        SyncStep::UpdateCopy
    } else if !annotated && !held.annotation {
        SyncStep::Annotate
    } else if news {
        SyncStep::WriteStatus
    } else if in_sync && annotated && !(held.status && differs(origin, copy, sides)) {
        SyncStep::Nothing
    } else {
        SyncStep::Wait
    }
}

/// Returns `true` if the copy's status is to be written to the origin, and may be. That of an earlier object of the
/// name is not.
fn has_news(origin: &OriginState, copy: &CopyState, sides: SyncSides<'_>) -> bool {
    !sides.held.status && copy.is_for(origin) && differs(origin, copy, sides)
}

/// Returns `true` if the copy's status has something that the origin's has not.
fn differs(origin: &OriginState, copy: &CopyState, sides: SyncSides<'_>) -> bool {
    let settled = origin.settled_status.as_deref() == Some(&copy.status);
    !settled && !sides.generations().agree(&copy.status, &origin.status)
}

#[cfg(test)]
mod tests;
