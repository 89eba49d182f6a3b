//! Brings the CRDs of a binding to the consumer and starts an engine for each that is served.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _, api::ObjectMeta};
use portolan_core::api::kubebind::{
    APIServiceBinding, APIServiceExport, BoundSchema, ExportedResource, FIELD_MANAGER, FORMER_MANAGER,
    REASON_GROUP_NOT_BINDABLE,
};
use portolan_runtime::{
    apply::{self, Observed as Seen, WriteError},
    telemetry::Chain,
};
use serde_json::Value;
use tracing::info;

use super::{
    claims::Claims,
    hold::hold,
    objection::{Objection, objection},
    observe::{Observed, Provider, View},
    taken,
};
use crate::{
    context::Context,
    crd, policy,
    sync::{Defaults, EngineKey, EngineState, Mode, Placement, SchemaVersions, SyncSpec},
};

/// What has become of a binding's resources.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) resources: Vec<AppliedResource>,
    pub(super) claims: Claims,
}

/// One resource of a binding.
pub(super) struct AppliedResource {
    pub(super) crd: String,
    pub(super) schema: Arc<BoundSchema>,
    pub(super) outcome: Outcome,
    /// Why the provider's schema is not taken over.
    pub(super) objection: Option<Objection>,
}

/// How far a resource has come.
pub(super) enum Outcome {
    /// The CRD of that name is not ours, but that of another binding perhaps.
    Foreign { owner: Option<String> },
    /// There is no CRD, and none is made of this schema.
    Withheld,
    /// The API server does not accept the CRD.
    Refused { created: bool, message: String },
    /// The CRD is there and not served yet.
    Installing(Arc<CustomResourceDefinition>),
    /// The CRD is served. No engine can run for the reason given.
    NotSynced { crd: Arc<CustomResourceDefinition>, why: String },
    /// The CRD is served and its engine runs.
    Syncing { crd: Arc<CustomResourceDefinition>, engine: EngineState },
}

impl Applied {
    /// Whether every change that could matter is watched.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |r: &AppliedResource| match &r.outcome {
            Outcome::Withheld
            | Outcome::Installing(_)
            | Outcome::NotSynced { .. }
            | Outcome::Syncing { .. } => true,
            Outcome::Foreign { .. } | Outcome::Refused { .. } => false,
        };
        self.resources.iter().all(settled)
    }
}

impl AppliedResource {
    /// Whether its group is served here in another way than by a CRD.
    fn cannot_be_bound(&self) -> bool {
        self.objection.as_ref().is_some_and(|objection| objection.reason == REASON_GROUP_NOT_BINDABLE)
    }

    pub(super) fn installed(&self) -> Option<&Arc<CustomResourceDefinition>> {
        match &self.outcome {
            Outcome::Installing(crd) | Outcome::NotSynced { crd, .. } | Outcome::Syncing { crd, .. } => {
                Some(crd)
            }
            Outcome::Foreign { .. } | Outcome::Withheld | Outcome::Refused { .. } => None,
        }
    }
}

pub(super) async fn apply(context: &Context, observed: &Observed) -> Result<Applied, WriteError> {
    let binding = observed.binding.name_any();
    let found = match &observed.provider {
        Provider::Session(view) => view.export.as_ref().filter(|_| view.listed).map(|export| (view, export)),
        Provider::NoAccess | Provider::ClientFailed(_) => None,
    };
    // Whether the provider answers or not: what a former konnector has brought must not go unseen.
    hold(context, &observed.binding, found.map(|(_, export)| &**export)).await?;
    let Some((view, export)) = found else { return Ok(Applied::default()) };
    let mut applied = Applied::default();
    for (resource, schema) in view.schemas.iter().filter_map(|(r, s)| Some((r, s.as_ref()?))) {
        let (outcome, objection) = install(context, observed, schema).await?;
        let outcome = match outcome {
            Outcome::Installing(crd) if crd::is_established(&crd) => {
                let wanted = Wanted { export, resource, schema };
                sync(context, &binding, view, &wanted, crd)
            }
            outcome => outcome,
        };
        let (crd, schema) = (crd::name(schema), Arc::clone(schema));
        let mut resource = AppliedResource { crd, schema, outcome, objection };
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
    }
    Ok(applied)
}

/// Creates or updates the CRD where it differs from the schema and nothing speaks against it.
async fn install(
    context: &Context,
    observed: &Observed,
    schema: &BoundSchema,
) -> Result<(Outcome, Option<Objection>), WriteError> {
    let (binding, name) = (&observed.binding, crd::name(schema));
    let desired = crd::desired(schema, binding);
    let existing = observed.crds.get(&name);
    let kept = |existing: &Arc<CustomResourceDefinition>| Outcome::Installing(Arc::clone(existing));
    if let Some(objection) = taken::group_objection(schema, &context.served()) {
        let ours = existing.filter(|crd| crd::is_owned_by(crd, binding));
        let not_synced = |crd| Outcome::NotSynced { crd: Arc::clone(crd), why: objection.message.clone() };
        return Ok((ours.map_or(Outcome::Withheld, not_synced), Some(objection)));
    }
    let is_stray = existing.is_some_and(|existing| crd::is_stray(existing));
    if let Some(existing) = existing {
        let is_ours = crd::is_owned_by(existing, binding);
        let ends = existing.metadata.deletion_timestamp.is_some();
        if !is_ours && (ends || !is_stray) {
            return Ok((Outcome::Foreign { owner: owner_of(context, existing) }, None));
        }
        if is_ours && (ends || crd::is_current(existing, &desired)) {
            return Ok((kept(existing), None));
        }
    }
    let allowed = &context.allowed_webhooks;
    let objection = objection(schema, existing.map(|crd| &**crd), &desired, &observed.consent, allowed);
    if objection.is_some() {
        let ours = existing.filter(|_| !is_stray);
        return Ok((ours.map_or(Outcome::Withheld, kept), objection));
    }
    let outcome = write(context, binding, existing.map(|crd| &**crd), &desired).await?;
    Ok((outcome, None))
}

/// Whose CRD it is, for people.
fn owner_of(context: &Context, crd: &CustomResourceDefinition) -> Option<String> {
    let name = crd::owner_name(crd)?;
    let described = context.binding(name).map(|binding| policy::described(&binding));
    Some(described.unwrap_or_else(|| format!("APIServiceBinding {name}")))
}

async fn write(
    context: &Context,
    binding: &APIServiceBinding,
    existing: Option<&CustomResourceDefinition>,
    desired: &Value,
) -> Result<Outcome, WriteError> {
    let name = desired["metadata"]["name"].as_str().unwrap_or_default();
    let api: Api<CustomResourceDefinition> = Api::all(context.consumer.clone());
    let seen = match existing {
        Some(existing) => Seen::succeeding(&existing.metadata, FIELD_MANAGER, &[FORMER_MANAGER]),
        None => Seen::Absent,
    };
    match apply::apply::<CustomResourceDefinition>(&api, FIELD_MANAGER, desired, &seen).await {
        Ok(crd) => {
            info!(binding = binding.name_any(), crd = name, "CRD is up to date");
            context.written_crds.wrote(crd.clone());
            Ok(Outcome::Installing(Arc::new(crd)))
        }
        Err(WriteError::Invalid(error) | WriteError::Forbidden(error)) => {
            Ok(Outcome::Refused { created: existing.is_none(), message: Chain(&error).to_string() })
        }
        Err(error) => Err(error),
    }
}

struct Wanted<'a> {
    export: &'a APIServiceExport,
    resource: &'a ExportedResource,
    schema: &'a BoundSchema,
}

fn sync(
    context: &Context,
    binding: &str,
    view: &View,
    wanted: &Wanted<'_>,
    crd: Arc<CustomResourceDefinition>,
) -> Outcome {
    let spec = match spec(view, wanted, &crd) {
        Ok(spec) => spec,
        Err(why) => return Outcome::NotSynced { crd, why },
    };
    let key = EngineKey { binding: binding.to_owned(), crd: crd.name_any() };
    let engine = context.sync.ensure(&key, &spec, Mode::Sync, || context.engine_context(binding));
    Outcome::Syncing { crd, engine }
}

fn defaults_of(crd: &CustomResourceDefinition, version: &str) -> Defaults {
    let version = crd.spec.versions.iter().find(|served| served.name == version);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    schema.map(Defaults::of).unwrap_or_default()
}

fn version_of(metadata: &ObjectMeta) -> Option<(String, i64)> {
    Some((metadata.uid.clone()?, metadata.generation?))
}

fn spec(view: &View, wanted: &Wanted<'_>, crd: &CustomResourceDefinition) -> Result<SyncSpec, String> {
    let (name, export) = (crd::name(wanted.schema), &wanted.export.spec);
    let scope = crd::scope(crd);
    if scope != wanted.schema.spec.scope {
        return Err(format!("Objects of {name} are not kept in sync: the provider has changed its scope."));
    }
    let version = crd::sync_version(wanted.schema, wanted.resource, crd).ok_or_else(|| {
        format!("Objects of {name} are not kept in sync: the provider serves none of the exported versions.")
    })?;
    Ok(SyncSpec {
        resource: crd::api_resource(wanted.schema, &version.name),
        has_status_subresource: version.subresources.as_ref().is_some_and(|s| s.status.is_some()),
        placement: Placement::of(scope, export.isolation, export.informer_scope),
        defaults: Arc::new(defaults_of(crd, &version.name)),
        schema: SchemaVersions([version_of(&wanted.schema.metadata), version_of(&crd.metadata)]),
        export_uid: wanted.export.uid().unwrap_or_default(),
        session: Arc::clone(&view.session),
    })
}
