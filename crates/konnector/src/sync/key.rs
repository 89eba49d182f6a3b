//! The name by which both sides of an object are known.

use kube::{ResourceExt as _, api::DynamicObject};

/// The place of an object on the consumer. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    pub namespace: String,
    pub name: String,
}

pub(super) fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
