//! Managed fields of versions that keep the API server from an apply.
//!
//! The API server converts an object to the version of each entry, and fails where the CRD does not have that version any
//! more (kubernetes/kubernetes#111937), or where the schema of that version lacks a field that another version has.
//! Nobody but who rewrites the entries can help.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{WriteError, json_patch, precondition::union};

/// The API server's message about a version that is gone, before the version.
const GONE: &str = "request to convert CR to an invalid group/version: ";
/// Its message about a version that cannot hold the object, which it does not name.
const NARROW: [&str; 2] = ["failed to convert new object: ", "failed to convert old object: "];
const UNDECLARED: &str = "field not declared in schema";

/// The versions whose entries keep the API server from an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The apiVersion that is gone.
    Gone(String),
    /// One of those that are not applied to.
    Others,
}

impl Unfit {
    /// The versions that an error is about, if it is about any.
    pub(super) fn of(error: &kube::Error) -> Option<Self> {
        let kube::Error::Api(status) = error else { return None };
        if let Some((_, rest)) = status.message.split_once(GONE) {
            let version = rest.split_whitespace().next()?;
            return Some(Self::Gone(
                version.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned(),
            ));
        }
        let is_narrow = NARROW.iter().any(|words| status.message.contains(words));
        (is_narrow && status.message.contains(UNDECLARED)).then_some(Self::Others)
    }

    fn is(&self, version: &str, applied: &str) -> bool {
        match self {
            Self::Gone(gone) => version == gone,
            Self::Others => version != applied,
        }
    }
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

/// Gives the entries of unfit versions to the version that is written. False where there are none.
pub(super) async fn heal<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    (unfit, to): (&Unfit, &str),
) -> Result<bool, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let Some(found) = api.get_metadata_opt(name).await? else { return Ok(false) };
    let entries = found.metadata.managed_fields.as_deref().unwrap_or_default();
    let Some(entries) = renamed(entries, |version| unfit.is(version, to), to) else { return Ok(false) };
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
    fn unfit_versions_are_read_from_what_the_api_server_says() {
        let said = |message: &str| {
            let status = kube::core::Status { message: message.to_owned(), code: 500, ..Default::default() };
            Unfit::of(&kube::Error::Api(Box::new(status)))
        };
        let gone = || Some(Unfit::Gone("grows.dev/v1beta1".to_owned()));
        let text = "request to convert CR to an invalid group/version: grows.dev/v1beta1";
        assert_eq!(said(text), gone());
        assert_eq!(said(&format!("failed: {text}; try again")), gone());
        assert_eq!(
            said("failed to convert new object: .spec.since1: field not declared in schema"),
            Some(Unfit::Others)
        );
        assert_eq!(
            said("failed to convert old object: .spec.since1: field not declared in schema"),
            Some(Unfit::Others)
        );
        // The object itself is wrong: no entry is to blame.
        assert_eq!(said("failed to create typed patch object: .spec.x: field not declared in schema"), None);
        assert_eq!(said("internal error"), None);
    }

    #[test]
    fn entries_of_every_other_version_are_unfit_where_none_is_named() {
        let named = Unfit::Gone("x.dev/v1beta1".to_owned());
        for (version, gone, others) in
            [("x.dev/v1beta1", true, true), ("x.dev/v1", false, false), ("x.dev/v2", false, true)]
        {
            assert_eq!(named.is(version, "x.dev/v1"), gone, "{version}");
            assert_eq!(Unfit::Others.is(version, "x.dev/v1"), others, "{version}");
        }
    }
}
