//! What tests of memory keep.

use super::object::KeptObject;
use crate::document::{ApiResource, Document};

/// A namespaced kind of version v1.
pub fn resource(group: &str, plural: &str) -> ApiResource {
    let document = serde_json::json!({"definitions": {"a": {
        "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": "Kind"}],
        "x-kubernetes-scope": "Namespaced", "x-kubernetes-plural": plural,
    }}});
    let document = Document::read(document.to_string().as_bytes()).unwrap();
    document.resources().unwrap().into_values().next().unwrap()
}

/// An object of a name, with more members.
pub fn object(key: &str, version: u64, more: &str) -> KeptObject {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    let json = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","resourceVersion":"{version}"}}{more}}}"#
    );
    KeptObject::of(json.as_bytes(), &mut Vec::new()).unwrap()
}
