//! Writes what has become of a binding: its own status, and on the provider that of the export and its schemas.

use std::sync::Arc;

use kube::Api;
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingStatus, APIServiceExport, APIServiceExportStatus, AcceptedNames,
        BoundSchemaStatus, CONDITION_CONNECTED, CONDITION_CONSUMER_IN_SYNC, CONDITION_SCHEMA_IN_SYNC,
        REASON_DRAINED, REASON_NOT_BOUND,
    },
    condition::{self, ConditionStatus, Severity, Verdict},
    outline::{CrdOutline, SchemaOutline},
};
use portolan_runtime::{
    apply::{self, WriteError},
    clock,
    telemetry::Chain,
};
use tracing::debug;

use super::{
    apply::Applied,
    observe::{Observed, Provider, View},
};
use crate::{context::Context, provider::Contact};

pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    applied: &Applied,
    status: &APIServiceBindingStatus,
) -> Result<(), WriteError> {
    if observed.binding.status.as_ref() != Some(status) {
        let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
        let written = apply::replace_status(&api, &observed.binding.metadata, true, status).await?;
        context.written_bindings.wrote(written);
    }
    let Provider::Session(view) = &observed.provider else { return Ok(()) };
    if view.contact != Contact::Up {
        return Ok(());
    }
    match to_provider(view, applied, status).await {
        // The provider may not let us say how it went; the binding itself works all the same.
        Err(WriteError::Forbidden(error)) => debug!("the provider does not take reports: {}", Chain(&error)),
        other => other?,
    }
    Ok(())
}

async fn to_provider(
    view: &View,
    applied: &Applied,
    status: &APIServiceBindingStatus,
) -> Result<(), WriteError> {
    let Some(export) = &view.export else { return Ok(()) };
    write_export(view, export, &export_status(export, status)).await?;
    for (schema, crd) in applied.resources.iter().filter_map(|r| Some((&r.schema, r.installed()?))) {
        report_schema(view, schema, crd).await?;
    }
    Ok(())
}

/// Tells the provider that nobody binds its export any more.
pub(super) async fn unbound(view: &View) -> Result<(), WriteError> {
    let export = view.export.as_ref().or(view.withdrawing.as_ref());
    let Some(export) = export.filter(|_| view.contact == Contact::Up) else { return Ok(()) };
    let mut status = export.status.clone().unwrap_or_default();
    let verdict = if view.withdrawing.is_some() {
        Verdict::pending(REASON_DRAINED, "Nothing of this export is left on the consumer.")
    } else {
        Verdict::pending(REASON_NOT_BOUND, "The consumer has no APIServiceBinding of this name.")
    };
    condition::set(&mut status.conditions, CONDITION_CONNECTED, verdict, clock::now());
    condition::remove(&mut status.conditions, CONDITION_CONSUMER_IN_SYNC);
    condition::summarize(&mut status.conditions, clock::now());
    match write_export(view, export, &status).await {
        // It is not worth holding up the end of the binding.
        Err(WriteError::Forbidden(error)) => debug!("the provider does not take reports: {}", Chain(&error)),
        other => other?,
    }
    Ok(())
}

async fn write_export(
    view: &View,
    export: &APIServiceExport,
    status: &APIServiceExportStatus,
) -> Result<(), WriteError> {
    if export.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<APIServiceExport> = Api::namespaced(view.session.client.clone(), &view.session.namespace);
    let written = apply::replace_status(&api, &export.metadata, true, status).await?;
    view.session.written_exports.wrote(written);
    Ok(())
}

/// The provider writes other conditions of the same list, so only ours are changed.
fn export_status(export: &APIServiceExport, binding: &APIServiceBindingStatus) -> APIServiceExportStatus {
    let now = clock::now();
    let mut status = export.status.clone().unwrap_or_default();
    let schema = condition::find(&binding.conditions, CONDITION_SCHEMA_IN_SYNC).map(condition::verdict_of);
    let unknown = || Verdict::pending("Unknown", "The consumer has not installed the schema yet.");
    condition::set(&mut status.conditions, CONDITION_CONNECTED, Verdict::holds(), now);
    condition::set(&mut status.conditions, CONDITION_CONSUMER_IN_SYNC, schema.unwrap_or_else(unknown), now);
    condition::summarize(&mut status.conditions, now);
    status
}

async fn report_schema(view: &View, schema: &Arc<SchemaOutline>, crd: &CrdOutline) -> Result<(), WriteError> {
    let new = schema_status(schema, crd);
    if schema.status.as_ref() == Some(&new) {
        return Ok(());
    }
    let api: Api<SchemaOutline> = Api::namespaced(view.session.client.clone(), &view.session.namespace);
    let written = apply::replace_status(&api, &schema.metadata, true, &new).await?;
    view.session.written_schemas.wrote(written);
    Ok(())
}

/// The state of the consumer's CRD in the words of the schema's status.
fn schema_status(schema: &SchemaOutline, crd: &CrdOutline) -> BoundSchemaStatus {
    let mut status = schema.status.clone().unwrap_or_default();
    let observed = crd.status.clone().unwrap_or_default();
    status.stored_versions = observed.stored_versions.unwrap_or_default();
    status.accepted_names = observed.accepted_names.map(|names| AcceptedNames {
        plural: names.plural,
        kind: names.kind,
        singular: names.singular,
        list_kind: names.list_kind,
        short_names: names.short_names,
        categories: names.categories,
    });
    for condition in observed.conditions.unwrap_or_default() {
        let holds = condition.status == "True";
        let verdict = Verdict {
            status: if holds { ConditionStatus::True } else { ConditionStatus::False },
            severity: if holds { Severity::None } else { Severity::Error },
            reason: condition.reason.unwrap_or_default(),
            message: condition.message.unwrap_or_default(),
        };
        condition::set(&mut status.conditions, &condition.type_, verdict, clock::now());
    }
    condition::summarize(&mut status.conditions, clock::now());
    status
}
