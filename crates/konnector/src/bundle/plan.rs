//! What a bundle needs: bindings to create and to delete, and its status. Pure and infallible.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    ResourceExt as _,
    api::{ObjectMeta, Resource},
};
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingBundle, APIServiceBindingBundleStatus, APIServiceBindingSpec,
        APIServiceExport, CONDITION_SECRET_VALID, CONDITION_SYNCED,
    },
    condition::{self, Verdict},
    names,
};

use crate::{
    binding::{ANNOTATION_EXPORT_UID, FINALIZER},
    provider::Absence,
    secrets::SecretState,
};

/// Annotation on a binding: its resources, for `kubectl get`.
const ANNOTATION_RESOURCES: &str = "kube-bind.io/resources";
/// How much of the list of exports the status holds.
const MAX_RESOURCES_LENGTH: usize = 200;

/// A bundle and everything that bears on it.
pub(super) struct Observed {
    pub(super) bundle: Arc<APIServiceBindingBundle>,
    pub(super) secret: SecretState,
    pub(super) provider: Provider,
    /// All bindings of the consumer.
    pub(super) bindings: Vec<Arc<APIServiceBinding>>,
}

/// What the provider says.
pub(super) enum Provider {
    /// Nothing yet.
    Pending,
    /// Its kubeconfig does not make a client.
    ClientFailed(String),
    /// It does not answer, or refuses.
    Down(String),
    /// What it exports.
    Up(Offer),
}

/// What the provider exports.
pub(super) struct Offer {
    pub(super) exports: Vec<Arc<APIServiceExport>>,
    pub(super) pretty_name: Option<String>,
    /// Why the exports of other bindings of this Secret are not there, by name.
    pub(super) absent: BTreeMap<String, Absence>,
    /// How long an export may be missing from lists before it counts as withdrawn.
    pub(super) patience: Duration,
}

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Vec<APIServiceBinding>,
    /// Names and uids.
    pub(super) delete: Vec<(String, String)>,
    pub(super) status: APIServiceBindingBundleStatus,
    /// When to look again without news.
    pub(super) look_again: Option<Duration>,
}

pub(super) fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut status = observed.bundle.status.clone().unwrap_or_default();
    let secret = observed.secret.verdict(&observed.bundle.spec.kubeconfig_secret_ref);
    let secret_valid = secret.is_true();
    condition::set(&mut status.conditions, CONDITION_SECRET_VALID, secret, now);
    let mut plan = Plan { create: Vec::new(), delete: Vec::new(), status, look_again: None };
    if secret_valid {
        let synced = plan_bindings(observed, &mut plan);
        condition::set(&mut plan.status.conditions, CONDITION_SYNCED, synced, now);
    }
    condition::summarize(&mut plan.status.conditions, now);
    plan
}

fn plan_bindings(observed: &Observed, plan: &mut Plan) -> Verdict {
    let Offer { exports, pretty_name, absent, patience } = match &observed.provider {
        Provider::Pending => {
            return Verdict::pending("ProviderPending", "Waiting for the provider's first answer.");
        }
        Provider::ClientFailed(why) => {
            return Verdict::error(
                "ProviderClientError",
                format!("Failed to create a client for the provider cluster: {why}"),
            );
        }
        Provider::Down(why) => {
            return Verdict::error(
                "ListExportsFailed",
                format!("Failed to list APIServiceExports from provider cluster: {why}"),
            );
        }
        Provider::Up(offer) => offer,
    };
    // An export that is going away is not bound anew, and stays bound until it is gone.
    let living = exports.iter().filter(|export| export.meta().deletion_timestamp.is_none());
    let mut conflicts = Vec::new();
    let mut bound = 0;
    for export in living {
        match observed.bindings.iter().find(|binding| binding.name_any() == export.name_any()) {
            None => plan.create.push(binding(&observed.bundle, export)),
            Some(existing) if is_owned(existing, &observed.bundle) => bound += 1,
            Some(existing) => conflicts.push(describe_conflict(existing)),
        }
    }
    let exported: BTreeSet<_> = exports.iter().map(|export| export.name_any()).collect();
    let owned = observed.bindings.iter().filter(|binding| is_owned(binding, &observed.bundle));
    let mut suspects = Vec::new();
    for binding in owned.filter(|binding| !exported.contains(&binding.name_any())) {
        match absent.get(&binding.name_any()) {
            _ if binding.metadata.deletion_timestamp.is_some() => {}
            Some(Absence::MissingFor(time)) if time < patience => {
                suspects.push(binding.name_any());
                plan.look_again =
                    Some(plan.look_again.unwrap_or(*patience).min(patience.saturating_sub(*time)));
            }
            None => suspects.push(binding.name_any()),
            Some(_) => plan.delete.push((binding.name_any(), binding.uid().unwrap_or_default())),
        }
    }
    plan.status.provider_pretty_name.clone_from(pretty_name);
    plan.status.exports = i32::try_from(exports.len()).ok();
    plan.status.bound = i32::try_from(bound + plan.create.len()).ok();
    plan.status.resources = Some(shortened(&exported));
    match (suspects.is_empty(), conflicts.is_empty()) {
        (false, _) => suspect(&suspects, *patience),
        (true, false) => conflict(&conflicts),
        (true, true) => Verdict::holds(),
    }
}

fn suspect(suspects: &[String], patience: Duration) -> Verdict {
    let (list, seconds) = (suspects.join(", "), patience.as_secs());
    let message = format!(
        "The provider no longer lists these APIServiceExports, and their deletion was not seen: {list}. They stay bound unless they are missing for {seconds} s."
    );
    Verdict::warning("ProviderSuspect", message)
}

fn conflict(conflicts: &[String]) -> Verdict {
    let (count, list) = (conflicts.len(), conflicts.join("; "));
    Verdict::warning(
        "SyncErrors",
        format!("Failed to sync some APIServiceBindings: {count} error(s): {list}"),
    )
}

fn describe_conflict(existing: &APIServiceBinding) -> String {
    let owner = existing.owner_references().iter().find(|owner| owner.kind == "APIServiceBindingBundle");
    let owner = match owner {
        Some(owner) => format!("belongs to bundle {}", owner.name),
        None => "was not made by a bundle".to_owned(),
    };
    format!("APIServiceBinding {} exists and {owner}", existing.name_any())
}

/// Whether a binding belongs to this bundle, and not to a former one of the same name.
fn is_owned(binding: &APIServiceBinding, bundle: &APIServiceBindingBundle) -> bool {
    binding.owner_references().iter().any(|owner| {
        owner.kind == "APIServiceBindingBundle"
            && owner.name == bundle.name_any()
            && Some(&owner.uid) == bundle.metadata.uid.as_ref()
    })
}

fn binding(bundle: &APIServiceBindingBundle, export: &APIServiceExport) -> APIServiceBinding {
    let resources: Vec<_> = export.spec.resources.iter().map(|r| names::crd(&r.resource, &r.group)).collect();
    let metadata = ObjectMeta {
        name: Some(export.name_any()),
        annotations: Some(BTreeMap::from([
            (ANNOTATION_RESOURCES.to_owned(), resources.join(",")),
            (ANNOTATION_EXPORT_UID.to_owned(), export.uid().unwrap_or_default()),
        ])),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        owner_references: bundle.controller_owner_ref(&()).map(|owner| {
            vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                block_owner_deletion: None,
                ..owner
            }]
        }),
        ..ObjectMeta::default()
    };
    let spec = APIServiceBindingSpec { kubeconfig_secret_ref: bundle.spec.kubeconfig_secret_ref.clone() };
    APIServiceBinding { metadata, spec, status: None }
}

fn shortened(names: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for (shown, name) in names.iter().enumerate() {
        let separator = if text.is_empty() { "" } else { "," };
        if text.len() + name.len() > MAX_RESOURCES_LENGTH {
            return format!("{text}{separator}and {} more", names.len() - shown);
        }
        text = format!("{text}{separator}{name}");
    }
    text
}

#[cfg(test)]
mod tests;
