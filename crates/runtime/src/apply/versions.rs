//! Managed fields of versions that are gone.
//!
//! The API server converts managed fields to the version of an apply, and fails where an entry names a version that
//! its CRD does not have any more (kubernetes/kubernetes#111937). Nobody but who writes the entries anew can help.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{WriteError, json_patch, precondition::union};

/// What the API server says, before the version.
const GONE: &str = "request to convert CR to an invalid group/version: ";

/// The apiVersion that is gone, where that is what an error is about.
pub(super) fn gone(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    let (_, rest) = status.message.split_once(GONE)?;
    let version = rest.split_whitespace().next()?;
    Some(version.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned())
}

/// Entries as they are when `from` is called `to`; `None` where nobody has an entry for `from`.
pub fn renamed(
    entries: &[ManagedFieldsEntry],
    from: impl Fn(&str) -> bool,
    to: &str,
) -> Option<Vec<ManagedFieldsEntry>> {
    let is_old = |entry: &ManagedFieldsEntry| entry.api_version.as_deref().is_some_and(&from);
    entries.iter().find(|entry| is_old(entry))?;
    let mut all: Vec<ManagedFieldsEntry> = Vec::new();
    for entry in entries {
        let mut entry = entry.clone();
        if is_old(&entry) {
            entry.api_version = Some(to.to_owned());
        }
        let same = all.iter_mut().find(|known| {
            (&known.manager, &known.operation, &known.api_version, &known.subresource)
                == (&entry.manager, &entry.operation, &entry.api_version, &entry.subresource)
        });
        match same {
            Some(known) => union(known, &entry),
            None => all.push(entry),
        }
    }
    Some(all)
}

/// Gives the entries of a version that is gone to the version that is written. False where there are none.
pub(super) async fn heal<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    (from, to): (&str, &str),
) -> Result<bool, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let Some(found) = api.get_metadata_opt(name).await? else { return Ok(false) };
    let entries = found.metadata.managed_fields.as_deref().unwrap_or_default();
    let Some(entries) = renamed(entries, |version| version == from, to) else { return Ok(false) };
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]);
    json_patch::<K>(api, name, None, operations).await.map(|_| true)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn entries(value: Value) -> Vec<ManagedFieldsEntry> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn entries_of_a_version_that_is_gone_join_those_of_the_one_that_is_there() {
        let entry = |manager: &str, version: &str, fields: Value| json!({"manager": manager, "operation": "Update", "apiVersion": version, "fieldsV1": fields});
        let before = entries(json!([
            entry("a", "x.dev/v1beta1", json!({"f:spec": {"f:one": {}}})),
            entry("b", "x.dev/v1beta1", json!({"f:spec": {"f:two": {}}})),
            entry("a", "x.dev/v1", json!({"f:spec": {"f:three": {}}})),
        ]));
        let after = renamed(&before, |version| version == "x.dev/v1beta1", "x.dev/v1").unwrap();
        let expected = json!([
            entry("a", "x.dev/v1", json!({"f:spec": {"f:one": {}, "f:three": {}}})),
            entry("b", "x.dev/v1", json!({"f:spec": {"f:two": {}}})),
        ]);
        assert_eq!(json!(after), expected);
        assert_eq!(renamed(&after, |version| version == "x.dev/v1beta1", "x.dev/v1"), None);
    }

    #[test]
    fn the_version_is_read_from_what_the_api_server_says() {
        let said = |message: &str| {
            let status = kube::core::Status { message: message.to_owned(), code: 500, ..Default::default() };
            gone(&kube::Error::Api(Box::new(status)))
        };
        let text = "request to convert CR to an invalid group/version: grows.dev/v1beta1";
        assert_eq!(said(text).as_deref(), Some("grows.dev/v1beta1"));
        assert_eq!(said(&format!("failed: {text}; try again")).as_deref(), Some("grows.dev/v1beta1"));
        assert_eq!(said("internal error"), None);
    }
}
