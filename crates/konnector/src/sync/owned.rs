//! The part of a provider copy that our field manager owns, in the shape of [`super::desired`]. Pure.
//!
//! Comparing this part with what is desired tells whether a write is needed. Fields that others set on the
//! provider (defaults, webhooks, controllers) are not in it, so they never cause one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use portolan_core::api::kubebind::{FIELD_MANAGER, FORMER_MANAGER};
use portolan_runtime::apply::{escaped, merge_fields};
use serde_json::{Map, Value, json};

use super::{selector::ItemSelector, turned::OwnedWholes};

/// Our part of an object, by POST, PUT or apply, leaving subresources out. What the Go konnector has written counts
/// as ours.
pub fn owned(object: &DynamicObject) -> Value {
    let mut ours = part(object, &merged_fields(object, is_ours));
    ours["apiVersion"] = object.types.clone().unwrap_or_default().api_version.into();
    ours
}

/// A desired body in the shape that [`owned`] gives: without its place.
pub fn comparable(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.retain(|field, _| field == "labels" || field == "annotations");
    }
    body
}

/// The same, and what it is when maps and lists that are ours as a whole count as empty where others own
/// something in them, if there are such. What has been set to `{}` is ours as a whole, but what others put into
/// it is theirs. Into one that is atomic nobody can put anything.
pub fn owned_and_hollow(object: &DynamicObject) -> (Value, Option<Value>) {
    let (ours, hollow, _) = owned_hollow_and_wholes(object);
    (ours, hollow)
}

/// The same, and the maps and lists that are ours as a whole.
pub(super) fn owned_hollow_and_wholes(object: &DynamicObject) -> (Value, Option<Value>, OwnedWholes) {
    let [ours, others] = both_fields(object);
    let hollow = hollowed(&ours, &others);
    let hollow = (hollow != ours).then(|| part(object, &hollow));
    (part(object, &ours), hollow, OwnedWholes::of(&object.data, &ours, &others))
}

/// The fields of an object that are ours, and those that all others have.
pub(super) fn both_fields(object: &DynamicObject) -> [Value; 2] {
    [merged_fields(object, is_ours), merged_fields(object, |entry| !is_ours(entry))]
}

/// Our fields, of which those that are ours as a whole are ours by their existence only where others have fields
/// below them.
fn hollowed(ours: &Value, others: &Value) -> Value {
    let Some(named) = ours.as_object().filter(|named| !named.is_empty()) else {
        let below = others.as_object().is_some_and(|below| below.keys().any(|key| key != "."));
        return if below { json!({".": {}}) } else { ours.clone() };
    };
    let each = |(key, fields): (&String, &Value)| {
        let fields = if key == "." { fields.clone() } else { hollowed(fields, &others[key]) };
        (key.clone(), fields)
    };
    Value::Object(named.iter().map(each).collect())
}

/// The part of an object that a `FieldsV1` tree names. Without its version: each side may have one of its own.
fn part(object: &DynamicObject, fields: &Value) -> Value {
    let types = object.types.clone().unwrap_or_default();
    let mut body = json!({
        "kind": types.kind,
        "metadata": {},
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

/// Returns `true` if we hold fields by POST or PUT, which a later apply cannot remove.
pub fn holds_updates(object: &DynamicObject) -> bool {
    holds(object, |entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.is_none())
}

/// Returns `true` if the Go konnector has left entries that are to be taken over.
pub fn holds_former(object: &DynamicObject) -> bool {
    holds(object, |entry| entry.manager.as_deref() == Some(FORMER_MANAGER) && entry.subresource.is_none())
}

/// Returns `true` if we have set anything of an object, subresources left out.
pub(super) fn we_write(object: &DynamicObject) -> bool {
    object.metadata.managed_fields.iter().flatten().any(is_ours)
}

/// Returns `true` if we have set an annotation, as it is now.
pub(super) fn is_set_by_us(object: &DynamicObject, annotation: &str) -> bool {
    let path = format!("/f:metadata/f:annotations/f:{}", escaped(annotation));
    let sets = |entry: &ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&path).is_some())
    };
    object.metadata.managed_fields.iter().flatten().any(|entry| is_ours(entry) && sets(entry))
}

fn holds(object: &DynamicObject, is: impl Fn(&ManagedFieldsEntry) -> bool) -> bool {
    let mut entries = object.metadata.managed_fields.iter().flatten();
    entries.any(|entry| is(entry) && entry.operation.as_deref() == Some("Update"))
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    let manager = entry.manager.as_deref();
    let former = manager == Some(FORMER_MANAGER) && entry.operation.as_deref() == Some("Update");
    (manager == Some(FIELD_MANAGER) || former) && entry.subresource.is_none()
}

/// The fields that we have applied, as one `FieldsV1` tree.
pub(super) fn applied_by_us(object: &DynamicObject) -> Value {
    merged_fields(object, |entry| is_ours(entry) && entry.operation.as_deref() == Some("Apply"))
}

/// The fields of an object that somebody has set, as one `FieldsV1` tree.
pub(super) fn set_by_anybody(object: &DynamicObject) -> Value {
    merged_fields(object, |_| true)
}

fn merged_fields(object: &DynamicObject, of: impl Fn(&ManagedFieldsEntry) -> bool) -> Value {
    let mut merged = json!({});
    for entry in object.metadata.managed_fields.iter().flatten().filter(|entry| of(entry)) {
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
        named.iter().filter_map(|(key, fields)| Some((ItemSelector::parse(key)?, *fields))).collect();
    let pick = |(index, item): (usize, &Value)| {
        let (_, fields) = selectors.iter().find(|(selector, _)| selector.selects(index, item))?;
        Some(project(item, fields))
    };
    items.iter().enumerate().filter_map(pick).collect()
}

#[cfg(test)]
mod tests;
