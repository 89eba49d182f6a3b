//! Plan of a bundle: bindings to create and to delete, and its status. Pure and infallible.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{
    ResourceExt as _,
    api::{ObjectMeta, Resource},
};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_CONTRACT_UID, APIServiceBinding, APIServiceBindingBundle, APIServiceBindingBundleStatus,
        APIServiceBindingSpec, APIServiceExport, CONDITION_SECRET_VALID, CONDITION_SYNCED,
    },
    condition::{self, ConditionStatus, Severity, Verdict},
};

use self::{
    lists::shortened,
    taking::{ExportRefusal, ExportSelection},
};
use crate::{
    beginning,
    binding::{
        ANNOTATION_BUNDLE, ANNOTATION_EXPORT_UID, ANNOTATION_RESOURCES, FINALIZER, observe::is_withdrawing,
        resources_of,
    },
    groups::ServedGroups,
    policy::is_owned,
    provider::{ContractDoubt, ExportAbsence},
    secrets::SecretState,
};

mod lists;
mod taking;
mod usable;
mod verdict;

/// A bundle and everything that bears on it.
pub(super) struct ObservedBundle {
    pub(super) bundle: Arc<APIServiceBindingBundle>,
    pub(super) secret: SecretState,
    pub(super) provider: ProviderState,
    /// All bindings of the consumer.
    pub(super) bindings: Vec<Arc<APIServiceBinding>>,
    /// Groups that the consumer's API server serves in another way than by a CRD.
    pub(super) served: ServedGroups,
    /// Time for which statements from before the process started may still stand.
    pub(super) beginning: Option<Duration>,
    /// Age to which the time of the last sync may grow while nothing changes.
    pub(super) stamp_interval: Duration,
}

/// The state of the provider.
pub(super) enum ProviderState {
    /// Nothing yet.
    Pending,
    /// Its kubeconfig does not make a client.
    ClientFailed(String),
    /// It does not answer, or does not know us.
    Down(String),
    /// It does not let us see what it exports.
    Refused(String),
    /// The contract is not ours to work with.
    Closed(Verdict),
    /// It answers, and offers exports.
    Up(ExportOffer),
}

/// The exports of a provider.
pub(super) struct ExportOffer {
    pub(super) exports: Vec<Arc<APIServiceExport>>,
    pub(super) pretty_name: Option<String>,
    /// The contract that is bound: the uid of its namespace, where that can be seen.
    pub(super) contract: Option<String>,
    /// Absent exports that other bindings of this Secret need, each with the reason.
    pub(super) absent: BTreeMap<String, ExportAbsence>,
    /// Time for which an export may be missing from lists before it counts as withdrawn.
    pub(super) grace: Duration,
    /// Doubt whether absent exports were withdrawn.
    pub(super) doubt: Option<ContractDoubt>,
}

/// The next actions, and the status.
#[derive(Debug)]
pub(super) struct BundlePlan {
    pub(super) create: Vec<APIServiceBinding>,
    /// As they were seen: in another version, there may be no reason any more.
    pub(super) delete: Vec<Arc<APIServiceBinding>>,
    pub(super) status: APIServiceBindingBundleStatus,
    /// The reasons why exports have no binding of this bundle, by their names, for the provider.
    pub(super) unbound: BTreeMap<String, String>,
    /// Exports that the provider withdraws, and that have no binding: nothing of them is left.
    pub(super) drained: BTreeSet<String>,
    /// Delay after which the bundle is reconciled again without a change.
    pub(super) requeue_after: Option<Duration>,
}

pub(super) fn plan(observed: &ObservedBundle, now: Timestamp) -> BundlePlan {
    let mut status = observed.bundle.status.clone().unwrap_or_default();
    status.observed_generation = observed.bundle.metadata.generation;
    let secret = observed.secret.verdict(&observed.bundle.spec.kubeconfig_secret_ref);
    let secret_valid = secret.is_true();
    let beginning = observed.beginning.is_some();
    beginning::say(&mut status.conditions, CONDITION_SECRET_VALID, secret, now, beginning);
    let mut plan = BundlePlan {
        create: Vec::new(),
        delete: Vec::new(),
        status,
        unbound: BTreeMap::new(),
        drained: BTreeSet::new(),
        requeue_after: observed.beginning,
    };
    let mut in_order = false;
    if secret_valid {
        let synced = plan_bindings(observed, &mut plan);
        in_order = synced.is_true();
        beginning::say(&mut plan.status.conditions, CONDITION_SYNCED, synced, now, beginning);
    } else if condition::find(&plan.status.conditions, CONDITION_SYNCED).is_some() {
        beginning::say(&mut plan.status.conditions, CONDITION_SYNCED, beginning::no_secret(), now, beginning);
    }
    taking::say(observed, &mut plan, now);
    usable::say(observed, &mut plan, now);
    if in_order {
        stamp(observed, &mut plan, now);
    }
    plan
}

/// The status of a bundle while its bindings cannot be seen. Everything else stands.
pub(super) fn blind(
    bundle: &APIServiceBindingBundle,
    why: &str,
    now: Timestamp,
) -> APIServiceBindingBundleStatus {
    let mut status = bundle.status.clone().unwrap_or_default();
    let verdict = Verdict::error(
        "ListBindingsFailed",
        format!("Failed to list APIServiceBindings of this cluster: {why}"),
    );
    condition::set(&mut status.conditions, CONDITION_SYNCED, verdict, now);
    condition::summarize(&mut status.conditions, now);
    status
}

/// The status where bindings could not be created or deleted, beside what else is said against them. `before` is the
/// one that was seen: what it says already is not said again, since its being written would bring the next try.
pub(super) fn with_failures(
    mut status: APIServiceBindingBundleStatus,
    failures: &[String],
    beside: Option<String>,
    before: Option<&APIServiceBindingBundleStatus>,
    now: Timestamp,
) -> APIServiceBindingBundleStatus {
    if failures.is_empty() {
        return status;
    }
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let verdict = verdict::failed(failures, beside, condition::find(known, CONDITION_SYNCED), now);
    condition::set(&mut status.conditions, CONDITION_SYNCED, verdict, now);
    condition::summarize(&mut status.conditions, now);
    for said in &mut status.conditions {
        let same = condition::find(known, &said.r#type)
            .filter(|known| condition::verdict_of(known) == condition::verdict_of(said));
        if let Some(same) = same {
            said.last_transition_time.clone_from(&same.last_transition_time);
        }
    }
    // Nothing was in order.
    status.last_sync_time = before.and_then(|before| before.last_sync_time.clone());
    status
}

/// The status of a bundle that is terminating where nothing is in the way of that any more; `None` where it did not
/// say otherwise.
pub(super) fn mended(
    mut status: APIServiceBindingBundleStatus,
    now: Timestamp,
) -> Option<APIServiceBindingBundleStatus> {
    let said = condition::find(&status.conditions, CONDITION_SYNCED)?;
    if said.reason != verdict::SYNC_ERRORS {
        return None;
    }
    condition::set(&mut status.conditions, CONDITION_SYNCED, Verdict::holds(), now);
    condition::summarize(&mut status.conditions, now);
    Some(status)
}

/// The problems of bindings that the plan itself finds.
pub(super) fn complaint(status: &APIServiceBindingBundleStatus) -> Option<String> {
    let said = condition::find(&status.conditions, CONDITION_SYNCED)?;
    let is_one = said.status == ConditionStatus::False && said.severity != Severity::Info;
    is_one.then(|| said.message.clone())
}

/// Notes the time where it says something new: with every change, and now and then without one.
fn stamp(observed: &ObservedBundle, plan: &mut BundlePlan, now: Timestamp) {
    let last = plan.status.last_sync_time.as_ref().map(|last| last.0);
    let interval = SignedDuration::try_from(observed.stamp_interval).unwrap_or(SignedDuration::MAX);
    // One of the future was written by a clock that has been set right since.
    let is_due = last.is_none_or(|last| last > now || now.duration_since(last) >= interval);
    if is_due || observed.bundle.status.as_ref() != Some(&plan.status) {
        plan.status.last_sync_time = Some(Time(now));
    }
    let again = observed.stamp_interval;
    plan.requeue_after = Some(plan.requeue_after.map_or(again, |sooner| sooner.min(again)));
}

fn owned(observed: &ObservedBundle) -> impl Iterator<Item = &Arc<APIServiceBinding>> {
    observed.bindings.iter().filter(|binding| is_owned(binding, &observed.bundle))
}

fn plan_bindings(observed: &ObservedBundle, plan: &mut BundlePlan) -> Verdict {
    let offer = match &observed.provider {
        ProviderState::Pending => {
            return Verdict::pending("ProviderPending", "Waiting for the provider's first answer.");
        }
        ProviderState::ClientFailed(why) => {
            return Verdict::error(
                "ProviderClientError",
                format!("Failed to create a client for the provider cluster: {why}"),
            );
        }
        ProviderState::Closed(verdict) => return verdict.clone(),
        ProviderState::Refused(why) if owned(observed).next().is_some() => return verdict::refused(why),
        ProviderState::Down(why) | ProviderState::Refused(why) => {
            return Verdict::error(
                "ListExportsFailed",
                format!("Failed to list APIServiceExports from provider cluster: {why}"),
            );
        }
        ProviderState::Up(offer) => offer,
    };
    let ExportOffer { exports, pretty_name, .. } = offer;
    let conflicts = plan_beginnings(observed, offer, plan);
    let is_bound = |name: &String| observed.bindings.iter().any(|binding| binding.name_any() == *name);
    let withdrawn = exports.iter().filter(|export| is_withdrawing(export)).map(|export| export.name_any());
    plan.drained = withdrawn.filter(|name| !is_bound(name)).collect();
    let exported: BTreeSet<_> = exports.iter().map(|export| export.name_any()).collect();
    let suspects = plan_withdrawals(observed, offer, &exported, plan);
    if pretty_name.is_some() {
        plan.status.provider_pretty_name.clone_from(pretty_name);
    }
    if offer.contract.is_some() {
        plan.status.contract_namespace_uid.clone_from(&offer.contract);
    }
    plan.status.exports = i32::try_from(exports.len()).ok();
    plan.status.conflicts = i32::try_from(conflicts.len()).ok();
    plan.status.resources = Some(shortened(&exported));
    if !suspects.is_empty() {
        verdict::suspect(&suspects, offer)
    } else if conflicts.is_empty() {
        Verdict::holds()
    } else {
        verdict::conflict(&conflicts)
    }
}

/// Exports without a binding get one, where nothing speaks against it; gives what is in the way of others.
fn plan_beginnings(observed: &ObservedBundle, offer: &ExportOffer, plan: &mut BundlePlan) -> Vec<String> {
    // A terminating export is not bound again.
    let living = offer.exports.iter().filter(|export| !is_withdrawing(export));
    let mut conflicts: Vec<_> = owned(observed).filter_map(|binding| verdict::foreign_crd(binding)).collect();
    let taking = ExportSelection::of(&observed.bundle, &observed.served);
    for export in living {
        let name = export.name_any();
        match (observed.bindings.iter().find(|binding| binding.name_any() == name), taking.refusal(export)) {
            (None, None) => plan.create.push(binding(&observed.bundle, export, offer.contract.as_deref())),
            (None, Some(refusal)) => {
                plan.unbound.insert(name, verdict::not_taken(&refusal));
            }
            (Some(existing), _) if is_owned(existing, &observed.bundle) => {}
            // What is not wanted is not missed.
            (Some(_), Some(ExportRefusal::NotAccepted)) => {}
            (Some(existing), _) => {
                conflicts.push(verdict::describe_conflict(existing));
                plan.unbound.insert(name, verdict::NAME_TAKEN.to_owned());
            }
        }
    }
    conflicts
}

fn requeue(plan: &mut BundlePlan, after: Duration) {
    plan.requeue_after = Some(plan.requeue_after.map_or(after, |sooner| sooner.min(after)));
}

/// Bindings whose export is withdrawn go; gives those whose export is merely missing.
fn plan_withdrawals(
    observed: &ObservedBundle,
    offer: &ExportOffer,
    exported: &BTreeSet<String>,
    plan: &mut BundlePlan,
) -> Vec<String> {
    let withdrawing = offer.exports.iter().filter(|export| is_withdrawing(export));
    let withdrawn: BTreeSet<_> = withdrawing.map(|export| export.name_any()).collect();
    let (grace, mut suspects) = (offer.grace, Vec::new());
    for binding in owned(observed) {
        let name = binding.name_any();
        let absence = match (offer.absent.get(&name).copied(), &offer.doubt) {
            (Some(ExportAbsence::Withdrawn), Some(doubt)) => Some(ExportAbsence::MissingFor(doubt.since)),
            (_, Some(doubt)) if withdrawn.contains(&name) => Some(ExportAbsence::MissingFor(doubt.since)),
            (_, None) if withdrawn.contains(&name) => Some(ExportAbsence::Withdrawn),
            (absence, _) => absence,
        };
        match absence {
            _ if binding.metadata.deletion_timestamp.is_some() => {}
            Some(ExportAbsence::MissingFor(time)) if time < grace => {
                suspects.push(name);
                requeue(plan, grace.saturating_sub(time));
            }
            Some(_) => plan.delete.push(Arc::clone(binding)),
            None if exported.contains(&name) => {}
            None => suspects.push(name),
        }
    }
    suspects
}

/// The reference by which a binding belongs to a bundle. With `--cascade=foreground`, the bundle waits for its bindings.
pub(super) fn owner(bundle: &APIServiceBindingBundle) -> Option<OwnerReference> {
    let owner = bundle.controller_owner_ref(&())?;
    Some(OwnerReference { block_owner_deletion: Some(true), ..owner })
}

fn binding(
    bundle: &APIServiceBindingBundle,
    export: &APIServiceExport,
    contract: Option<&str>,
) -> APIServiceBinding {
    let notes = [
        (ANNOTATION_BUNDLE, Some(bundle.name_any())),
        (ANNOTATION_RESOURCES, Some(resources_of(export))),
        (ANNOTATION_EXPORT_UID, export.uid()),
        (ANNOTATION_CONTRACT_UID, contract.map(str::to_owned)),
    ];
    let notes = notes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let metadata = ObjectMeta {
        name: Some(export.name_any()),
        annotations: Some(notes.collect()),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        owner_references: owner(bundle).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let spec = APIServiceBindingSpec { kubeconfig_secret_ref: bundle.spec.kubeconfig_secret_ref.clone() };
    APIServiceBinding { metadata, spec, status: None }
}

#[cfg(test)]
mod tests;
