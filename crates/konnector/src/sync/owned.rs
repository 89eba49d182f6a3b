//! The part of a provider copy that our field manager owns, in the shape of [`super::desired`]. Pure.
//!
//! Comparing this part with what is desired tells whether a write is needed. Fields that others set on the
//! provider (defaults, webhooks, controllers) are not in it, so they never cause one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use portolan_runtime::apply::merge_fields;
use serde_json::{Map, Value, json};

/// What `manager` owns of an object, by POST, PUT or apply, leaving subresources out.
pub(crate) fn owned(object: &DynamicObject, manager: &str) -> Value {
    let fields = merged_fields(object.metadata.managed_fields.as_deref().unwrap_or_default(), manager);
    let types = object.types.clone().unwrap_or_default();
    let mut body = json!({
        "apiVersion": types.api_version,
        "kind": types.kind,
        "metadata": {"name": object.metadata.name},
    });
    for (map, values) in [("labels", &object.metadata.labels), ("annotations", &object.metadata.annotations)]
    {
        let values = json!(values);
        let kept = fields.pointer(&format!("/f:metadata/f:{map}")).map(|f| project(&values, f));
        if let Some(kept @ Value::Object(_)) = kept
            && kept != json!({})
        {
            body["metadata"][map] = kept;
        }
    }
    for (field, value) in
        object.data.as_object().into_iter().flatten().filter(|(field, _)| *field != "status")
    {
        if let Some(fields) = fields.get(format!("f:{field}")) {
            body[field] = project(value, fields);
        }
    }
    body
}

/// Whether `manager` holds fields by POST or PUT, which a later apply cannot remove.
pub(crate) fn holds_updates(object: &DynamicObject, manager: &str) -> bool {
    let entries = object.metadata.managed_fields.iter().flatten();
    entries.into_iter().any(|e| is_ours(e, manager) && e.operation.as_deref() == Some("Update"))
}

fn is_ours(entry: &ManagedFieldsEntry, manager: &str) -> bool {
    entry.manager.as_deref() == Some(manager) && entry.subresource.is_none()
}

fn merged_fields(entries: &[ManagedFieldsEntry], manager: &str) -> Value {
    let mut merged = json!({});
    for entry in entries.iter().filter(|e| is_ours(e, manager)) {
        if let Some(fields) = &entry.fields_v1 {
            merge_fields(&mut merged, &fields.0);
        }
    }
    merged
}

/// The part of `value` that a `FieldsV1` tree names (structured-merge-diff's JSON form).
fn project(value: &Value, fields: &Value) -> Value {
    let named: Vec<_> = fields.as_object().into_iter().flatten().filter(|(key, _)| *key != ".").collect();
    match value {
        // A leaf of the tree, or a map or list whose mere existence is owned.
        _ if named.is_empty() && fields.get(".").is_none() => value.clone(),
        Value::Object(map) => Value::Object(project_map(map, &named)),
        Value::Array(items) => Value::Array(project_list(items, &named)),
        other => other.clone(),
    }
}

fn project_map(map: &Map<String, Value>, named: &[(&String, &Value)]) -> Map<String, Value> {
    let pick = |(key, fields): &(&String, &Value)| {
        let name = key.strip_prefix("f:")?;
        Some((name.to_owned(), project(map.get(name)?, fields)))
    };
    named.iter().filter_map(pick).collect()
}

fn project_list(items: &[Value], named: &[(&String, &Value)]) -> Vec<Value> {
    let selectors: Vec<_> =
        named.iter().filter_map(|(key, fields)| Some((Selector::parse(key)?, *fields))).collect();
    let pick = |(index, item): (usize, &Value)| {
        let (_, fields) = selectors.iter().find(|(selector, _)| selector.selects(index, item))?;
        Some(project(item, fields))
    };
    items.iter().enumerate().filter_map(pick).collect()
}

/// How a `FieldsV1` tree names an item of a list.
enum Selector {
    Keys(Map<String, Value>),
    Value(Value),
    Index(usize),
}

impl Selector {
    fn parse(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once(':')?;
        match kind {
            "k" => serde_json::from_str(rest).ok().map(Self::Keys),
            "v" => serde_json::from_str(rest).ok().map(Self::Value),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    fn selects(&self, index: usize, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => keys.iter().all(|(key, value)| item.get(key) == Some(value)),
            Self::Value(value) => value == item,
            Self::Index(wanted) => *wanted == index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(managed_fields: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "K",
            "metadata": {
                "name": "n", "labels": {"ours": "1", "theirs": "2"}, "annotations": {"theirs": "3"},
                "managedFields": managed_fields,
            },
            "spec": {
                "size": 1, "defaulted": true, "empty": {}, "atomic": {"a": 1, "b": 2},
                "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}],
                "set": ["a", "b"], "list": [3, 4],
            },
            "status": {"ready": true},
        }))
        .unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn only_our_fields_are_kept() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:ours": {}}},
            "f:spec": {
                "f:size": {}, "f:atomic": {}, "f:empty": {}, "f:gone": {},
                "f:ports": {"k:{\"port\":2}": {".": {}, "f:port": {}}},
                "f:set": {"v:\"b\"": {}},
                "f:list": {},
            },
        });
        let object = object(&json!([
            entry("us", "Apply", &fields),
            entry("them", "Update", &json!({"f:spec": {"f:defaulted": {}}}))
        ]));
        assert_eq!(
            owned(&object, "us"),
            json!({
                "apiVersion": "v1", "kind": "K",
                "metadata": {"name": "n", "labels": {"ours": "1"}},
                "spec": {
                    "size": 1, "atomic": {"a": 1, "b": 2}, "empty": {},
                    "ports": [{"port": 2}], "set": ["b"], "list": [3, 4],
                },
            })
        );
    }

    #[test]
    fn what_was_posted_and_what_was_applied_both_count() {
        let object = object(&json!([
            entry("us", "Update", &json!({"f:spec": {"f:size": {}}})),
            entry("us", "Apply", &json!({"f:spec": {"f:list": {}}})),
        ]));
        assert_eq!(owned(&object, "us")["spec"], json!({"size": 1, "list": [3, 4]}));
        assert!(holds_updates(&object, "us"));
        assert!(!holds_updates(&object, "them"));
    }

    #[test]
    fn an_object_of_others_is_not_ours_in_any_part() {
        let object = object(&json!([entry("them", "Apply", &json!({"f:spec": {"f:size": {}}}))]));
        assert_eq!(owned(&object, "us"), json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}}));
    }
}
