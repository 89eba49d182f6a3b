//! Table of the conditions of a binding that a provider reads.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn binding(connected: Option<Verdict>) -> APIServiceBindingStatus {
    let mut status = APIServiceBindingStatus::default();
    if let Some(verdict) = connected {
        condition::set(&mut status.conditions, CONDITION_CONNECTED, verdict, Timestamp::UNIX_EPOCH);
    }
    status
}

fn export() -> APIServiceExport {
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": "a"},
        "spec": {
            "resources": [{"group": "a.dev", "resource": "as"}],
            "informerScope": "Namespaced", "isolation": "Prefixed",
        },
    }))
    .unwrap()
}

#[test]
fn an_export_is_connected_when_its_binding_could_use_the_schemas() {
    let secret = "belongs to APIServiceBinding b of bundle staging";
    let table = [
        (None, "", ""),
        (Some(Verdict::holds()), "", ""),
        (Some(Verdict::pending("ProviderPending", "wait")), "", ""),
        (
            Some(Verdict::error("BoundSchemaFetchFailed", "x not found")),
            "BoundSchemasNotValid",
            "x not found",
        ),
        (
            Some(Verdict::error("CustomResourceDefinitionCreateFailed", "no approval")),
            "BoundSchemasNotValid",
            "no approval",
        ),
        (Some(Verdict::error("CustomResourceDefinitionUpdateFailed", "no")), "BoundSchemasNotValid", "no"),
        (
            Some(Verdict::error(FOREIGN_CRD, secret)),
            "BoundSchemasNotValid",
            "The consumer has another CustomResourceDefinition of this name.",
        ),
    ];
    for (said, reason, message) in table {
        let status = export_status(&export(), &binding(said.clone()));
        let found = condition::find(&status.conditions, CONDITION_CONNECTED).unwrap();
        assert_eq!((found.reason.as_str(), found.message.as_str()), (reason, message), "{said:?}");
        let severity = if reason.is_empty() { Severity::None } else { Severity::Warning };
        assert_eq!(found.severity, severity, "{said:?}");
    }
}

#[test]
fn an_export_that_nobody_binds_says_so_and_nothing_about_the_schema() {
    let mut bound = export();
    bound.status = Some(export_status(&bound, &binding(None)));
    let status = unbound_status(&bound, Verdict::pending(REASON_NOT_BOUND, NO_BINDING));
    let found = condition::find(&status.conditions, CONDITION_CONNECTED).unwrap();
    assert_eq!((found.reason.as_str(), found.severity), ("APIServiceBindingNotFound", Severity::Info));
    assert!(condition::find(&status.conditions, CONDITION_CONSUMER_IN_SYNC).is_none());
}

#[test]
fn what_is_wrong_with_a_whole_provider_is_told_on_the_bundle_alone() {
    let said = |r#type: &str, verdict: Verdict| {
        let mut conditions = Vec::new();
        condition::set(&mut conditions, r#type, verdict, Timestamp::UNIX_EPOCH);
        is_said_by_bundle(&conditions[0])
    };
    for (r#type, reason, expected) in [
        (CONDITION_SECRET_VALID, "KubeconfigSecretNotFound", true),
        (CONDITION_CONNECTED, "ProviderUnreachable", true),
        (CONDITION_CONNECTED, PROVIDER_SUSPECT, true),
        (CONDITION_HEARTBEATING, "ClusterBindingUpdateFailed", true),
        (CONDITION_CONNECTED, FOREIGN_CRD, false),
        (CONDITION_CONNECTED, "APIServiceExportNotFound", false),
        (CONDITION_SCHEMA_IN_SYNC, "BreakingSchemaChange", false),
    ] {
        assert_eq!(said(r#type, Verdict::error(reason, "")), expected, "{reason}");
    }
}

#[test]
fn a_crd_is_reported_once_the_api_server_has_accepted_or_refused_it() {
    let condition = |name: &str, status: &str| json!({"type": name, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "", "message": ""});
    let settled = |conditions: &[Value]| {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "as.a.dev"},
            "spec": {"group": "a.dev", "scope": "Cluster", "names": {"plural": "as", "kind": "A"}, "versions": []},
            "status": {"conditions": conditions},
        });
        is_settled(&serde_json::from_value(crd).unwrap())
    };
    let (accepted, waiting) = (condition("NamesAccepted", "True"), condition("Established", "False"));
    assert!(!settled(&[]));
    assert!(!settled(&[accepted.clone(), waiting.clone()]));
    assert!(settled(&[accepted, condition("Established", "True")]));
    assert!(settled(&[condition("NamesAccepted", "False"), waiting]));
}
