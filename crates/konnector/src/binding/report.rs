//! Writes what has become of a binding: its own status, and on the provider that of the export and its schemas.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionCondition;
use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingStatus, APIServiceExport, APIServiceExportStatus, AcceptedNames,
        BoundSchemaStatus, CONDITION_CONNECTED, CONDITION_CONSUMER_IN_SYNC, CONDITION_HEARTBEATING,
        CONDITION_SCHEMA_IN_SYNC, CONDITION_SECRET_VALID, ClusterSecretKeyRef, REASON_DRAINED,
        REASON_NOT_BOUND,
    },
    condition::{self, Condition, ConditionStatus, Severity, Verdict},
    outline::{CrdOutline, SchemaOutline},
};
use portolan_runtime::{
    apply::{self, WriteError},
    clock,
    telemetry::ErrorChain,
};
use tracing::debug;

use super::{
    marks::FOREIGN_CRD,
    observe::{BindingView, ObservedBinding, ProviderSide, is_withdrawing},
    outcome::AppliedResources,
};
use crate::{
    context::KonnectorContext,
    news::news,
    policy,
    provider::{PROVIDER_SUSPECT, ProviderContact, Session, in_time},
};

/// Reasons that a bundle reports itself, for all its bindings.
const SAID_BY_BUNDLES: [&str; 3] = ["ProviderClientError", "ProviderUnreachable", PROVIDER_SUSPECT];
/// The message about an export without a binding, where no more is known.
const NO_BINDING: &str = "The consumer has no APIServiceBinding of this name.";
const NOTHING_LEFT: &str = "Nothing of this export is left on the consumer.";

pub(super) async fn report(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    applied: &AppliedResources,
    status: &APIServiceBindingStatus,
) -> Result<(), WriteError> {
    say(context, &observed.binding, status).await?;
    let ProviderSide::Session(view) = &observed.provider else { return Ok(()) };
    if view.contact != ProviderContact::Up {
        return Ok(());
    }
    let reference = &observed.binding.spec.kubeconfig_secret_ref;
    if !context.bundles.all().iter().any(|bundle| bundle.spec.kubeconfig_secret_ref == *reference) {
        report_unbound(context, reference, &without_binding(context, &view.session, reference)).await?;
    }
    // The binding itself works all the same.
    accepted(to_provider(view, applied, status).await)
}

/// Writes the status where it differs, tells what is new in it, and counts.
pub(super) async fn say(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    status: &APIServiceBindingStatus,
) -> Result<(), WriteError> {
    let ready = condition::find(&status.conditions, condition::READY);
    context.metrics.saw_binding(&binding.name_any(), ready);
    if binding.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let written = apply::replace_status(&api, &binding.metadata, true, status).await?;
    context.bindings.wrote(written);
    let before = binding.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let by_bundle = policy::bundle_of(binding).is_some();
    for said in news(before, &status.conditions).filter(|said| !(by_bundle && is_said_by_bundle(said))) {
        context.reporter.warn(&binding.object_ref(&()), &said.reason, "Bind", &said.message).await;
    }
    Ok(())
}

/// One Event on the bundle is enough for what is wrong with the whole provider.
fn is_said_by_bundle(condition: &Condition) -> bool {
    [CONDITION_SECRET_VALID, CONDITION_HEARTBEATING].contains(&condition.r#type.as_str())
        || SAID_BY_BUNDLES.contains(&condition.reason.as_str())
}

/// The exports of a provider that nobody binds, with what the provider reads of it.
fn without_binding(
    context: &KonnectorContext,
    session: &Session,
    reference: &ClusterSecretKeyRef,
) -> BTreeMap<String, String> {
    let is_bound = |name: &str| {
        context.binding(name).is_some_and(|binding| binding.spec.kubeconfig_secret_ref == *reference)
    };
    let names = session.contents.exports().unwrap_or_default().into_iter().map(|export| export.name_any());
    names.filter(|name| !is_bound(name)).map(|name| (name, NO_BINDING.to_owned())).collect()
}

/// Tells a provider which of its exports nobody binds, and why.
pub async fn report_unbound(
    context: &KonnectorContext,
    reference: &ClusterSecretKeyRef,
    unbound: &BTreeMap<String, String>,
) -> Result<(), WriteError> {
    let Some(session) = writable(context, reference) else { return Ok(()) };
    for (name, why) in unbound {
        let export =
            session.contents.export(name).filter(|export| export.metadata.deletion_timestamp.is_none());
        let verdict = Verdict::pending(REASON_NOT_BOUND, why.clone());
        say_without_binding(context, &session, export, verdict).await?;
    }
    Ok(())
}

/// Tells a provider which of the exports that it withdraws nobody binds any more. Usually the end of the binding has
/// told it so; a provider that was restored from a backup does not know.
pub async fn report_drained(
    context: &KonnectorContext,
    reference: &ClusterSecretKeyRef,
    drained: &BTreeSet<String>,
) -> Result<(), WriteError> {
    let Some(session) = writable(context, reference) else { return Ok(()) };
    for name in drained {
        let export = session.contents.export(name).filter(|export| is_withdrawing(export));
        let verdict = Verdict::pending(REASON_DRAINED, NOTHING_LEFT);
        say_without_binding(context, &session, export, verdict).await?;
    }
    Ok(())
}

/// Says something of an export, unless it is said already, or there is a binding after all.
async fn say_without_binding(
    context: &KonnectorContext,
    session: &Session,
    export: Option<Arc<APIServiceExport>>,
    verdict: Verdict,
) -> Result<(), WriteError> {
    let Some(export) = export.filter(|export| !says(export, &verdict.reason)) else { return Ok(()) };
    let binding = context.binding(&export.name_any());
    if binding.is_some_and(|binding| !is_of_another_contract(context, session, &binding)) {
        return Ok(());
    }
    accepted(write_export(session, &export, &unbound_status(&export, verdict)).await)
}

/// The session for a Secret, if the provider answers and may be written to.
fn writable(context: &KonnectorContext, reference: &ClusterSecretKeyRef) -> Option<Arc<Session>> {
    context
        .sessions
        .open(reference)
        .filter(|session| session.contact() == ProviderContact::Up && session.may_write())
}

/// A provider need not accept reports.
fn accepted(written: Result<(), WriteError>) -> Result<(), WriteError> {
    match written {
        Err(WriteError::Forbidden(error)) => {
            debug!("the provider does not accept reports: {}", ErrorChain(&error));
            Ok(())
        }
        other => other,
    }
}

/// Whoever has said it first, and in which words: several may speak for one contract.
fn says(export: &APIServiceExport, reason: &str) -> bool {
    let conditions = export.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, CONDITION_CONNECTED).is_some_and(|said| said.reason == reason)
}

/// Returns `true` if a binding of the same name is surely for something else. Two Secrets may lead to one contract.
fn is_of_another_contract(
    context: &KonnectorContext,
    session: &Session,
    binding: &APIServiceBinding,
) -> bool {
    let other = context.sessions.open(&binding.spec.kubeconfig_secret_ref);
    let other = other.and_then(|other| other.agreed_contract());
    other.zip(session.agreed_contract()).is_some_and(|(other, ours)| other != ours)
}

fn unbound_status(export: &APIServiceExport, verdict: Verdict) -> APIServiceExportStatus {
    let mut status = export.status.clone().unwrap_or_default();
    condition::set(&mut status.conditions, CONDITION_CONNECTED, verdict, clock::now());
    condition::remove(&mut status.conditions, CONDITION_CONSUMER_IN_SYNC);
    condition::summarize(&mut status.conditions, clock::now());
    status
}

async fn to_provider(
    view: &BindingView,
    applied: &AppliedResources,
    status: &APIServiceBindingStatus,
) -> Result<(), WriteError> {
    let Some(export) = &view.export else { return Ok(()) };
    write_export(&view.session, export, &export_status(export, status)).await?;
    for (schema, crd) in applied.resources.iter().filter_map(|r| Some((&r.schema, r.installed()?))) {
        report_schema(view, schema, crd).await?;
    }
    Ok(())
}

/// Tells the provider that nobody binds its export any more.
pub(super) async fn unbound(view: &BindingView) -> Result<(), WriteError> {
    let export = view.export.as_ref().or(view.withdrawing.as_ref());
    let Some(export) = export.filter(|_| view.contact == ProviderContact::Up) else { return Ok(()) };
    let verdict = if view.withdrawing.is_some() {
        Verdict::pending(REASON_DRAINED, NOTHING_LEFT)
    } else {
        Verdict::pending(REASON_NOT_BOUND, NO_BINDING)
    };
    // It is not worth holding up the end of the binding.
    accepted(write_export(&view.session, export, &unbound_status(export, verdict)).await)
}

async fn write_export(
    session: &Session,
    export: &APIServiceExport,
    status: &APIServiceExportStatus,
) -> Result<(), WriteError> {
    if export.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<APIServiceExport> = Api::namespaced(session.client.clone(), &session.namespace);
    let written = in_time(apply::replace_status(&api, &export.metadata, true, status)).await?;
    session.contents.exports.wrote(written);
    Ok(())
}

/// The provider writes other conditions of the same list, so only ours are changed.
fn export_status(export: &APIServiceExport, binding: &APIServiceBindingStatus) -> APIServiceExportStatus {
    let now = clock::now();
    let mut status = export.status.clone().unwrap_or_default();
    let schema = condition::find(&binding.conditions, CONDITION_SCHEMA_IN_SYNC).map(condition::verdict_of);
    let unknown = || Verdict::pending("Unknown", "The consumer has not installed the schema yet.");
    condition::set(&mut status.conditions, CONDITION_CONNECTED, connected(binding), now);
    condition::set(&mut status.conditions, CONDITION_CONSUMER_IN_SYNC, schema.unwrap_or_else(unknown), now);
    condition::summarize(&mut status.conditions, now);
    status
}

/// There is a binding, since it reports. What keeps it from working is what it could not make of the schemas.
fn connected(binding: &APIServiceBindingStatus) -> Verdict {
    let said = condition::find(&binding.conditions, CONDITION_CONNECTED);
    let failed = said.filter(|said| said.status == ConditionStatus::False && said.severity != Severity::Info);
    match failed {
        None => Verdict::holds(),
        // Whose it is, on the consumer, is not the provider's business.
        Some(said) if said.reason == FOREIGN_CRD => Verdict::warning(
            "BoundSchemasNotValid",
            "The consumer has another CustomResourceDefinition of this name.",
        ),
        Some(said) => Verdict::warning("BoundSchemasNotValid", said.message.clone()),
    }
}

async fn report_schema(
    view: &BindingView,
    schema: &Arc<SchemaOutline>,
    crd: &CrdOutline,
) -> Result<(), WriteError> {
    let new = schema_status(schema, crd);
    if !is_settled(crd) || schema.status.as_ref() == Some(&new) {
        return Ok(());
    }
    let api: Api<SchemaOutline> = Api::namespaced(view.session.client.clone(), &view.session.namespace);
    let written = in_time(apply::replace_status(&api, &schema.metadata, true, &new)).await?;
    view.session.contents.schemas.wrote(written);
    Ok(())
}

/// Returns `true` if the API server has accepted a CRD, or has not. To report each step on the way would write a
/// large object, and have everybody read it, as often.
fn is_settled(crd: &CrdOutline) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_refused = |condition: &CustomResourceDefinitionCondition| {
        condition.type_ == "NamesAccepted" && condition.status == "False"
    };
    crd.is_established() || conditions.into_iter().flatten().any(is_refused)
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

#[cfg(test)]
mod tests;
