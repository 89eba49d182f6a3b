//! Handing fields over from one manager to another.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use serde_json::json;

use super::*;

fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.to_owned()),
        operation: Some(operation.to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ManagedFieldsEntry::default()
    }
}

#[test]
fn only_our_updates_are_handed_over_to_apply() {
    let update = entry("us", "Update", None);
    let apply = entry("us", "Apply", None);
    let status = entry("us", "Update", Some("status"));
    let other = entry("them", "Update", None);
    let table: [(Vec<ManagedFieldsEntry>, Option<Vec<ManagedFieldsEntry>>); 4] = [
        (vec![apply.clone(), status.clone(), other.clone()], None),
        (vec![update.clone(), other.clone()], Some(vec![apply.clone(), other.clone()])),
        (vec![apply.clone(), update.clone(), status.clone()], Some(vec![apply.clone(), status.clone()])),
        (vec![other], None),
    ];
    for (entries, expected) in table {
        assert_eq!(applied_entries(&entries, "us", &[]), expected);
    }
}

#[test]
fn what_a_former_manager_holds_is_taken_over_or_dismissed() {
    let former = entry("them", "Update", None);
    let status = entry("them", "Update", Some("status"));
    let other = entry("others", "Update", None);
    let metadata = ObjectMeta {
        managed_fields: Some(vec![former, status.clone(), other.clone()]),
        ..ObjectMeta::default()
    };
    let entries = |observed| match observed {
        Precondition::Present { managed_fields: Some(hand_over), .. } => hand_over.entries,
        _ => Vec::new(),
    };
    let taken = entries(Precondition::succeeding(&metadata, "us", &["them"]));
    assert_eq!(taken, [entry("us", "Apply", None), status, other.clone()]);
    assert_eq!(entries(Precondition::dismissing(&metadata, &["them"])), [other]);
}

#[test]
fn fields_that_were_posted_and_applied_are_all_handed_over() {
    let with = |operation, fields: Value| ManagedFieldsEntry {
        fields_v1: Some(FieldsV1(fields)),
        ..entry("us", operation, None)
    };
    let posted = with("Update", json!({"f:spec": {"f:a": {}, "f:b": {}}}));
    let applied = with("Apply", json!({"f:spec": {"f:a": {}}}));
    let handed_over = applied_entries(&[applied, posted], "us", &[]).unwrap();
    assert_eq!(handed_over, [with("Apply", json!({"f:spec": {"f:a": {}, "f:b": {}}}))]);
}

#[test]
fn fields_are_handed_over_in_the_version_that_was_applied_last() {
    let at = |version: &str, operation, fields: Value| ManagedFieldsEntry {
        api_version: Some(version.to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..entry("us", operation, None)
    };
    let posted = at("x.dev/v1beta1", "Update", json!({"f:spec": {"f:size": {}}}));
    let applied = at("x.dev/v1", "Apply", json!({"f:spec": {"f:dimensions": {}}}));
    let handed_over = applied_entries(&[posted, applied], "us", &[]).unwrap();
    let both = json!({"f:spec": {"f:size": {}, "f:dimensions": {}}});
    assert_eq!(handed_over, [at("x.dev/v1", "Apply", both)]);
}
