//! Carries out the plan for a CRD in a contract namespace.

use kube::{Api, Resource as _};
use portolan_core::{
    api::kubebind::{APIServiceExport, BoundSchema},
    condition::Verdict,
};
use portolan_runtime::{
    apply::{self, Observed as Seen, WriteError},
    clock,
    controller::Next,
    telemetry::Chain,
};
use serde_json::json;
use tracing::info;

use super::plan::{self, Observed, Plan, Report, Step, Wanted};
use crate::{FIELD_MANAGER, context::Context, error::ReconcileError, source::Offer, wake::Key};

const FOREIGN: &str = "It was not made by this provider (label kube-bind.io/managed-by=provider is missing), so it is \
    left as it is. Delete it to have the CRD of this name exported.";

pub(super) async fn apply(
    context: &Context,
    key: &Key,
    observed: &Observed,
    plan: Plan,
) -> Result<Next, ReconcileError> {
    let apis = Apis::of(context, key);
    match (plan, &observed.wanted) {
        (Plan::Withdraw { export, schema }, _) => apis.withdraw(key, export, schema).await?,
        (Plan::Replace { uid }, _) => {
            info!(export = %key, "none of its versions is served any more: making it anew");
            apis.withdraw(key, Some(uid), None).await?;
        }
        (Plan::AwaitDrain { left }, _) => {
            let Some(export) = &observed.export else { return Ok(Next::OnChange) };
            let report = Report { in_sync: plan::withdrawing(observed.drain_limit), shared: None };
            apis.report(context, key, export, report).await?;
            return Ok(Next::After(left));
        }
        (Plan::LetGo { place }, _) => {
            if let Some(export) = &observed.export {
                apis.let_go(key, export, place).await?;
            }
        }
        (Plan::LeaveForeign, _) => {
            if let Some(export) = &observed.export {
                context.notices.warn(&export.object_ref(&()), "NotOurs", FOREIGN).await;
            }
        }
        (Plan::Offer { export, schema }, Wanted::Offer(offer)) => {
            let place = Place { context, key, observed, offer, apis };
            place.offer(export, schema).await?;
        }
        (Plan::Nothing | Plan::Offer { .. }, _) => {}
    }
    Ok(Next::OnChange)
}

struct Apis {
    exports: Api<APIServiceExport>,
    schemas: Api<BoundSchema>,
}

impl Apis {
    fn of(context: &Context, key: &Key) -> Self {
        let client = || context.client.clone();
        Self {
            exports: Api::namespaced(client(), &key.namespace),
            schemas: Api::namespaced(client(), &key.namespace),
        }
    }

    async fn withdraw(
        &self,
        key: &Key,
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
    async fn let_go(&self, key: &Key, export: &APIServiceExport, place: usize) -> Result<(), ReconcileError> {
        let held = (place, plan::FINALIZER);
        let written = apply::take_finalizer(&self.exports, None, &export.metadata, held).await;
        written.map_err(|error| ReconcileError::new("take the finalizer off export", key, error))?;
        info!(export = %key, "the end of the export has reached the consumer, or its time is over");
        Ok(())
    }

    async fn report(
        &self,
        context: &Context,
        key: &Key,
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
    context: &'a Context,
    key: &'a Key,
    observed: &'a Observed,
    offer: &'a Offer,
    apis: Apis,
}

impl Place<'_> {
    /// The export comes first, because it owns the schema.
    async fn offer(&self, export: Step, schema: Step) -> Result<(), ReconcileError> {
        let export = self.export(export).await?;
        let in_sync = self.schema(&export, schema).await?;
        let on = export.object_ref(&());
        if in_sync.is_true() {
            self.context.notices.clear(&on);
        } else {
            self.context.notices.warn(&on, &in_sync.reason, &in_sync.message).await;
        }
        let report = Report { in_sync, shared: Some(self.offer.terms.is_shared()) };
        self.apis.report(self.context, self.key, &export, report).await
    }

    async fn export(&self, step: Step) -> Result<APIServiceExport, ReconcileError> {
        let observed = self.observed.export.as_deref();
        if let (Step::Keep, Some(export)) = (step, observed) {
            return Ok(export.clone());
        }
        let desired = json!(plan::desired_export(self.key, self.offer, observed));
        let seen = Seen::of(observed.map(|export| &export.metadata), FIELD_MANAGER);
        let written =
            apply::apply::<APIServiceExport>(&self.apis.exports, FIELD_MANAGER, &desired, &seen).await;
        let written = written.map_err(|error| ReconcileError::new("write export", self.key, error))?;
        info!(export = %self.key, "exported");
        self.context.exports.wrote(written.clone());
        Ok(written)
    }

    /// Gives what the export says of its schema.
    async fn schema(&self, export: &APIServiceExport, step: Step) -> Result<Verdict, ReconcileError> {
        match step {
            Step::Keep => return Ok(Verdict::holds()),
            Step::LeaveForeign => {
                return Ok(missing(format!("BoundSchema {} is not usable. {FOREIGN}", self.key.name)));
            }
            Step::Write => {}
        }
        let observed = self.observed.schema.as_ref().map(|schema| &schema.metadata);
        let desired = json!(plan::desired_schema(self.key, self.offer, export));
        let seen = Seen::of(observed, FIELD_MANAGER);
        match apply::apply::<BoundSchema>(&self.apis.schemas, FIELD_MANAGER, &desired, &seen).await {
            Ok(written) => {
                self.context.schemas.wrote(written);
                Ok(Verdict::holds())
            }
            Err(WriteError::Invalid(error)) => {
                Ok(missing(format!("BoundSchema {} cannot be made: {}", self.key.name, Chain(&error))))
            }
            Err(error) => Err(ReconcileError::new("write schema", self.key, error)),
        }
    }
}

fn missing(message: String) -> Verdict {
    Verdict::error("BoundSchemaMissing", message)
}
