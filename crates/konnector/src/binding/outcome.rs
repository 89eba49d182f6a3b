//! Outcome for a binding's resources.

use std::{sync::Arc, time::Duration};

use portolan_core::{
    api::kubebind::REASON_GROUP_NOT_BINDABLE,
    outline::{CrdOutline, SchemaOutline},
};

use super::{claims::ClaimsState, failure::SchemaFailure, objection::SchemaObjection};
use crate::{bodies::ComparisonResult, migration::MigrationState, sync::EngineState};

/// The outcome for a binding's resources.
#[derive(Default)]
pub(super) struct AppliedResources {
    pub(super) resources: Vec<AppliedResource>,
    pub(super) claims: ClaimsState,
    /// Copies whose objects are gone.
    pub(super) orphaned: usize,
}

/// One resource of a binding.
pub(super) struct AppliedResource {
    pub(super) crd: String,
    pub(super) schema: Arc<SchemaOutline>,
    pub(super) outcome: CrdOutcome,
    /// The reason why the provider's schema is not taken over.
    pub(super) objection: Option<SchemaObjection>,
    /// The provider's schema could not be taken over; the CRD stays as it was.
    pub(super) failure: Option<SchemaFailure>,
    /// Objects are rewritten before a version goes.
    pub(super) migration: Option<MigrationState>,
}

/// Progress of a resource.
pub(super) enum CrdOutcome {
    /// The CRD of that name is not ours, but that of another binding perhaps.
    Foreign { owner: Option<String> },
    /// There is no CRD, and none is made of this schema.
    Withheld,
    /// The API server does not accept the CRD.
    Refused { created: bool, message: String },
    /// The CRD exists, but is not served yet.
    Installing(Arc<CrdOutline>),
    /// The CRD is served. No engine can run for the reason given.
    NotSynced { crd: Arc<CrdOutline>, why: String },
    /// The CRD is served and its engine runs.
    Syncing { crd: Arc<CrdOutline>, engine: EngineState },
}

impl AppliedResources {
    /// When to look again without a change; `None` where every change that could matter is watched.
    pub(super) fn look_again(&self, poll: Duration) -> Option<Duration> {
        let failures = self.resources.iter().filter_map(|resource| resource.failure.as_ref());
        let again = failures.map(|failure| failure.again).min();
        again.or_else(|| (!self.is_settled()).then_some(poll))
    }

    fn is_settled(&self) -> bool {
        let settled = |r: &AppliedResource| match &r.outcome {
            CrdOutcome::Withheld
            | CrdOutcome::Installing(_)
            | CrdOutcome::NotSynced { .. }
            | CrdOutcome::Syncing { .. } => true,
            CrdOutcome::Foreign { .. } | CrdOutcome::Refused { .. } => false,
        };
        let is_moving = self.resources.iter().any(|resource| resource.migration.is_some());
        !is_moving && self.resources.iter().all(settled)
    }
}

impl AppliedResource {
    /// Returns `true` if its group is served here in another way than by a CRD.
    pub(super) fn cannot_be_bound(&self) -> bool {
        self.objection.as_ref().is_some_and(|objection| objection.reason == REASON_GROUP_NOT_BINDABLE)
    }

    /// The failure that people have to hear of.
    pub(super) fn lasting_failure(&self) -> Option<&SchemaFailure> {
        self.failure.as_ref().filter(|failure| failure.is_lasting)
    }

    pub(super) fn installed(&self) -> Option<&Arc<CrdOutline>> {
        match &self.outcome {
            CrdOutcome::Installing(crd)
            | CrdOutcome::NotSynced { crd, .. }
            | CrdOutcome::Syncing { crd, .. } => Some(crd),
            CrdOutcome::Foreign { .. } | CrdOutcome::Withheld | CrdOutcome::Refused { .. } => None,
        }
    }
}

/// The outcome for a CRD.
pub(super) struct InstalledCrd {
    pub(super) outcome: CrdOutcome,
    /// Result of the comparison with the schema, where there is a CRD.
    pub(super) found: Option<Arc<ComparisonResult<SchemaObjection>>>,
    /// The reason why the provider's schema is not taken over.
    pub(super) objection: Option<SchemaObjection>,
    /// It could not be taken over.
    pub(super) failure: Option<SchemaFailure>,
    /// Objects are rewritten before a version goes.
    pub(super) migration: Option<MigrationState>,
}

impl InstalledCrd {
    pub(super) const fn only(outcome: CrdOutcome) -> Self {
        Self { outcome, found: None, objection: None, failure: None, migration: None }
    }
}
