//! Tables of the observed and the desired, and the plan.

use portolan_core::{
    api::kubebind::{Isolation, ResourceScope},
    condition::READY,
};
use serde_json::{Value, json};

use super::*;
use crate::tenancy::Tenancy;

fn body(versions: &[&str]) -> BoundSchemaSpec {
    let all: Vec<_> = versions
        .iter()
        .map(|name| json!({"name": name, "served": true, "storage": name == &versions[0], "schema": {}}))
        .collect();
    serde_json::from_value(json!({
        "group": "wildwest.dev", "informerScope": "Namespaced", "scope": "Namespaced",
        "names": {"plural": "cowboys", "kind": "Cowboy"}, "versions": all,
    }))
    .unwrap()
}

fn offer(versions: &[&str]) -> CrdOffer {
    let resource = json!({"group": "wildwest.dev", "resource": "cowboys"});
    CrdOffer {
        schema: serde_json::from_value(json!(body(versions))).unwrap(),
        resource: serde_json::from_value(resource).unwrap(),
        terms: Tenancy::default().terms(ResourceScope::Namespaced, |_| None).unwrap(),
        claims: Vec::new(),
        approved: None,
        dropped: Vec::new(),
        hash: format!("hash of {versions:?}"),
    }
}

fn key() -> QueueKey {
    QueueKey::new("kube-bind-a", "cowboys.wildwest.dev")
}

fn export(uid: &str, offer: &CrdOffer) -> APIServiceExport {
    let mut export = desired_export(&key(), offer, None);
    export.metadata.uid = Some(uid.to_owned());
    export
}

fn schema(uid: &str, export: &APIServiceExport, versions: &[&str]) -> SchemaOutline {
    let schema = desired_schema(&key(), &offer(versions), body(versions), export);
    let mut outline: SchemaOutline = serde_json::from_value(json!(schema)).unwrap();
    outline.metadata.uid = Some(uid.to_owned());
    outline
}

/// Takes our label away.
fn foreign<K: Resource + Clone>(object: &K) -> K {
    let mut object = object.clone();
    object.meta_mut().labels = None;
    object
}

fn plan_of(
    wanted: WantedExport,
    export: Option<&APIServiceExport>,
    schema: Option<&SchemaOutline>,
) -> ExportPlan {
    let (export, schema) = (export.cloned().map(Arc::new), schema.cloned().map(Arc::new));
    plan(&ObservedExport {
        now: Timestamp::from_second(1000).unwrap(),
        drain_limit: Duration::from_secs(600),
        contract_is_terminating: false,
        wanted,
        export,
        schema,
    })
}

fn wanting(offer: &CrdOffer) -> WantedExport {
    WantedExport::Offer(Box::new(offer.clone()), None)
}

#[test]
fn what_is_offered_is_made_and_kept() {
    let v1 = offer(&["v1"]);
    let (ours, renewed) = (export("e", &v1), export("renewed", &v1));
    let owned = schema("s", &ours, &["v1"]);
    let mut tampered = owned.clone();
    tampered.spec.versions[0].served = false;
    let table = [
        (None, None, ExportStep::Write, ExportStep::Write),
        (Some(&ours), None, ExportStep::Keep, ExportStep::Write),
        (Some(&ours), Some(&owned), ExportStep::Keep, ExportStep::Keep),
        (Some(&ours), Some(&tampered), ExportStep::Keep, ExportStep::Write),
        (Some(&renewed), Some(&owned), ExportStep::Keep, ExportStep::Write),
        (None, Some(&owned), ExportStep::Write, ExportStep::Write),
    ];
    for (export, schema, on_export, on_schema) in table {
        assert_eq!(
            plan_of(wanting(&v1), export, schema),
            ExportPlan::Offer { export: on_export, schema: on_schema }
        );
    }
}

#[test]
fn a_schema_that_changes_is_written_in_place() {
    let (before, after) = (offer(&["v1"]), offer(&["v2", "v1"]));
    let ours = export("e", &before);
    let owned = schema("s", &ours, &["v1"]);
    let plan = plan_of(wanting(&after), Some(&ours), Some(&owned));
    assert_eq!(plan, ExportPlan::Offer { export: ExportStep::Write, schema: ExportStep::Write });
    let desired = desired_export(&key(), &after, Some(&ours));
    assert_eq!(desired.spec, ours.spec, "what is immutable is not touched");
    assert_eq!(desired.annotations()[ANNOTATION_SOURCE_SPEC_HASH], after.hash);
}

#[test]
fn only_what_the_contract_makes_immutable_replaces_an_export() {
    let ours = export("e", &offer(&["v1"]));
    let replaced = ExportPlan::Replace;
    let follows = ExportPlan::Offer { export: ExportStep::Write, schema: ExportStep::Write };
    assert_eq!(plan_of(wanting(&offer(&["v2"])), Some(&ours), None), follows, "versions come and go");
    let mut naming_versions = ours.clone();
    naming_versions.spec.resources[0].versions = vec!["v1".to_owned()];
    assert_eq!(plan_of(wanting(&offer(&["v2"])), Some(&naming_versions), None), follows);
    let mut claiming = offer(&["v1"]);
    claiming.claims = serde_json::from_value(json!([{"resource": "secrets", "selector": {}}])).unwrap();
    assert_eq!(plan_of(wanting(&claiming), Some(&ours), None), replaced);
    let mut other = ours;
    other.spec.isolation = Isolation::None;
    assert_eq!(plan_of(wanting(&offer(&["v1"])), Some(&other), None), replaced);
    other.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
    let ending = plan_of(wanting(&offer(&["v1"])), Some(&other), None);
    assert_eq!(ending, ExportPlan::LetGo { place: 0 }, "nobody has bound it");
    let mut used = other.clone();
    let mut status = APIServiceExportStatus::default();
    condition::set(&mut status.conditions, CONDITION_CONNECTED, Verdict::holds(), Timestamp::UNIX_EPOCH);
    used.status = Some(status);
    used.annotations_mut().insert(ANNOTATION_REPLACED.to_owned(), "true".to_owned());
    let ending = plan_of(wanting(&offer(&["v1"])), Some(&used), None);
    assert_eq!(ending, ExportPlan::LetGo { place: 0 }, "nobody has to unbind");
    other.metadata.finalizers = None;
    assert_eq!(
        plan_of(wanting(&offer(&["v1"])), Some(&other), None),
        ExportPlan::Nothing,
        "its end brings us back"
    );
}

#[test]
fn what_is_not_ours_is_never_touched() {
    let v1 = offer(&["v1"]);
    let ours = export("e", &v1);
    let owned = schema("s", &ours, &["v1"]);
    let (their_export, their_schema) = (foreign(&ours), foreign(&owned));
    assert_eq!(plan_of(wanting(&v1), Some(&their_export), Some(&owned)), ExportPlan::LeaveForeign);
    let kept = ExportPlan::Offer { export: ExportStep::Keep, schema: ExportStep::LeaveForeign };
    assert_eq!(plan_of(wanting(&v1), Some(&ours), Some(&their_schema)), kept);
    assert_eq!(plan_of(WantedExport::Nothing, Some(&their_export), Some(&their_schema)), ExportPlan::Nothing);
}

#[test]
fn what_is_no_longer_offered_is_withdrawn() {
    let v1 = offer(&["v1"]);
    let ours = export("e", &v1);
    let owned = schema("s", &ours, &["v1"]);
    let uid = |uid: &str| Some(uid.to_owned());
    let table = [
        (None, None, ExportPlan::Nothing),
        (Some(&ours), Some(&owned), ExportPlan::Withdraw { export: uid("e"), schema: None }),
        (None, Some(&owned), ExportPlan::Withdraw { export: None, schema: uid("s") }),
    ];
    for (export, schema, expected) in table {
        assert_eq!(plan_of(WantedExport::Nothing, export, schema), expected);
    }
    assert_eq!(plan_of(WantedExport::AsItIs(None), Some(&ours), Some(&owned)), ExportPlan::Nothing);
    let why = || WantedExport::AsItIs(Some(Verdict::warning("NotExportable", "why")));
    assert_eq!(plan_of(why(), Some(&ours), Some(&owned)), ExportPlan::Explain);
    assert_eq!(plan_of(why(), None, None), ExportPlan::Nothing);
    assert_eq!(plan_of(why(), Some(&foreign(&ours)), None), ExportPlan::Nothing);
}

#[test]
fn an_export_says_which_fields_consumers_do_not_get() {
    let mut v1 = offer(&["v1"]);
    assert_eq!(in_sync(&v1), Verdict::holds());
    v1.dropped = vec!["preserveUnknownFields".to_owned()];
    let said = in_sync(&v1);
    assert!(said.is_true() && said.message.contains("preserveUnknownFields"), "{said:?}");
    assert_eq!(said.reason, "FieldsDropped");
}

#[test]
fn only_our_condition_is_changed() {
    let mut export = export("e", &offer(&["v1"]));
    let theirs: Value = json!({"conditions": [
        {"type": "Connected", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]});
    export.status = serde_json::from_value(theirs).unwrap();
    let in_sync = Verdict::error("BoundSchemaMissing", "gone");
    let status = status(&export, Report { in_sync, shared: Some(false) }, Timestamp::UNIX_EPOCH);
    let types: Vec<_> = status.conditions.iter().map(|c| c.r#type.as_str()).collect();
    assert_eq!(types, [READY, CONDITION_CONNECTED, CONDITION_PROVIDER_IN_SYNC]);
    assert_eq!(status.conditions[0].reason, "BoundSchemaMissing");
    assert_eq!(status.conditions[1], export.status.unwrap().conditions[0]);
}

#[test]
fn a_withdrawn_export_waits_for_its_konnector_for_a_limited_time() {
    let v1 = offer(&["v1"]);
    let ended = |second: i64, connected: Option<Verdict>| {
        let mut export = export("e", &v1);
        let deleted = Timestamp::from_second(second).unwrap();
        export.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(deleted));
        export.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        if let Some(connected) = connected {
            let mut status = APIServiceExportStatus::default();
            condition::set(&mut status.conditions, CONDITION_CONNECTED, connected, Timestamp::UNIX_EPOCH);
            export.status = Some(status);
        }
        plan_of(WantedExport::Nothing, Some(&export), None)
    };
    let because = |reason: &str| Some(Verdict::pending(reason, "text"));
    let waits = ExportPlan::AwaitDrain { left: Duration::from_secs(500) };
    let table = [
        (ended(900, Some(Verdict::holds())), waits),
        (ended(900, because(REASON_DRAINED)), ExportPlan::LetGo { place: 0 }),
        (ended(900, because(REASON_NOT_BOUND)), ExportPlan::LetGo { place: 0 }),
        (ended(900, None), ExportPlan::LetGo { place: 0 }),
        (ended(400, Some(Verdict::holds())), ExportPlan::LetGo { place: 0 }),
    ];
    for (seen, expected) in table {
        assert_eq!(seen, expected);
    }
}
