//! Makes the CRD of a schema, or brings it up to date, where nothing speaks against it.

mod gate;

use std::sync::Arc;

use kube::{Api, ResourceExt as _};
use portolan_core::{
    api::kubebind::{ANNOTATION_WITHDRAWN, APIServiceBinding, BoundSchema, FIELD_MANAGER, FORMER_MANAGER},
    outline::{CrdBody, CrdOutline, SchemaOutline},
};
use portolan_runtime::apply::{self, Precondition, WriteError};
use serde_json::{Value, json};
use tracing::info;

use self::gate::{not_written, waiting};
use super::{
    objection::{SchemaObjection, objection},
    observe::{BindingView, ObservedBinding},
    outcome::{CrdOutcome, InstalledCrd},
    taken,
};
use crate::{
    bodies::{ComparisonBasis, ComparisonResult, version_of},
    context::KonnectorContext,
    crd,
    migration::MigrationJob,
    policy,
    sync::EngineKey,
};

/// The bodies of a schema and of its CRD.
struct BodyPair {
    schema: BoundSchema,
    crd: Option<CrdBody>,
}

/// Creates or updates the CRD where it differs from the schema and nothing speaks against it. `None` while another
/// binding has the turn to read a schema of this provider.
pub(super) async fn install(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    view: &BindingView,
    schema: &SchemaOutline,
) -> Result<Option<InstalledCrd>, WriteError> {
    let (binding, name) = (&observed.binding, crd::name(schema));
    let existing = observed.crds.get(&name);
    let kept = |existing: &Arc<CrdOutline>| CrdOutcome::Installing(Arc::clone(existing));
    if let Some(objection) = taken::group_objection(schema, &context.served()) {
        let ours = existing.filter(|crd| crd::is_owned_by(&***crd, binding));
        let not_synced = |crd| CrdOutcome::NotSynced { crd: Arc::clone(crd), why: objection.message.clone() };
        let outcome = ours.map_or(CrdOutcome::Withheld, not_synced);
        return Ok(Some(InstalledCrd { objection: Some(objection), ..InstalledCrd::only(outcome) }));
    }
    if let Some(existing) = existing {
        if let Some(foreign) = foreign(context, &**existing, binding) {
            return Ok(Some(InstalledCrd::only(foreign)));
        }
        if existing.metadata.deletion_timestamp.is_some() {
            return Ok(Some(InstalledCrd::only(kept(existing))));
        }
        let found = context.bodies.get(&name, &basis(observed, schema, Some(&existing.metadata)));
        if let Some(found) = found.filter(|found| found.holds_for(&**existing, binding)) {
            let objection = found.objection.clone();
            return Ok(Some(InstalledCrd {
                objection,
                found: Some(found),
                ..InstalledCrd::only(kept(existing))
            }));
        }
    }
    let key = key(binding, &name);
    if let Some(waiting) = waiting(&context.failed_writes, &key, existing, binding) {
        return Ok(Some(waiting));
    }
    let crds: Api<CrdBody> = Api::all(context.consumer.clone());
    // A provider that answers slowly keeps nobody else waiting: its own turn comes before everybody's.
    let queue = &context.triggers().bindings;
    let Some(_reading) = view.session.reading.take(&binding.name_any(), queue) else { return Ok(None) };
    let body = match view.session.read_schema(&schema.name_any()).await {
        Ok(Some(body)) => body,
        Ok(None) => return Ok(Some(InstalledCrd::only(existing.map_or(CrdOutcome::Withheld, kept)))),
        Err(error) => {
            context.failed_writes.unread(&key, existing.is_none(), &schema.name_any(), &error);
            let waiting = waiting(&context.failed_writes, &key, existing, binding);
            return waiting.map(Some).ok_or(error);
        }
    };
    let _turn = context.bodies.turn().await;
    let pair = BodyPair { schema: body, crd: crds.get_opt(&name).await? };
    compare(context, observed, schema, pair).await.map(Some)
}

fn key(binding: &APIServiceBinding, crd: &str) -> EngineKey {
    EngineKey { binding: binding.name_any(), crd: crd.to_owned() }
}

/// A CRD that this binding may not touch.
fn foreign<K>(context: &KonnectorContext, crd: &K, binding: &APIServiceBinding) -> Option<CrdOutcome>
where
    K: kube::Resource,
{
    let is_terminating = crd.meta().deletion_timestamp.is_some();
    let is_foreign = !crd::is_owned_by(crd, binding) && (is_terminating || !crd::is_orphan(crd));
    is_foreign.then(|| CrdOutcome::Foreign { owner: owner_of(context, crd) })
}

/// Names the owner of a CRD, for people.
fn owner_of<K: kube::Resource>(context: &KonnectorContext, crd: &K) -> Option<String> {
    let name = crd::owner_name(crd)?;
    let described = context.binding(name).map(|binding| policy::described(&binding));
    Some(described.unwrap_or_else(|| format!("APIServiceBinding {name}")))
}

fn basis(
    observed: &ObservedBinding,
    schema: &SchemaOutline,
    crd: Option<&kube::api::ObjectMeta>,
) -> ComparisonBasis {
    ComparisonBasis {
        schema: version_of(&schema.metadata),
        crd: crd.and_then(version_of),
        binding: observed.binding.uid(),
        approved: crd::approved(schema, &schema.spec.group),
        breaking: observed.consent.breaking,
    }
}

async fn compare(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    schema: &SchemaOutline,
    pair: BodyPair,
) -> Result<InstalledCrd, WriteError> {
    let (binding, name) = (&observed.binding, crd::name(schema));
    let Some(existing) = &pair.crd else {
        return create(context, observed, schema, &pair.schema).await;
    };
    if let Some(foreign) = foreign(context, existing, binding) {
        return Ok(InstalledCrd::only(foreign));
    }
    let outline = Arc::new(existing.outline().map_err(kube::Error::SerdeError)?);
    let is_ours = crd::is_owned_by(existing, binding);
    let desired = crd::desired(&pair.schema, binding);
    let is_known = schema.metadata.generation == pair.schema.metadata.generation;
    let remember = |objection: Option<SchemaObjection>| {
        let found = ComparisonResult::new(objection, existing);
        let basis = basis(observed, schema, Some(&existing.metadata));
        is_known.then(|| context.bodies.put(&name, basis, found))
    };
    if is_ours && crd::is_current(existing, &desired) {
        context.migrations.forget(&name);
        return Ok(InstalledCrd {
            found: remember(None),
            ..InstalledCrd::only(CrdOutcome::Installing(outline))
        });
    }
    let allowed = &context.allowed_webhooks;
    let objection = objection(&pair.schema, Some(existing), &desired, &observed.consent, allowed);
    if objection.is_some() {
        let found = remember(objection.clone());
        let outcome = if is_ours { CrdOutcome::Installing(outline) } else { CrdOutcome::Withheld };
        return Ok(InstalledCrd { found, objection, ..InstalledCrd::only(outcome) });
    }
    let (desired, former) = crd::retaining(desired, existing);
    if is_ours && !former.is_empty() && crd::is_current(existing, &desired) {
        let migration = MigrationJob::of(&outline, former)
            .map(|job| context.migrations.ensure(&job, context.trigger_of(&binding.name_any())));
        // Objects are kept in sync meanwhile. Not remembered: the migration is looked at again.
        let found = Some(Arc::new(ComparisonResult::new(None, existing)));
        return Ok(InstalledCrd { found, migration, ..InstalledCrd::only(CrdOutcome::Installing(outline)) });
    }
    pause(context, binding, &outline, &desired);
    let error = match write(context, binding, Some(existing), &desired).await {
        Ok(crd) => return Ok(InstalledCrd::only(CrdOutcome::Installing(crd))),
        Err(error) if error.is_conflict() => return Err(error),
        Err(error) => error,
    };
    let key = key(binding, &name);
    let failure = context.failed_writes.failed(&key, false, &error);
    if !is_ours {
        return not_written(failure, error);
    }
    // What there is works on. Remembered only beside the failure: it is tried again.
    let found = Arc::new(ComparisonResult::new(None, existing));
    context.failed_writes.stays(&key, &existing.metadata, &found);
    let failure = Some(failure);
    Ok(InstalledCrd { found: Some(found), failure, ..InstalledCrd::only(CrdOutcome::Installing(outline)) })
}

async fn create(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    schema: &SchemaOutline,
    body: &BoundSchema,
) -> Result<InstalledCrd, WriteError> {
    let name = crd::name(schema);
    context.bodies.forget(&name);
    let desired = crd::desired(body, &observed.binding);
    let objection = objection(body, None, &desired, &observed.consent, &context.allowed_webhooks);
    if objection.is_some() {
        return Ok(InstalledCrd { objection, ..InstalledCrd::only(CrdOutcome::Withheld) });
    }
    let crd = match write(context, &observed.binding, None, &desired).await {
        Ok(crd) => crd,
        Err(error) if error.is_conflict() => return Err(error),
        Err(error) => {
            let key = key(&observed.binding, &name);
            let failure = context.failed_writes.failed(&key, true, &error);
            return not_written(failure, error);
        }
    };
    let mut installed = InstalledCrd::only(CrdOutcome::Installing(crd));
    if let CrdOutcome::Installing(crd) = &installed.outcome
        && schema.metadata.generation == body.metadata.generation
    {
        // What was just written need not be read again to be compared.
        let basis = basis(observed, schema, Some(&crd.metadata));
        installed.found = Some(context.bodies.put(&name, basis, ComparisonResult::of_made(&desired)));
    }
    Ok(installed)
}

/// Nobody writes in a version that is about to keep less than the one that objects are stored in.
fn pause(context: &KonnectorContext, binding: &APIServiceBinding, existing: &CrdOutline, desired: &Value) {
    let stored = |version: &&Value| version["storage"] == true;
    let target = desired["spec"]["versions"].as_array().and_then(|all| all.iter().find(stored));
    let before = existing.spec.versions.iter().find(|version| version.storage);
    if target.and_then(|version| version["name"].as_str()) != before.map(|version| version.name.as_str()) {
        context.sync.pause(&binding.name_any(), &existing.name_any());
    }
}

async fn write(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    existing: Option<&CrdBody>,
    desired: &Value,
) -> Result<Arc<CrdOutline>, WriteError> {
    let name = desired["metadata"]["name"].as_str().unwrap_or_default();
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let seen = match existing {
        Some(existing) => Precondition::succeeding(&existing.metadata, FIELD_MANAGER, &[FORMER_MANAGER]),
        None => Precondition::Absent,
    };
    let written = apply::apply::<CrdOutline>(&api, FIELD_MANAGER, desired, &seen).await;
    let crd = taken_over(&api, written?).await?;
    info!(binding = binding.name_any(), crd = name, "CRD is up to date");
    context.crds.wrote(crd.clone());
    Ok(Arc::new(crd))
}

/// A CRD that was left to itself belongs to somebody again.
async fn taken_over(api: &Api<CrdOutline>, crd: CrdOutline) -> Result<CrdOutline, WriteError> {
    let Some(note) = crd.annotations().get(ANNOTATION_WITHDRAWN).cloned() else { return Ok(crd) };
    let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_WITHDRAWN));
    apply::remove(api, None, &crd.metadata, &path, &json!(note)).await
}
