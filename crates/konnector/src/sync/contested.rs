//! Fields that somebody else writes although they are ours, and who that is. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use portolan_core::api::kubebind::FIELD_MANAGER;
use serde_json::{Map, Value, json};

/// Limit on the fields that are named.
const MOST: usize = 3;

/// A field that differs from what we say.
#[derive(Debug, PartialEq, Eq)]
struct ContestedField {
    /// As people write it.
    path: String,
    /// Its place in a `FieldsV1` tree.
    place: Vec<String>,
}

/// In words: which fields of an object differ from `desired`, and which other managers have set them. `None` where
/// nothing differs.
pub(super) fn contested(live: &DynamicObject, desired: &Value) -> Option<String> {
    let mut fields = Vec::new();
    let live_value = json!({
        "metadata": {"labels": live.metadata.labels, "annotations": live.metadata.annotations},
    });
    for part in ["labels", "annotations"] {
        let place = vec!["f:metadata".to_owned(), format!("f:{part}")];
        let root = ContestedField { path: format!("metadata.{part}"), place };
        differences(&live_value["metadata"][part], &desired["metadata"][part], root, &mut fields);
    }
    let data = live.data.as_object().cloned().unwrap_or_default();
    for (name, value) in desired.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()) {
            let root = ContestedField { path: name.clone(), place: vec![format!("f:{name}")] };
            differences(data.get(name).unwrap_or(&Value::Null), value, root, &mut fields);
        }
    }
    let first = fields.first()?;
    let (managers, more) = (writers(live, &first.place), fields.len().saturating_sub(MOST));
    let names = fields.iter().take(MOST).map(|field| field.path.as_str()).collect::<Vec<_>>().join(", ");
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let of = if fields.len() == 1 { "Field" } else { "Fields" };
    Some(format!("{of} {names}{rest} of the copy: also written by {managers}"))
}

/// The other writers of an object's status, in words.
pub(super) fn status_writers(object: &DynamicObject) -> String {
    writers(object, &["f:status".to_owned()])
}

fn differences(live: &Value, desired: &Value, at: ContestedField, into: &mut Vec<ContestedField>) {
    match (live, desired) {
        (_, Value::Null) => {}
        (Value::Object(live), Value::Object(desired)) if !desired.is_empty() => {
            for (name, value) in desired {
                let path = format!("{}.{name}", at.path);
                let place = [at.place.as_slice(), &[format!("f:{name}")]].concat();
                differences(
                    live.get(name).unwrap_or(&Value::Null),
                    value,
                    ContestedField { path, place },
                    into,
                );
            }
        }
        _ if live == desired => {}
        _ => into.push(at),
    }
}

/// The other managers of a field, the last that wrote first; where nobody owns it, who wrote last at all.
pub fn writers(object: &DynamicObject, place: &[String]) -> String {
    let mut others: Vec<_> = object
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
        .collect();
    others.sort_by_key(|entry| std::cmp::Reverse(entry.time.as_ref().map(|time| time.0)));
    let owning: Vec<_> = others.iter().filter(|entry| owns(entry, place)).copied().collect();
    let named = if owning.is_empty() { others.into_iter().take(1).collect() } else { owning };
    if named.is_empty() {
        return "an unrecorded client".to_owned();
    }
    named.into_iter().take(MOST).map(described).collect::<Vec<_>>().join(", ")
}

fn described(entry: &ManagedFieldsEntry) -> String {
    let manager = entry.manager.as_deref().unwrap_or("somebody");
    match &entry.operation {
        Some(operation) => format!("{manager} ({operation})"),
        None => manager.to_owned(),
    }
}

/// Returns `true` if an entry has the field, something above it as a whole, or something below it.
fn owns(entry: &ManagedFieldsEntry, place: &[String]) -> bool {
    let Some(fields) = &entry.fields_v1 else { return false };
    let mut at = &fields.0;
    for (depth, part) in place.iter().enumerate() {
        match at.get(part) {
            Some(below) => at = below,
            None => return depth > 0 && at.as_object().is_none_or(Map::is_empty),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(spec: &Value, entries: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "K", "spec": spec,
            "metadata": {"name": "n", "labels": {"a": "theirs"}, "managedFields": entries},
        }))
        .unwrap()
    }

    fn entry(manager: &str, time: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields})
    }

    #[test]
    fn the_field_and_its_other_manager_are_named() {
        let sized = json!({"f:spec": {"f:size": {"f:x": {}}}});
        let entries = json!([
            entry("kube-bind.io", "2026-01-03T00:00:00Z", &json!({"f:spec": {"f:text": {}}})),
            entry("operator", "2026-01-01T00:00:00Z", &sized),
            entry("labeller", "2026-01-02T00:00:00Z", &json!({"f:metadata": {"f:labels": {"f:a": {}}}})),
        ]);
        let object = live(&json!({"size": {"x": 2, "y": 3}, "text": "t", "list": [1, 2]}), &entries);
        for (desired, expected) in [
            (
                json!({"spec": {"size": {"x": 1}}}),
                Some("Field spec.size.x of the copy: also written by operator (Update)"),
            ),
            (
                json!({"metadata": {"labels": {"a": "ours"}}}),
                Some("Field metadata.labels.a of the copy: also written by labeller (Update)"),
            ),
            // Nobody owns what was taken away, or a list that is not in their fields.
            (
                json!({"spec": {"gone": 1}}),
                Some("Field spec.gone of the copy: also written by labeller (Update)"),
            ),
            (
                json!({"spec": {"list": [1]}}),
                Some("Field spec.list of the copy: also written by labeller (Update)"),
            ),
            (json!({"spec": {"size": {"x": 2}, "text": "t", "list": [1, 2]}}), None),
            (json!({"spec": {"text": null}, "status": {"a": 1}}), None),
        ] {
            assert_eq!(contested(&object, &desired).as_deref(), expected, "{desired}");
        }
    }

    #[test]
    fn a_few_of_many_fields_are_enough() {
        let object = live(&json!({}), &json!([]));
        let desired = json!({"spec": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}});
        assert_eq!(
            contested(&object, &desired).unwrap(),
            "Fields spec.a, spec.b, spec.c and 2 more of the copy: also written by an unrecorded client"
        );
    }

    #[test]
    fn who_writes_a_map_as_a_whole_writes_what_is_in_it() {
        let entries = json!([
            entry("late", "2026-01-02T00:00:00Z", &json!({"f:spec": {"f:other": {}}})),
            entry("whole", "2026-01-01T00:00:00Z", &json!({"f:spec": {}})),
        ]);
        let object = live(&json!({"size": 2}), &entries);
        let said = contested(&object, &json!({"spec": {"size": 1}})).unwrap();
        assert!(said.ends_with("by whole (Update)"), "{said}");
    }
}
