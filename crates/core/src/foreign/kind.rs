//! A kind of others: its names, and how its facts are read.

use std::fmt::Debug;

use kube::api::ObjectMeta;
use serde_json::Value;

/// The API group of routes and gateways.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// A kind of somebody else.
pub trait ForeignKind: Clone + Debug + Send + Sync + 'static {
    /// Its API group.
    const GROUP: &'static str;
    /// The version that is read.
    const VERSION: &'static str;
    /// Its name.
    const KIND: &'static str;
    /// Its name in paths.
    const PLURAL: &'static str;
    /// The facts that are kept of an object.
    type Facts: Clone + Debug + Send + Sync + 'static;

    /// Reads an object. What makes no sense is a fact, too.
    fn read(metadata: &ObjectMeta, spec: &Value, status: &Value) -> Self::Facts;

    /// The metadata that is kept: what tells objects apart, and their age.
    fn kept(metadata: ObjectMeta) -> ObjectMeta {
        let ObjectMeta { name, namespace, uid, resource_version, generation, creation_timestamp, .. } =
            metadata;
        ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            ..ObjectMeta::default()
        }
    }
}

/// A text member, empty if it is absent or no text.
pub(super) fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// The status of a condition and its reason.
pub(super) fn condition<'a>(conditions: &'a Value, r#type: &str) -> Option<(&'a str, &'a str)> {
    let found = conditions.as_array()?.iter().find(|condition| condition["type"] == r#type)?;
    Some((found["status"].as_str()?, found["reason"].as_str().unwrap_or_default()))
}
