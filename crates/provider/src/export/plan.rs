//! Objects that a CRD needs in a contract namespace, and their bodies. Pure and infallible.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_API_APPROVED, ANNOTATION_CONVERSION_DROPPED, ANNOTATION_REPLACED,
        ANNOTATION_SOURCE_SPEC_HASH, APIServiceExport, APIServiceExportSpec, APIServiceExportStatus,
        BoundSchema, BoundSchemaSpec, CONDITION_CONNECTED, CONDITION_PROVIDER_IN_SYNC,
        CONDITION_TENANCY_SHARED, LABEL_MANAGED_BY, REASON_DRAINED, REASON_NOT_BOUND,
    },
    condition::{self, Verdict},
    outline::SchemaOutline,
};

use super::wanted::WantedExport;
use crate::{
    MANAGED_BY, is_ours,
    queues::QueueKey,
    source::{CrdOffer, not_carried},
};

/// Finalizer on exports: the consumer's rights stay until its konnector has cleaned up.
pub(super) const FINALIZER: &str = "kubebind.io/provider";

/// The observed export and the desired one.
pub(super) struct ObservedExport {
    pub(super) now: Timestamp,
    /// Limit for a konnector to clean up after a withdrawal.
    pub(super) drain_limit: Duration,
    /// The contract namespace is terminating or gone, and the consumer's rights with it.
    pub(super) contract_is_terminating: bool,
    pub(super) wanted: WantedExport,
    pub(super) export: Option<Arc<APIServiceExport>>,
    pub(super) schema: Option<Arc<SchemaOutline>>,
}

/// The next action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportPlan {
    Nothing,
    /// Delete what has these uids.
    Withdraw {
        export: Option<String>,
        schema: Option<String>,
    },
    /// The export is somebody else's.
    LeaveForeign,
    /// Delete the export, marked as one that is recreated, because what has to change in it is immutable. Its
    /// end brings us back to make the new one.
    Replace,
    /// Say on the export why it is not what people want.
    Explain,
    /// The export is terminating, and its konnector is not done with it: look again then, at the latest.
    AwaitDrain {
        left: Duration,
    },
    /// The export is terminating, and nobody has anything to do with it any more.
    LetGo {
        place: usize,
    },
    /// Make them so.
    Offer {
        export: ExportStep,
        schema: ExportStep,
    },
}

/// The action on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportStep {
    Keep,
    Write,
    /// It is somebody else's.
    LeaveForeign,
}

pub(super) fn plan(observed: &ObservedExport) -> ExportPlan {
    if let Some(export) = observed.export.as_deref()
        && let Some(deleted) = &export.metadata.deletion_timestamp
    {
        return end(observed, export, deleted.0);
    }
    let offer = match &observed.wanted {
        WantedExport::AsItIs(why) => return as_it_is(observed, why.is_some()),
        WantedExport::Nothing => return withdraw(observed),
        WantedExport::Offer(offer, _) => offer,
    };
    let Some(export) = &observed.export else {
        return ExportPlan::Offer { export: ExportStep::Write, schema: step(observed, None, offer) };
    };
    if !is_ours(&**export) {
        return ExportPlan::LeaveForeign;
    }
    if !still_works(&export.spec, offer) {
        return ExportPlan::Replace;
    }
    let written = has_hash(&**export, offer) && finalizer(export).is_some();
    ExportPlan::Offer {
        export: if written { ExportStep::Keep } else { ExportStep::Write },
        schema: step(observed, Some(export), offer),
    }
}

fn as_it_is(observed: &ObservedExport, is_explained: bool) -> ExportPlan {
    let is_there = observed.export.as_deref().is_some_and(is_ours);
    if is_there && is_explained { ExportPlan::Explain } else { ExportPlan::Nothing }
}

/// An export goes when the konnector says that nothing of it is left, or has never bound it; or after a time.
fn end(observed: &ObservedExport, export: &APIServiceExport, deleted: Timestamp) -> ExportPlan {
    let Some(place) = finalizer(export) else { return ExportPlan::Nothing };
    let age = observed.now.duration_since(deleted);
    let age = Duration::try_from(age).unwrap_or_default();
    let left = observed.drain_limit.saturating_sub(age);
    if left.is_zero() || observed.contract_is_terminating || is_replaced(export) || !is_in_use(export) {
        ExportPlan::LetGo { place }
    } else {
        ExportPlan::AwaitDrain { left }
    }
}

/// Returns `true` if an export is deleted only to be recreated.
pub(super) fn is_replaced(export: &APIServiceExport) -> bool {
    export.annotations().contains_key(ANNOTATION_REPLACED)
}

/// Returns `true` if a konnector may still have something of the export.
pub(super) fn is_in_use(export: &APIServiceExport) -> bool {
    let conditions = export.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let Some(connected) = condition::find(conditions, CONDITION_CONNECTED) else { return false };
    ![REASON_DRAINED, REASON_NOT_BOUND].contains(&connected.reason.as_str())
}

/// Returns `true` if an export is ours, or waits for us.
pub(super) fn is_ours_to_end(export: &APIServiceExport) -> bool {
    is_ours(export) || finalizer(export).is_some()
}

fn finalizer(export: &APIServiceExport) -> Option<usize> {
    export.finalizers().iter().position(|finalizer| finalizer == FINALIZER)
}

/// The verdict of an export that waits for the konnector.
pub(super) fn withdrawing(drain_limit: Duration) -> Verdict {
    let minutes = drain_limit.as_secs().div_ceil(60);
    Verdict::pending(
        "Withdrawing",
        format!(
            "The export is withdrawn. The consumer keeps its rights until its konnector says Connected=False Drained, \
             for {minutes} min at most."
        ),
    )
}

fn withdraw(observed: &ObservedExport) -> ExportPlan {
    let export = observed.export.as_deref().and_then(deletable);
    // The consumer's rights are read off the schema. It goes when the export is gone, whose end brings us back.
    let is_needed = observed.export.as_deref().is_some_and(is_ours);
    let schema = observed.schema.as_deref().filter(|_| !is_needed).and_then(deletable);
    if export.is_none() && schema.is_none() {
        ExportPlan::Nothing
    } else {
        ExportPlan::Withdraw { export, schema }
    }
}

/// The uid of an object that is ours and not terminating yet.
fn deletable<K: Resource>(object: &K) -> Option<String> {
    let living = object.meta().deletion_timestamp.is_none();
    object.uid().filter(|_| living && is_ours(object))
}

fn step(observed: &ObservedExport, export: Option<&APIServiceExport>, offer: &CrdOffer) -> ExportStep {
    let Some(schema) = &observed.schema else { return ExportStep::Write };
    if !is_ours(&**schema) {
        return ExportStep::LeaveForeign;
    }
    let owned = export.is_some_and(|export| {
        schema.owner_references().iter().any(|owner| Some(&owner.uid) == export.metadata.uid.as_ref())
    });
    let is_same = has_hash(&**schema, offer)
        && schema.spec == offer.schema
        && schema.annotations().get(ANNOTATION_API_APPROVED) == offer.approved.as_ref();
    if owned && is_same { ExportStep::Keep } else { ExportStep::Write }
}

fn has_hash<K: Resource>(object: &K, offer: &CrdOffer) -> bool {
    object.annotations().get(ANNOTATION_SOURCE_SPEC_HASH) == Some(&offer.hash)
}

/// Returns `true` if the export still matches the offer. Its versions are those of the schema, whatever it names.
fn still_works(spec: &APIServiceExportSpec, offer: &CrdOffer) -> bool {
    let [resource] = spec.resources.as_slice() else { return false };
    let expected = APIServiceExportSpec { resources: spec.resources.clone(), ..export_spec(offer) };
    (&resource.group, &resource.resource) == (&offer.resource.group, &offer.resource.resource)
        && *spec == expected
}

fn export_spec(offer: &CrdOffer) -> APIServiceExportSpec {
    APIServiceExportSpec {
        resources: vec![offer.resource.clone()],
        permission_claims: offer.claims.clone(),
        informer_scope: offer.terms.reach,
        isolation: offer.terms.isolation,
        cluster_scoped_isolation: None,
    }
}

/// The export to write. What is immutable stays as it was observed.
pub(super) fn desired_export(
    key: &QueueKey,
    offer: &CrdOffer,
    observed: Option<&APIServiceExport>,
) -> APIServiceExport {
    let spec = observed.map_or_else(|| export_spec(offer), |observed| observed.spec.clone());
    let finalizers = Some(vec![FINALIZER.to_owned()]);
    APIServiceExport { metadata: ObjectMeta { finalizers, ..metadata(key, offer) }, spec, status: None }
}

/// The export as it is marked before it is deleted and recreated.
pub(super) fn replaced_export(
    key: &QueueKey,
    offer: &CrdOffer,
    observed: &APIServiceExport,
) -> APIServiceExport {
    let mut export = desired_export(key, offer, Some(observed));
    export.annotations_mut().insert(ANNOTATION_REPLACED.to_owned(), "true".to_owned());
    export
}

/// The schema to write, owned by its export.
pub(super) fn desired_schema(
    key: &QueueKey,
    offer: &CrdOffer,
    spec: BoundSchemaSpec,
    export: &APIServiceExport,
) -> BoundSchema {
    let owner = export.controller_owner_ref(&());
    let mut metadata =
        ObjectMeta { owner_references: owner.map(|owner| vec![owner]), ..metadata(key, offer) };
    let approved = offer.approved.clone().map(|approved| (ANNOTATION_API_APPROVED, approved));
    let dropped = offer.drops_conversion().then(|| (ANNOTATION_CONVERSION_DROPPED, "true".to_owned()));
    for (key, value) in approved.into_iter().chain(dropped) {
        metadata.annotations.get_or_insert_default().insert(key.to_owned(), value);
    }
    BoundSchema { metadata, spec, status: None }
}

fn metadata(key: &QueueKey, offer: &CrdOffer) -> ObjectMeta {
    ObjectMeta {
        name: Some(key.name.clone()),
        labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
        annotations: Some(BTreeMap::from([(ANNOTATION_SOURCE_SPEC_HASH.to_owned(), offer.hash.clone())])),
        ..ObjectMeta::default()
    }
}

/// The verdict of an export that matches its schema.
pub(super) fn in_sync(offer: &CrdOffer) -> Verdict {
    if offer.dropped.is_empty() {
        return Verdict::holds();
    }
    Verdict { reason: "FieldsDropped".to_owned(), message: not_carried(&offer.dropped), ..Verdict::holds() }
}

/// The conditions that we write on an export.
pub(super) struct Report {
    pub(super) in_sync: Verdict,
    /// `true` if consumers can read the objects of one another; `None` keeps the recorded value.
    pub(super) shared: Option<bool>,
}

/// The export's status with our conditions in it. The others are the konnector's.
pub(super) fn status(export: &APIServiceExport, report: Report, now: Timestamp) -> APIServiceExportStatus {
    let mut status = export.status.clone().unwrap_or_default();
    condition::set(&mut status.conditions, CONDITION_PROVIDER_IN_SYNC, report.in_sync, now);
    match report.shared {
        Some(true) => condition::set(&mut status.conditions, CONDITION_TENANCY_SHARED, shared(), now),
        Some(false) => condition::remove(&mut status.conditions, CONDITION_TENANCY_SHARED),
        None => {}
    }
    condition::summarize(&mut status.conditions, now);
    status
}

fn shared() -> Verdict {
    Verdict {
        reason: "RbacCannotSeparate".to_owned(),
        message: "Every consumer of this kind can read the objects of all others. An admission policy keeps it from \
                  writing to them."
            .to_owned(),
        ..Verdict::holds()
    }
}

#[cfg(test)]
mod tests;
