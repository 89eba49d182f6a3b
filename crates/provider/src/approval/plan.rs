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
        RequestPhase::Pending => said.is_some_and(|said| said.reason == EXPORTING),
    }
}

pub(super) fn plan(observed: &ObservedApproval<'_>) -> ApprovalPlan {
    let mut status = observed.request.status.clone().unwrap_or_default();
    if status.phase == RequestPhase::Failed {
        return ApprovalPlan { status, again: None };
    }
    let now = observed.now;
    let (claims, exports) = (claims_verdict(observed), exports_verdict(observed));
    condition::set(&mut status.conditions, CONDITION_PERMISSION_CLAIM, claims.clone(), now);
    condition::set(&mut status.conditions, CONDITION_EXPORTS_READY, exports.clone(), now);
    condition::summarize(&mut status.conditions, now);
    if status.phase == RequestPhase::Succeeded {
        return ApprovalPlan { status, again: None };
    }
    let left = left(observed);
    let mut again = None;
    if !claims.is_true() {
        status.terminal_message = Some(claims.message);
        status.phase = RequestPhase::Failed;
    } else if exports.is_true() {
        status.phase = RequestPhase::Succeeded;
    } else if exports.reason == EXPORTING || exports.reason == "BoundSchemaNotFound" {
        // It was found good, and nothing that was given is taken back because it takes long.
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
                Some(Verdict::error("BoundSchemaNotFound", verdict.message.clone()))
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(resources: &Value, claims: &Value, status: &Value) -> APIServiceExportRequest {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExportRequest",
            "metadata": {"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"resources": resources, "permissionClaims": claims}, "status": status,
        }))
        .unwrap()
    }

    fn cowboys(versions: &Value) -> Value {
        json!([{"group": "wildwest.dev", "resource": "cowboys", "versions": versions}])
    }

    fn claim(resource: &str) -> Value {
        json!({"group": "", "resource": resource, "selector": {"namedResources": [{"name": "n"}]}})
    }

    fn offered(scope: ResourceScope, in_sync: Option<Verdict>) -> Found {
        Found::Offered {
            scope,
            versions: vec!["v1".to_owned()],
            isolation: Isolation::Prefixed,
            claims: vec![serde_json::from_value(claim("secrets")).unwrap()],
            in_sync,
        }
    }

    fn good(in_sync: Option<Verdict>) -> Found {
        offered(ResourceScope::Namespaced, in_sync)
    }

    fn planned(request: &APIServiceExportRequest, found: Vec<Found>, second: i64) -> ApprovalPlan {
        plan(&ObservedApproval { request, found, now: Timestamp::from_second(second).unwrap() })
    }

    fn said(status: &APIServiceExportRequestStatus, condition: &str) -> String {
        condition::find(&status.conditions, condition).unwrap().reason.clone()
    }

    #[test]
    fn what_is_offered_is_granted_and_what_is_not_fails_in_time() {
        use RequestPhase as P;
        let missing = || Some(Verdict::error("BoundSchemaMissing", "no"));
        let table = [
            (good(Some(Verdict::holds())), 0, P::Succeeded, "", true),
            (good(Some(Verdict::holds())), 9999, P::Succeeded, "", true),
            (good(None), 0, P::Pending, "Exporting", true),
            // What is on its way is not taken back.
            (good(None), 9999, P::Pending, "Exporting", true),
            (good(missing()), 0, P::Pending, "BoundSchemaNotFound", false),
            (Found::Missing, 0, P::Pending, "SchemaNotFound", false),
            (Found::Missing, 59, P::Pending, "SchemaNotFound", false),
            (Found::Missing, 60, P::Failed, "SchemaNotFound", false),
            (Found::NotOffered("why".to_owned()), 60, P::Failed, "SchemaNotFound", false),
        ];
        for (found, second, phase, reason, granted) in table {
            let plan =
                planned(&request(&cowboys(&json!([])), &json!([]), &json!({})), vec![found.clone()], second);
            assert_eq!(plan.status.phase, phase, "{found:?} {second}");
            assert_eq!(said(&plan.status, "ExportsReady"), reason, "{found:?} {second}");
            assert_eq!(is_granted(&plan.status), granted, "{found:?} {second}");
            assert_eq!(plan.status.terminal_message.is_some(), phase == P::Failed, "{found:?} {second}");
            let again =
                (phase == P::Pending && reason == "SchemaNotFound").then(|| 60 - second.unsigned_abs());
            assert_eq!(plan.again.map(|again| again.as_secs()), again, "{found:?} {second}");
        }
    }

    #[test]
    fn nothing_of_a_request_is_granted_while_part_of_it_cannot_be() {
        let two = json!([
            {"group": "wildwest.dev", "resource": "cowboys"}, {"group": "wildwest.dev", "resource": "sheriffs"},
        ]);
        let wide = || offered(ResourceScope::Cluster, None);
        for (found, reason) in [
            (vec![good(None), Found::Missing], "SchemaNotFound"),
            (vec![good(None), wide()], "DifferentScopes"),
        ] {
            let plan = planned(&request(&two, &json!([]), &json!({})), found, 0);
            assert!(!is_granted(&plan.status));
            assert_eq!(said(&plan.status, "ExportsReady"), reason);
        }
        let alike = planned(&request(&two, &json!([]), &json!({})), vec![wide(), wide()], 0);
        assert!(is_granted(&alike.status));
    }

    #[test]
    fn versions_that_are_not_served_cannot_be_had() {
        for (versions, granted) in
            [(json!(["v1"]), true), (json!(["v2", "v1"]), true), (json!(["v2"]), false)]
        {
            let plan = planned(&request(&cowboys(&versions), &json!([]), &json!({})), vec![good(None)], 0);
            assert_eq!(is_granted(&plan.status), granted, "{versions}");
        }
    }

    #[test]
    fn claims_may_be_repeated_and_not_widened() {
        for (claims, reason) in [
            (json!([]), ""),
            (json!([claim("secrets")]), ""),
            (json!([claim("secrets"), claim("secrets")]), "DuplicatePermissionClaim"),
            (json!([claim("configmaps")]), "InvalidPermissionClaim"),
            (json!([claim("pods")]), "InvalidPermissionClaim"),
        ] {
            let plan = planned(&request(&cowboys(&json!([])), &claims, &json!({})), vec![good(None)], 0);
            assert_eq!(said(&plan.status, "PermissionClaim"), reason, "{claims}");
            assert_eq!(plan.status.phase == RequestPhase::Failed, !reason.is_empty(), "{claims}");
            assert_eq!(is_granted(&plan.status), reason.is_empty(), "{claims}");
        }
    }

    #[test]
    fn what_was_decided_stays_decided() {
        let failed = json!({"phase": "Failed", "terminalMessage": "no"});
        let plan = planned(&request(&cowboys(&json!([])), &json!([]), &failed), vec![good(None)], 0);
        assert_eq!(json!(plan.status), failed);
        let succeeded = json!({"phase": "Succeeded"});
        let plan =
            planned(&request(&cowboys(&json!([])), &json!([]), &succeeded), vec![Found::Missing], 9999);
        assert_eq!(plan.status.phase, RequestPhase::Succeeded);
        assert!(is_granted(&plan.status), "what is withdrawn is not for a request to say");
        assert_eq!(said(&plan.status, "ExportsReady"), "SchemaNotFound");
    }
}
