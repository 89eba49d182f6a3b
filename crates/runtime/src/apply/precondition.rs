//! State of an object as observed before a write, and its fields that are to change hands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::ObjectMeta;
use serde_json::Value;

/// State of an object as observed before a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Precondition {
    /// It did not exist.
    Absent,
    /// It existed.
    Present {
        /// Its uid.
        uid: String,
        /// The managers of fields, with our entries as server-side apply wants them; `None` when they already are.
        managed_fields: Option<HandOver>,
    },
}

/// Entries to write over those of one version of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOver {
    pub(super) entries: Vec<ManagedFieldsEntry>,
    /// Others may change theirs meanwhile.
    pub(super) resource_version: Option<String>,
}

impl Precondition {
    /// Reads `metadata` of an object that `manager` is about to write.
    pub fn of(metadata: Option<&ObjectMeta>, manager: &str) -> Self {
        let Some(metadata) = metadata else { return Self::Absent };
        Self::succeeding(metadata, manager, &[])
    }

    /// The same, where `manager` takes over what `former` managers hold by POST or PUT.
    pub fn succeeding(metadata: &ObjectMeta, manager: &str, former: &[&str]) -> Self {
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        Self::with(metadata, applied_entries(entries, manager, former))
    }

    /// The same, where `former` managers no longer hold what they hold by POST or PUT, and nobody else does.
    pub fn dismissing(metadata: &ObjectMeta, former: &[&str]) -> Self {
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let is_former = |e: &&ManagedFieldsEntry| holds_by_update(e, former);
        let left: Vec<_> = entries.iter().filter(|e| !is_former(e)).cloned().collect();
        Self::with(metadata, (left.len() < entries.len()).then_some(left))
    }

    fn with(metadata: &ObjectMeta, entries: Option<Vec<ManagedFieldsEntry>>) -> Self {
        let resource_version = metadata.resource_version.clone();
        Self::Present {
            uid: metadata.uid.clone().unwrap_or_default(),
            managed_fields: entries.map(|entries| HandOver { entries, resource_version }),
        }
    }
}

fn holds_by_update(entry: &ManagedFieldsEntry, managers: &[&str]) -> bool {
    entry.manager.as_deref().is_some_and(|manager| managers.contains(&manager))
        && entry.operation.as_deref() == Some("Update")
}

/// Our entries as server-side apply wants them, or `None` when nothing has to change.
fn applied_entries(
    entries: &[ManagedFieldsEntry],
    manager: &str,
    former: &[&str],
) -> Option<Vec<ManagedFieldsEntry>> {
    let posted = |e: &ManagedFieldsEntry| {
        e.subresource.is_none() && (holds_by_update(e, &[manager]) || holds_by_update(e, former))
    };
    let applied = |e: &ManagedFieldsEntry| {
        e.subresource.is_none()
            && e.manager.as_deref() == Some(manager)
            && e.operation.as_deref() == Some("Apply")
    };
    entries.iter().find(|e| posted(e))?;
    let mut merged: Option<ManagedFieldsEntry> = None;
    // What was applied is in the version that is written now. Fields that have moved between versions are not known
    // in a former one, and would be nobody's.
    for entry in entries.iter().filter(|e| applied(e)).chain(entries.iter().filter(|e| posted(e))) {
        match &mut merged {
            None => {
                let (manager, operation) = (Some(manager.to_owned()), Some("Apply".to_owned()));
                merged = Some(ManagedFieldsEntry { manager, operation, ..entry.clone() });
            }
            Some(merged) => union(merged, entry),
        }
    }
    let others = entries.iter().filter(|e| !posted(e) && !applied(e)).cloned();
    Some(merged.into_iter().chain(others).collect())
}

pub(super) fn union(into: &mut ManagedFieldsEntry, from: &ManagedFieldsEntry) {
    if let (Some(into), Some(from)) = (&mut into.fields_v1, &from.fields_v1) {
        merge_fields(&mut into.0, &from.0);
    }
}

/// Adds the fields of one `FieldsV1` tree to another.
pub fn merge_fields(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (key, value) in from {
        match into.get_mut(key) {
            Some(existing) => merge_fields(existing, value),
            None => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
