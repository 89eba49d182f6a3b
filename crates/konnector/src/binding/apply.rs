//! Brings the CRDs of a binding to the consumer and starts an engine for each that is served.

use std::sync::Arc;

use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::APIServiceExport,
    outline::{CrdOutline, SchemaOutline},
};
use portolan_runtime::apply::WriteError;

use super::{
    hold::hold,
    install::install,
    objection::SchemaObjection,
    observe::{BindingView, ObservedBinding, ProviderSide},
    outcome::{AppliedResource, AppliedResources, CrdOutcome, InstalledCrd},
    taken,
};
use crate::{
    bodies::{ComparisonResult, version_of},
    context::KonnectorContext,
    crd,
    provider::ProviderContact,
    sync::{EngineKey, EngineMode, EngineState, Placement, SchemaVersions, SyncSpec},
};

/// `None` where another binding has the turn.
pub(super) async fn apply(
    context: &KonnectorContext,
    observed: &ObservedBinding,
) -> Result<Option<AppliedResources>, WriteError> {
    let binding = observed.binding.name_any();
    let found = match &observed.provider {
        ProviderSide::Session(view) => {
            view.export.as_ref().filter(|_| view.listed).map(|export| (view, export))
        }
        ProviderSide::NoAccess | ProviderSide::ClientFailed(_) => None,
    };
    // Whether the provider answers or not: what a former konnector has brought must not go unseen.
    let bound = found.map(|(view, export)| (&**export, view.contract.as_deref()));
    hold(context, &observed.binding, bound).await?;
    let mut applied = AppliedResources::default();
    let Some((view, export)) = found else { return Ok(Some(applied)) };
    applied.orphaned = context.sync.orphaned(&binding) + context.claims.orphaned(&binding);
    if view.contact != ProviderContact::Up {
        // What runs goes on. Nothing is asked of a provider that does not answer: others wait for the worker.
        return Ok(Some(applied));
    }
    for schema in view.schemas.iter().filter_map(|(_, schema)| schema.as_ref()) {
        let installed = install(context, observed, view, schema).await?;
        let Some(InstalledCrd { outcome, found, objection, failure, migration }) = installed else {
            return Ok(None);
        };
        if failure.is_none() && !matches!(outcome, CrdOutcome::Refused { .. }) {
            let crd = crd::name(schema);
            context.failed_writes.ended(&EngineKey { binding: binding.clone(), crd });
        }
        let outcome = match outcome {
            CrdOutcome::Installing(crd) if crd.is_established() => {
                let wanted = WantedExport { export, schema, found: found.as_deref() };
                sync(context, &binding, view, &wanted, crd)
            }
            outcome => outcome,
        };
        let (crd, schema) = (crd::name(schema), Arc::clone(schema));
        let mut resource = AppliedResource { crd, schema, outcome, objection, failure, migration };
        if resource.objection.is_none()
            && let Some(installed) = resource.installed()
        {
            resource.objection = taken::name_objection(&context.consumer, installed).await;
        }
        applied.resources.push(resource);
    }
    let all_there = applied.resources.len() == view.schemas.len();
    let keep: Vec<_> =
        applied.resources.iter().filter(|r| !r.cannot_be_bound()).map(|r| r.crd.clone()).collect();
    // Schemas that have not arrived yet are no reason to stop what runs.
    if all_there {
        context.sync.stop(&binding, &keep);
        context.failed_writes.forget(&binding, &keep);
    }
    applied.orphaned = context.sync.orphaned(&binding) + context.claims.orphaned(&binding);
    Ok(Some(applied))
}

struct WantedExport<'a> {
    export: &'a APIServiceExport,
    schema: &'a SchemaOutline,
    /// Result of the comparison of schema and CRD; `None` while it is not done.
    found: Option<&'a ComparisonResult<SchemaObjection>>,
}

fn sync(
    context: &KonnectorContext,
    binding: &str,
    view: &BindingView,
    wanted: &WantedExport<'_>,
    crd: Arc<CrdOutline>,
) -> CrdOutcome {
    let key = EngineKey { binding: binding.to_owned(), crd: crd.name_any() };
    let Some(found) = wanted.found else {
        // The CRD has just been written: what it is now is compared first. What runs goes on.
        let engine = context.sync.state(&key).unwrap_or(EngineState::Starting);
        return CrdOutcome::Syncing { crd, engine };
    };
    let spec = match spec(view, wanted, found, &crd) {
        Ok(spec) => spec,
        Err(why) => return CrdOutcome::NotSynced { crd, why },
    };
    let engine = context.sync.ensure(&key, &spec, EngineMode::Sync, || context.engine_context(binding));
    CrdOutcome::Syncing { crd, engine }
}

fn spec(
    view: &BindingView,
    wanted: &WantedExport<'_>,
    found: &ComparisonResult<SchemaObjection>,
    crd: &CrdOutline,
) -> Result<SyncSpec, String> {
    let (name, export, scope) = (crd::name(wanted.schema), &wanted.export.spec, crd.spec.scope);
    if scope != wanted.schema.spec.scope {
        return Err(format!("Objects of {name} are not kept in sync: the provider has changed its scope."));
    }
    let resources = crd::resources(wanted.schema, crd).ok_or_else(|| {
        format!("Objects of {name} are not kept in sync: no version of it is served on both sides.")
    })?;
    Ok(SyncSpec {
        defaults: found.defaults(&resources.consumer.version),
        resource: resources.consumer,
        remote: resources.provider,
        has_status_subresource: resources.has_status,
        placement: Placement::of(scope, export.isolation, export.informer_scope),
        schema: SchemaVersions([version_of(&wanted.schema.metadata), version_of(&crd.metadata)]),
        export_uid: wanted.export.uid().unwrap_or_default(),
        session: Arc::clone(&view.session),
    })
}
