//! Verdict on an APIServiceExportRequest. Pure and infallible.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use portolan_core::{
    api::kubebind::{
        APIServiceExportRequest, APIServiceExportRequestStatus, ExportedResource, Isolation, PermissionClaim,
        RequestPhase, ResourceScope,
    },
    claims,
    condition::{self, Verdict},
    names,
};

/// Time for a requested resource to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);
const CONDITION_EXPORTS_READY: &str = "ExportsReady";
const CONDITION_PERMISSION_CLAIM: &str = "PermissionClaim";
/// Reason of `ExportsReady`: everything can be exported, and is being exported.
const EXPORTING: &str = "Exporting";
/// Reason of `ExportsReady`: something that is granted is not there, or not any more.
const NOT_EXPORTED: &str = "BoundSchemaNotFound";

/// A request and everything that bears on it.
pub(super) struct ObservedApproval<'a> {
    pub(super) request: &'a APIServiceExportRequest,
    /// Findings for each resource of the request.
    pub(super) found: Vec<Found>,
    pub(super) now: Timestamp,
}

/// The state of a resource in this cluster.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// No CRD with the label.
    Missing,
    /// One that cannot be exported, for this reason.
    NotOffered(String),
    Offered {
        scope: ResourceScope,
        versions: Vec<String>,
        isolation: Isolation,
        claims: Vec<PermissionClaim>,
        /// The verdict of its export, once there is one.
        in_sync: Option<Verdict>,
    },
}

/// The status to write, and the time to look again without news.
pub(super) struct ApprovalPlan {
    pub(super) status: APIServiceExportRequestStatus,
    pub(super) again: Option<Duration>,
}

/// Returns `true` if the resources of a request are to be exported.
pub fn is_granted(status: &APIServiceExportRequestStatus) -> bool {
    let said = condition::find(&status.conditions, CONDITION_EXPORTS_READY);
    match status.phase {
        RequestPhase::Succeeded => true,
        RequestPhase::Failed => false,
        RequestPhase::Pending => said.is_some_and(|said| [EXPORTING, NOT_EXPORTED].contains(&&*said.reason)),
    }
}

pub(super) fn plan(observed: &ObservedApproval<'_>) -> ApprovalPlan {
    let mut status = observed.request.status.clone().unwrap_or_default();
    if status.phase == RequestPhase::Failed {
        return ApprovalPlan { status, again: None };
    }
    let (now, was_granted) = (observed.now, is_granted(&status));
    let (claims, mut exports) = (claims_verdict(observed), exports_verdict(observed));
    if was_granted
        && status.phase == RequestPhase::Pending
        && !exports.is_true()
        && exports.reason != EXPORTING
    {
        // Nothing that was granted is taken back because something else of the request cannot be had any more.
        NOT_EXPORTED.clone_into(&mut exports.reason);
    }
    condition::set(&mut status.conditions, CONDITION_PERMISSION_CLAIM, claims.clone(), now);
    condition::set(&mut status.conditions, CONDITION_EXPORTS_READY, exports.clone(), now);
    condition::summarize(&mut status.conditions, now);
    if status.phase == RequestPhase::Succeeded {
        return ApprovalPlan { status, again: None };
    }
    let left = left(observed);
    let mut again = None;
    if !claims.is_true() && !was_granted {
        status.terminal_message = Some(claims.message);
        status.phase = RequestPhase::Failed;
    } else if exports.is_true() {
        status.phase = RequestPhase::Succeeded;
    } else if is_granted(&status) {
        // However long it takes.
    } else if left.is_zero() {
        status.terminal_message = Some(exports.message);
        status.phase = RequestPhase::Failed;
    } else {
        again = Some(left);
    }
    ApprovalPlan { status, again }
}

fn left(observed: &ObservedApproval<'_>) -> Duration {
    let made = observed.request.metadata.creation_timestamp.as_ref().map(|made| made.0);
    let age = made.map_or(0, |made| observed.now.as_second() - made.as_second());
    APPEARS_WITHIN.saturating_sub(Duration::from_secs(u64::try_from(age).unwrap_or_default()))
}

fn exports_verdict(observed: &ObservedApproval<'_>) -> Verdict {
    let resources = || observed.request.spec.resources.iter().zip(&observed.found);
    if let Some(problem) = resources().find_map(|(resource, found)| problem(resource, found)) {
        return problem;
    }
    let scopes: BTreeSet<_> = observed.found.iter().filter_map(scope).collect();
    if scopes.len() > 1 {
        let message = "The resources differ in scope: request namespaced and cluster-scoped ones separately.";
        return Verdict::error("DifferentScopes", message);
    }
    let waits = resources().find_map(|(resource, found)| {
        let Found::Offered { in_sync, .. } = found else { return None };
        let name = crd(resource);
        match in_sync {
            Some(verdict) if verdict.is_true() => None,
            Some(verdict) if verdict.reason == "BoundSchemaMissing" => {
                Some(Verdict::error(NOT_EXPORTED, verdict.message.clone()))
            }
            _ => Some(Verdict::pending(EXPORTING, format!("APIServiceExport {name} is being created."))),
        }
    });
    waits.unwrap_or_else(Verdict::holds)
}

/// The obstacle to exporting a resource, if any.
fn problem(resource: &ExportedResource, found: &Found) -> Option<Verdict> {
    let name = crd(resource);
    let message = match found {
        Found::Missing => {
            format!(
                "CustomResourceDefinition {name} does not exist, or lacks the label kube-bind.io/exported=true."
            )
        }
        Found::NotOffered(why) => format!("CustomResourceDefinition {name} cannot be exported. {why}"),
        Found::Offered { versions, .. } => {
            let wanted = &resource.versions;
            if wanted.is_empty() || wanted.iter().any(|version| versions.contains(version)) {
                return None;
            }
            format!("CustomResourceDefinition {name} serves none of these versions: {}.", wanted.join(", "))
        }
    };
    Some(Verdict::error("SchemaNotFound", message))
}

fn scope(found: &Found) -> Option<bool> {
    match found {
        Found::Offered { scope, .. } => Some(*scope == ResourceScope::Cluster),
        Found::Missing | Found::NotOffered(_) => None,
    }
}

/// Judges the claims of a request. The CRD decides about claims: a request may repeat it, and not go beyond it.
fn claims_verdict(observed: &ObservedApproval<'_>) -> Verdict {
    let spec = &observed.request.spec;
    let mut seen = BTreeSet::new();
    if let Some(again) = spec.permission_claims.iter().find(|c| !seen.insert((&c.group, &c.resource))) {
        let message = format!("{} is claimed more than once.", again.resource);
        return Verdict::error("DuplicatePermissionClaim", message);
    }
    let isolation = observed.found.iter().find_map(|found| match found {
        Found::Offered { isolation, .. } => Some(*isolation),
        Found::Missing | Found::NotOffered(_) => None,
    });
    let Some(isolation) = isolation else { return Verdict::holds() };
    let (_, invalid) = claims::read(&spec.permission_claims, &spec.resources, isolation);
    if let Some(invalid) = invalid.first() {
        return Verdict::error("InvalidPermissionClaim", invalid.to_string());
    }
    let is_offered = |claim: &&PermissionClaim| {
        observed.found.iter().any(|found| match found {
            Found::Offered { claims, .. } => claims.contains(claim),
            Found::Missing | Found::NotOffered(_) => false,
        })
    };
    match spec.permission_claims.iter().find(|claim| !is_offered(claim)) {
        Some(beyond) => Verdict::error(
            "InvalidPermissionClaim",
            format!(
                "The claim on {} is not among those in the annotation kube-bind.io/permission-claims of the \
                 CustomResourceDefinitions: add it there, or remove it here.",
                beyond.resource
            ),
        ),
        None => Verdict::holds(),
    }
}

fn crd(resource: &ExportedResource) -> String {
    names::crd(&resource.resource, &resource.group)
}

#[cfg(test)]
mod tests;
