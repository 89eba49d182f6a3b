//! Carries out the plan for a CRD in a contract namespace.

use std::time::Duration;

use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};
use portolan_core::{api::kubebind::APIServiceExport, condition::Verdict, outline::SchemaOutline};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
    controller::{Action, ReconcileError},
    telemetry::ErrorChain,
};
use serde_json::json;
use tracing::info;

use super::{
    plan::{self, ExportPlan, ExportStep, ObservedExport, Report},
    wanted::WantedExport,
};
use crate::{
    FIELD_MANAGER,
    context::{ProviderContext, RESYNC},
    queues::QueueKey,
    source::{CrdOffer, FullCrd, OfferRefusal},
};

/// Reason of `ProviderInSync`: the schema is not there.
const SCHEMA_MISSING: &str = "BoundSchemaMissing";
/// Delay before a schema that was refused is tried again: it costs reading it.
const REFUSED: Duration = Duration::from_mins(5);
const FOREIGN: &str = "It was not made by this provider (label kube-bind.io/managed-by=provider is missing), so it is \
 left as it is. Delete it to have the CRD of this name exported.";

pub(super) async fn apply(
    context: &ProviderContext,
    key: &QueueKey,
    observed: &ObservedExport,
    plan: ExportPlan,
) -> Result<Action, ReconcileError> {
    let apis = Apis::of(context, key);
    match (plan, &observed.wanted) {
        (ExportPlan::Withdraw { export, schema }, _) => apis.withdraw(key, export, schema).await?,
        (ExportPlan::Replace, WantedExport::Offer(offer, _)) => {
            if let Some(export) = &observed.export {
                apis.replace(key, offer, export).await?;
            }
        }
        (ExportPlan::Explain, WantedExport::AsItIs(Some(why))) => {
            if let Some(export) = &observed.export {
                context.notices.warn(&export.object_ref(&()), &why.reason, &why.message).await;
                let report = Report { in_sync: why.clone(), shared: None };
                apis.report(context, key, export, report).await?;
            }
        }
        (ExportPlan::AwaitDrain { left }, _) => {
            let Some(export) = &observed.export else { return Ok(Action::AwaitChange) };
            let report = Report { in_sync: plan::withdrawing(observed.drain_limit), shared: None };
            apis.report(context, key, export, report).await?;
            // The end of a namespace without the label is no event.
            return Ok(Action::RequeueAfter(left.min(RESYNC)));
        }
        (ExportPlan::LetGo { place }, _) => {
            if let Some(export) = &observed.export {
                apis.let_go(key, export, place).await?;
            }
        }
        (ExportPlan::LeaveForeign, _) => {
            if let Some(export) = &observed.export {
                context.notices.warn(&export.object_ref(&()), "NotOurs", FOREIGN).await;
            }
        }
        (ExportPlan::Offer { export, schema }, WantedExport::Offer(offer, objection)) => {
            let place = Place { context, key, observed, offer, apis };
            return place.offer(export, schema, objection.as_ref()).await;
        }
        (ExportPlan::Nothing | ExportPlan::Offer { .. } | ExportPlan::Replace | ExportPlan::Explain, _) => {}
    }
    Ok(Action::AwaitChange)
}

struct Apis {
    exports: Api<APIServiceExport>,
    schemas: Api<SchemaOutline>,
}

impl Apis {
    fn of(context: &ProviderContext, key: &QueueKey) -> Self {
        let client = || context.client.clone();
        Self {
            exports: Api::namespaced(client(), &key.namespace),
            schemas: Api::namespaced(client(), &key.namespace),
        }
    }

    async fn withdraw(
        &self,
        key: &QueueKey,
        export: Option<String>,
        schema: Option<String>,
    ) -> Result<(), ReconcileError> {
        if let Some(uid) = export {
            let deleted = apply::delete(&self.exports, &key.name, &uid).await;
            deleted.map_err(|error| ReconcileError::new("delete export", key, error))?;
            info!(export = %key, "withdrawn");
        }
        if let Some(uid) = schema {
            let deleted = apply::delete(&self.schemas, &key.name, &uid).await;
            deleted.map_err(|error| ReconcileError::new("delete schema", key, error))?;
        }
        Ok(())
    }
}

impl Apis {
    /// Deletes an export that has to be recreated. What it owns stays: namespaces of consumers, among others.
    async fn replace(
        &self,
        key: &QueueKey,
        offer: &CrdOffer,
        export: &APIServiceExport,
    ) -> Result<(), ReconcileError> {
        info!(export = %key, "an immutable field has changed: recreating the export");
        let failed = |error| ReconcileError::new("replace export", key, error);
        let seen = Precondition::of(Some(&export.metadata), FIELD_MANAGER);
        let marked = json!(plan::replaced_export(key, offer, export));
        apply::apply::<APIServiceExport>(&self.exports, FIELD_MANAGER, &marked, &seen)
            .await
            .map_err(failed)?;
        let preconditions = Preconditions { uid: export.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::orphan() };
        let deleted = self.exports.delete(&key.name, &params).await;
        deleted.map(|_| ()).map_err(|error| failed(error.into()))
    }

    async fn let_go(
        &self,
        key: &QueueKey,
        export: &APIServiceExport,
        place: usize,
    ) -> Result<(), ReconcileError> {
        let held = (place, plan::FINALIZER);
        let written = apply::take_finalizer(&self.exports, None, &export.metadata, held).await;
        written.map_err(|error| ReconcileError::new("remove the finalizer from export", key, error))?;
        info!(export = %key, "the consumer has cleaned up after the export, or its time is up: letting it go");
        Ok(())
    }

    async fn report(
        &self,
        context: &ProviderContext,
        key: &QueueKey,
        export: &APIServiceExport,
        report: Report,
    ) -> Result<(), ReconcileError> {
        let status = plan::status(export, report, clock::now());
        if export.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let written = apply::replace_status(&self.exports, &export.metadata, true, &status).await;
        let written =
            written.map_err(|error| ReconcileError::new("write the status of export", key, error))?;
        context.exports.wrote(written);
        Ok(())
    }
}

struct Place<'a> {
    context: &'a ProviderContext,
    key: &'a QueueKey,
    observed: &'a ObservedExport,
    offer: &'a CrdOffer,
    apis: Apis,
}

impl Place<'_> {
    /// The export comes first, because it owns the schema.
    async fn offer(
        &self,
        export: ExportStep,
        schema: ExportStep,
        objection: Option<&Verdict>,
    ) -> Result<Action, ReconcileError> {
        let export = self.export(export).await?;
        let in_sync = self.schema(&export, schema).await?;
        let in_sync = objection.filter(|_| in_sync.is_true()).cloned().unwrap_or(in_sync);
        let on = export.object_ref(&());
        if in_sync.is_true() {
            self.context.notices.clear(&on);
        } else {
            self.context.notices.warn(&on, &in_sync.reason, &in_sync.message).await;
        }
        // Whoever refuses the schema may change their mind.
        let again = if in_sync.reason == SCHEMA_MISSING {
            Action::RequeueAfter(REFUSED)
        } else {
            Action::AwaitChange
        };
        let report = Report { in_sync, shared: Some(self.offer.terms.is_shared()) };
        self.apis.report(self.context, self.key, &export, report).await?;
        Ok(again)
    }

    async fn export(&self, step: ExportStep) -> Result<APIServiceExport, ReconcileError> {
        let observed = self.observed.export.as_deref();
        if let (ExportStep::Keep, Some(export)) = (step, observed) {
            return Ok(export.clone());
        }
        let desired = json!(plan::desired_export(self.key, self.offer, observed));
        let seen = Precondition::of(observed.map(|export| &export.metadata), FIELD_MANAGER);
        let written =
            apply::apply::<APIServiceExport>(&self.apis.exports, FIELD_MANAGER, &desired, &seen).await;
        let written = written.map_err(|error| ReconcileError::new("write export", self.key, error))?;
        info!(export = %self.key, "exported");
        self.context.exports.wrote(written.clone());
        Ok(written)
    }

    /// Gives what the export says of its schema.
    async fn schema(&self, export: &APIServiceExport, step: ExportStep) -> Result<Verdict, ReconcileError> {
        match step {
            ExportStep::Keep => return Ok(plan::in_sync(self.offer)),
            ExportStep::LeaveForeign => {
                return Ok(missing(format!("BoundSchema {} is not usable. {FOREIGN}", self.key.name)));
            }
            ExportStep::Write => {}
        }
        // Bodies are large: one at a time.
        let _turn = self.context.bodies.lock().await;
        let Some((offer, desired)) = self.body(export).await? else {
            // The CRD has changed or gone meanwhile: its watch event brings us back.
            return Ok(plan::in_sync(self.offer));
        };
        let seen = self.seen_schema().await?;
        match apply::apply::<SchemaOutline>(&self.apis.schemas, FIELD_MANAGER, &desired, &seen).await {
            Ok(written) => {
                self.context.schemas.wrote(written);
                Ok(plan::in_sync(&offer))
            }
            Err(WriteError::Invalid(error)) => {
                Ok(missing(format!("BoundSchema {} cannot be made: {}", self.key.name, ErrorChain(&error))))
            }
            Err(error) if is_too_large(&error) => {
                Ok(missing(format!("BoundSchema {} cannot be stored: {}", self.key.name, ErrorChain(&error))))
            }
            Err(error) => Err(ReconcileError::new("write schema", self.key, error)),
        }
    }

    /// The schema to write, read again.
    async fn body(
        &self,
        export: &APIServiceExport,
    ) -> Result<Option<(CrdOffer, serde_json::Value)>, ReconcileError> {
        let crds: Api<FullCrd> = Api::all(self.context.client.clone());
        let read = crds.get_opt(&self.key.name).await;
        let Some(crd) = read.map_err(|error| ReconcileError::new("read CRD", self.key, error))? else {
            return Ok(None);
        };
        let terms = self.offer.terms;
        let Ok(source) = crd.source() else { return Ok(None) };
        let offer = match source.offer_on(terms) {
            Ok(offer) => offer,
            Err(OfferRefusal::Terminating | OfferRefusal::NotExportable(_)) => return Ok(None),
        };
        let Ok(spec) = crd.schema(terms) else { return Ok(None) };
        let desired = json!(plan::desired_schema(self.key, &offer, spec, export));
        Ok(Some((offer, desired)))
    }

    /// Reads the managers of fields from the API server, since stores do not keep them.
    async fn seen_schema(&self) -> Result<Precondition, ReconcileError> {
        if self.observed.schema.is_none() {
            return Ok(Precondition::Absent);
        }
        let found = self.apis.schemas.get_metadata_opt(&self.key.name).await;
        let found = found.map_err(|error| ReconcileError::new("read schema", self.key, error))?;
        Ok(Precondition::of(found.as_ref().map(|found| &found.metadata), FIELD_MANAGER))
    }
}

/// Returns `true` if another attempt is of no use, because neither the API server nor etcd take so much.
fn is_too_large(error: &WriteError) -> bool {
    let text = error.cause().to_string();
    apply::code(error.cause()) == 413 || text.contains("too large") || text.contains("larger than max")
}

fn missing(message: String) -> Verdict {
    Verdict::error(SCHEMA_MISSING, message)
}
