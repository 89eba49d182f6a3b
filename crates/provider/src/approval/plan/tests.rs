//! Tables of requests and what of them is there, and the verdict.

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
        (good(missing()), 0, P::Pending, "BoundSchemaNotFound", true),
        (good(missing()), 9999, P::Pending, "BoundSchemaNotFound", true),
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
        let again = (phase == P::Pending && reason == "SchemaNotFound").then(|| 60 - second.unsigned_abs());
        assert_eq!(plan.again.map(|again| again.as_secs()), again, "{found:?} {second}");
    }
}

#[test]
fn nothing_of_a_request_is_granted_while_part_of_it_cannot_be() {
    let two = json!([
        {"group": "wildwest.dev", "resource": "cowboys"}, {"group": "wildwest.dev", "resource": "sheriffs"},
    ]);
    let wide = || offered(ResourceScope::Cluster, None);
    for (found, reason) in
        [(vec![good(None), Found::Missing], "SchemaNotFound"), (vec![good(None), wide()], "DifferentScopes")]
    {
        let plan = planned(&request(&two, &json!([]), &json!({})), found, 0);
        assert!(!is_granted(&plan.status));
        assert_eq!(said(&plan.status, "ExportsReady"), reason);
    }
    let alike = planned(&request(&two, &json!([]), &json!({})), vec![wide(), wide()], 0);
    assert!(is_granted(&alike.status));
}

#[test]
fn what_is_granted_stays_granted_whatever_becomes_of_the_rest() {
    let two = json!([
        {"group": "wildwest.dev", "resource": "cowboys"}, {"group": "wildwest.dev", "resource": "sheriffs"},
    ]);
    let missing = || good(Some(Verdict::error("BoundSchemaMissing", "no")));
    let there = || good(Some(Verdict::holds()));
    let mut unclaimed = offered(ResourceScope::Namespaced, Some(Verdict::holds()));
    if let Found::Offered { claims, .. } = &mut unclaimed {
        claims.clear();
    }
    for (first, later, phase, reason) in [
        (missing(), Found::Missing, RequestPhase::Pending, "BoundSchemaNotFound"),
        (missing(), Found::NotOffered("a typo".to_owned()), RequestPhase::Pending, "BoundSchemaNotFound"),
        (good(None), offered(ResourceScope::Cluster, None), RequestPhase::Pending, "BoundSchemaNotFound"),
        (missing(), good(None), RequestPhase::Pending, "Exporting"),
        (missing(), there(), RequestPhase::Succeeded, ""),
    ] {
        let mut asked = request(&two, &json!([claim("secrets")]), &json!({}));
        asked.status = Some(planned(&asked, vec![there(), first], 0).status);
        for kept in [there(), unclaimed.clone()] {
            let plan = planned(&asked, vec![kept, later.clone()], 9999);
            assert!(is_granted(&plan.status), "{later:?}: {:?}", plan.status);
            assert_eq!((plan.status.phase, plan.again), (phase, None), "{later:?}");
            assert_eq!(said(&plan.status, "ExportsReady"), reason, "{later:?}");
        }
    }
}

#[test]
fn versions_that_are_not_served_cannot_be_had() {
    for (versions, granted) in [(json!(["v1"]), true), (json!(["v2", "v1"]), true), (json!(["v2"]), false)] {
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
    let plan = planned(&request(&cowboys(&json!([])), &json!([]), &succeeded), vec![Found::Missing], 9999);
    assert_eq!(plan.status.phase, RequestPhase::Succeeded);
    assert!(is_granted(&plan.status), "what is withdrawn is not for a request to say");
    assert_eq!(said(&plan.status, "ExportsReady"), "SchemaNotFound");
}
