//! The status of a binding, from what was seen and what was done. Pure.

use jiff::Timestamp;
use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingStatus, APIServiceExport, BoundSchemaReference,
        CONDITION_CONNECTED, CONDITION_HEARTBEATING, CONDITION_INFORMERS_SYNCED, CONDITION_ORPHANED_COPIES,
        CONDITION_PERMISSION_CLAIMS, CONDITION_PROVIDER_IN_SYNC, CONDITION_SCHEMA_IN_SYNC,
        CONDITION_SECRET_VALID, CONDITION_VERSIONS_DIFFER,
    },
    condition::{self, Verdict},
    names,
    outline::stored_version,
};

use super::{
    claims::ClaimsState,
    marks::FOREIGN_CRD,
    observe::{BindingView, ObservedBinding, ProviderSide},
    outcome::{AppliedResource, AppliedResources, CrdOutcome},
};
use crate::{
    beginning, crd,
    migration::MigrationState,
    policy,
    provider::{HeartbeatOutcome, PROVIDER_SUSPECT, ProviderContact},
    sync::EngineState,
};

const UPDATE_FAILED: &str = "CustomResourceDefinitionUpdateFailed";

/// Of a binding whose end waits for something.
pub(super) fn waiting(binding: &APIServiceBinding, why: &str, now: Timestamp) -> APIServiceBindingStatus {
    let mut status = binding.status.clone().unwrap_or_default();
    let message = format!("Unbinding waits, because {why}: copies on the provider would be left behind.");
    condition::set(
        &mut status.conditions,
        CONDITION_CONNECTED,
        Verdict::error("UnbindPending", message),
        now,
    );
    condition::summarize(&mut status.conditions, now);
    status
}

pub(super) fn conclude<S>(
    observed: &ObservedBinding<S>,
    applied: &AppliedResources,
    now: Timestamp,
    beginning: bool,
) -> APIServiceBindingStatus {
    let say = |conditions: &mut Vec<_>, r#type: &str, verdict| {
        beginning::say(conditions, r#type, verdict, now, beginning);
    };
    let mut status = observed.binding.status.clone().unwrap_or_default();
    let secret = observed.secret.verdict(&observed.binding.spec.kubeconfig_secret_ref);
    let secret_valid = secret.is_true();
    say(&mut status.conditions, CONDITION_SECRET_VALID, secret);
    if secret_valid {
        let connected = connected(observed, applied);
        // A CRD that cannot be brought up to date works on as it is.
        let works = applied.resources.iter().any(|resource| resource.lasting_failure().is_some());
        let settled = connected.is_true() || works;
        say(&mut status.conditions, CONDITION_CONNECTED, connected);
        if settled {
            say(&mut status.conditions, CONDITION_SCHEMA_IN_SYNC, schema_in_sync(applied));
            say(&mut status.conditions, CONDITION_INFORMERS_SYNCED, informers_synced(observed, applied));
            match versions_differ(applied) {
                Some(verdict) => say(&mut status.conditions, CONDITION_VERSIONS_DIFFER, verdict),
                None => condition::remove(&mut status.conditions, CONDITION_VERSIONS_DIFFER),
            }
        }
        match heartbeating(observed) {
            HeartbeatVerdict::Unknown => {}
            HeartbeatVerdict::NotKept => condition::remove(&mut status.conditions, CONDITION_HEARTBEATING),
            HeartbeatVerdict::Said(verdict) => say(&mut status.conditions, CONDITION_HEARTBEATING, verdict),
        }
        if let ClaimsState::Known { verdict, accepted } = &applied.claims {
            status.accepted_claims = accepted.iter().map(|claimed| claimed.plural().to_owned()).collect();
            match verdict {
                Some(verdict) => say(&mut status.conditions, CONDITION_PERMISSION_CLAIMS, verdict.clone()),
                None => condition::remove(&mut status.conditions, CONDITION_PERMISSION_CLAIMS),
            }
        }
        match applied.orphaned {
            // At the beginning nothing has been counted.
            0 if beginning => {}
            0 => condition::remove(&mut status.conditions, CONDITION_ORPHANED_COPIES),
            count => say(&mut status.conditions, CONDITION_ORPHANED_COPIES, orphaned(count)),
        }
        record(&mut status, observed, applied);
    } else {
        for known in [CONDITION_CONNECTED, CONDITION_HEARTBEATING] {
            if condition::find(&status.conditions, known).is_some() {
                say(&mut status.conditions, known, beginning::no_secret());
            }
        }
    }
    condition::summarize(&mut status.conditions, now);
    status
}

fn connected<S>(observed: &ObservedBinding<S>, applied: &AppliedResources) -> Verdict {
    let view = match &observed.provider {
        ProviderSide::NoAccess => return pending(),
        ProviderSide::ClientFailed(why) => {
            return Verdict::error(
                "ProviderClientError",
                format!("Failed to create a client for the provider cluster: {why}"),
            );
        }
        ProviderSide::Session(view) => view,
    };
    match &view.contact {
        ProviderContact::Down { message } => {
            let message = format!("The provider cluster cannot be used: {message}");
            return Verdict::error("ProviderUnreachable", message);
        }
        ProviderContact::Refused { message } => {
            let message = format!("The provider does not let the konnector see the contract: {message}");
            return Verdict::warning(PROVIDER_SUSPECT, message);
        }
        ProviderContact::Closed(verdict) => return verdict.clone(),
        ProviderContact::Pending | ProviderContact::Up => {}
    }
    if !view.listed || view.contact == ProviderContact::Pending {
        let unseen = unwatched(view).map(|message| Verdict::error("BoundSchemaFetchFailed", message));
        return unseen.filter(|_| view.contact == ProviderContact::Up).unwrap_or_else(pending);
    }
    export_verdict(observed, view)
        .or_else(|| applied.resources.iter().find_map(|resource| refusal(observed, resource)))
        .unwrap_or_else(Verdict::holds)
}

/// Verdict on the heartbeat.
enum HeartbeatVerdict {
    /// Nothing new.
    Unknown,
    /// Nothing: the provider does not keep it.
    NotKept,
    Said(Verdict),
}

fn heartbeating<S>(observed: &ObservedBinding<S>) -> HeartbeatVerdict {
    let ProviderSide::Session(view) = &observed.provider else { return HeartbeatVerdict::Unknown };
    if observed.closed().is_some() {
        return HeartbeatVerdict::NotKept;
    }
    match &view.heartbeat {
        HeartbeatOutcome::Unknown => HeartbeatVerdict::Unknown,
        HeartbeatOutcome::NotKept => HeartbeatVerdict::NotKept,
        HeartbeatOutcome::Beating => HeartbeatVerdict::Said(Verdict::holds()),
        HeartbeatOutcome::Failed(why) => HeartbeatVerdict::Said(Verdict::warning(
            "ClusterBindingUpdateFailed",
            format!("Failed to update service provider ClusterBinding: {why}"),
        )),
    }
}

fn pending() -> Verdict {
    Verdict::pending("ProviderPending", "Waiting for the provider's first answer.")
}

/// The fault of the export, if any.
fn export_verdict<S>(observed: &ObservedBinding<S>, view: &BindingView<S>) -> Option<Verdict> {
    let name = observed.binding.name_any();
    if view.export.is_none() {
        return Some(match &view.refusal {
            Some(refusal) => Verdict::error("APIServiceExportFailed", refusal.clone()),
            None => Verdict::error("APIServiceExportNotFound", not_found(observed, &name)),
        });
    }
    let missing = view.schemas.iter().find(|(_, schema)| schema.is_none()).map(|(resource, _)| resource)?;
    let schema = names::bound_schema(&missing.resource, &missing.group);
    let text =
        format!("BoundSchema {schema} of APIServiceExport {name} not found on the service provider cluster.");
    let said = view.export.as_deref().and_then(provider_says);
    Some(Verdict::error(
        "BoundSchemaFetchFailed",
        said.map_or_else(|| text.clone(), |said| format!("{text} {said}")),
    ))
}

/// The fault of the provider's side of an export, in the provider's words.
fn provider_says(export: &APIServiceExport) -> Option<String> {
    let said = condition::find(&export.status.as_ref()?.conditions, CONDITION_PROVIDER_IN_SYNC)?;
    let is_false = said.status == condition::ConditionStatus::False;
    is_false.then(|| format!("The provider says: {}", said.message))
}

/// People who bound by hand can repair by hand; a bundle repairs by itself.
fn not_found<S>(observed: &ObservedBinding<S>, name: &str) -> String {
    let text = format!("APIServiceExport {name} not found on the service provider cluster.");
    if observed.binding.owner_references().is_empty() {
        format!("{text} Rerun kubectl bind for repair.")
    } else {
        text
    }
}

fn refusal<S>(observed: &ObservedBinding<S>, resource: &AppliedResource) -> Option<Verdict> {
    let name = &resource.crd;
    if resource.lasting_failure().is_some() {
        return not_updated(resource).map(|message| Verdict::error(UPDATE_FAILED, message));
    }
    match &resource.outcome {
        CrdOutcome::Foreign { owner: None } => Some(Verdict::error(
            FOREIGN_CRD,
            format!("CustomResourceDefinition {name} is not owned by kube-bind."),
        )),
        CrdOutcome::Foreign { owner: Some(owner) } => {
            let ours = policy::described(&observed.binding);
            let message = format!(
                "CustomResourceDefinition {name} belongs to {owner}, so {ours} waits until that one is deleted."
            );
            Some(Verdict::error(FOREIGN_CRD, message))
        }
        CrdOutcome::Refused { created: true, message } => Some(Verdict::error(
            "CustomResourceDefinitionCreateFailed",
            format!("CustomResourceDefinition {name} cannot be created: {message}"),
        )),
        CrdOutcome::Refused { created: false, message } => Some(Verdict::error(
            UPDATE_FAILED,
            format!("CustomResourceDefinition {name} cannot be updated: {message}"),
        )),
        CrdOutcome::Withheld
        | CrdOutcome::Installing(_)
        | CrdOutcome::NotSynced { .. }
        | CrdOutcome::Syncing { .. } => None,
    }
}

fn not_updated(resource: &AppliedResource) -> Option<String> {
    let (name, why) = (&resource.crd, &resource.lasting_failure()?.why);
    let is_watched = matches!(resource.outcome, CrdOutcome::Syncing { engine: EngineState::Watching, .. });
    let works = if is_watched { " and works" } else { "" };
    Some(format!(
        "CustomResourceDefinition {name} stays as it was{works}, because it cannot be updated: {why}"
    ))
}

/// A CRD that is applied carries the provider's schema; one that is not served yet is on its way.
fn schema_in_sync(applied: &AppliedResources) -> Verdict {
    if let Some(objection) = applied.resources.iter().find_map(|resource| resource.objection.as_ref()) {
        return Verdict::error(objection.reason, objection.message.clone());
    }
    if let Some(message) = applied.resources.iter().find_map(not_updated) {
        return Verdict::pending(UPDATE_FAILED, message);
    }
    if let Some(verdict) = applied.resources.iter().find_map(migrating) {
        return verdict;
    }
    let installing = applied.resources.iter().find(|r| matches!(&r.outcome, CrdOutcome::Installing(_)));
    match installing {
        Some(resource) => Verdict::pending(
            "CustomResourceDefinitionPending",
            format!("CustomResourceDefinition {} is not served yet.", resource.crd),
        ),
        None => Verdict::holds(),
    }
}

fn migrating(resource: &AppliedResource) -> Option<Verdict> {
    let name = &resource.crd;
    Some(match resource.migration.as_ref()? {
        MigrationState::Running { former, target, written } => {
            let former = former.join(", ");
            let message = format!(
                "Objects of {name} that are stored in {former} are being rewritten in {target}, so that {former} can \
                 be removed: {written} done so far."
            );
            Verdict::pending("StoredVersionsMigrating", message)
        }
        MigrationState::Failed { former, target, why } => {
            let message = format!(
                "CustomResourceDefinition {name} keeps {}, in which objects are stored, because not all of them can \
                 be rewritten in {target}: {why}. The konnector retries.",
                former.join(", ")
            );
            Verdict::warning("StoredVersionsMigrationFailed", message)
        }
    })
}

/// A warning: whoever writes through another version than the stored one drops fields.
fn versions_differ(applied: &AppliedResources) -> Option<Verdict> {
    let told = applied.resources.iter().filter_map(|resource| {
        let lossy = crd::lossy_versions(&resource.schema.spec);
        let stored = stored_version(&resource.schema.spec.versions)?;
        let (name, versions) = (&resource.crd, lossy.join(", "));
        (!lossy.is_empty()).then(|| format!("{name}: {versions} beside {}", stored.name))
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| Verdict {
        reason: "FieldsDiffer".to_owned(),
        message: format!(
            "These versions do not have the same fields as the one that objects are stored in, and the API server \
             converts between them by their names alone: {}. A write through such a version drops the fields that it \
             lacks. Write through the stored one.",
            told.join("; ")
        ),
        ..Verdict::holds()
    })
}

fn informers_synced<S>(observed: &ObservedBinding<S>, applied: &AppliedResources) -> Verdict {
    let of_contract = || match &observed.provider {
        ProviderSide::Session(view) => unwatched(view).map(|why| Verdict::error("InformerSyncFailed", why)),
        ProviderSide::NoAccess | ProviderSide::ClientFailed(_) => None,
    };
    applied.resources.iter().find_map(not_watched).or_else(of_contract).unwrap_or_else(Verdict::holds)
}

/// A kind of the contract that cannot be watched: its changes, and answers to requests for namespaces, do not come.
fn unwatched<S>(view: &BindingView<S>) -> Option<String> {
    let (kind, why) = view.unseen.as_ref()?;
    Some(format!("The provider's {} cannot be watched: {why}", kind.name()))
}

fn not_watched(resource: &AppliedResource) -> Option<Verdict> {
    let name = &resource.crd;
    let engine = match &resource.outcome {
        CrdOutcome::NotSynced { why, .. } => return Some(Verdict::warning("NotSynced", why.clone())),
        CrdOutcome::Syncing { engine, .. } => engine,
        _ => {
            return Some(Verdict::pending(
                "Pending",
                format!("Waiting for CustomResourceDefinition {name}."),
            ));
        }
    };
    match engine {
        EngineState::Watching => None,
        EngineState::Starting => Some(Verdict::pending("Pending", format!("Listing the objects of {name}."))),
        EngineState::ForbiddenOnConsumer => Some(Verdict::error("PermissionDenied", missing_right(resource))),
        EngineState::Failing(why) => Some(Verdict::error("InformerSyncFailed", why.clone())),
    }
}

/// Keeping copies is no fault: the condition holds, and is absent where there are none.
fn orphaned(count: usize) -> Verdict {
    let (copies, have) = if count == 1 { ("copy", "has") } else { ("copies", "have") };
    let message = format!(
        "{count} {copies} on the provider {have} no object on this cluster. `konnector orphans` lists them, and \
         `konnector orphans delete` deletes them."
    );
    Verdict { reason: "OriginGone".to_owned(), message, ..Verdict::holds() }
}

/// The exact ClusterRole to apply.
fn missing_right(resource: &AppliedResource) -> String {
    let (plural, group) = (&resource.schema.spec.names.plural, &resource.schema.spec.group);
    format!(
        "The konnector lacks the rights to read and mark objects of {crd} on this cluster. Apply: \
         {{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\",\"metadata\":{{\"name\":\"kube-bind-{crd}\",\
         \"labels\":{{\"rbac.kube-bind.io/aggregate-to-konnector\":\"true\"}}}},\"rules\":[{{\"apiGroups\":[\"{group}\"],\
         \"resources\":[\"{plural}\",\"{plural}/status\"],\"verbs\":[\"get\",\"list\",\"watch\",\"patch\"]}}]}}",
        crd = resource.crd,
    )
}

fn record<S>(
    status: &mut APIServiceBindingStatus,
    observed: &ObservedBinding<S>,
    applied: &AppliedResources,
) {
    let ProviderSide::Session(view) = &observed.provider else { return };
    if view.pretty_name.is_some() {
        status.provider_pretty_name.clone_from(&view.pretty_name);
    }
    if let Some(export) = &view.export {
        status.permission_claims.clone_from(&export.spec.permission_claims);
    }
    for resource in applied.resources.iter().filter(|r| r.installed().is_some_and(|crd| crd.is_established()))
    {
        let names = &resource.schema.spec;
        let reference =
            BoundSchemaReference { group: names.group.clone(), resource: names.names.plural.clone() };
        if !status.bound_schemas.contains(&reference) {
            status.bound_schemas.push(reference);
        }
    }
}

#[cfg(test)]
mod tests;
