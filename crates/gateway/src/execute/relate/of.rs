//! Pure: what an object says of others, and of why it belongs to them. It is written beside what is selected.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The facts of an object. Only its metadata are certain to be valid: the rest is read as far as possible.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ObjectFacts {
    metadata: Option<ObjectMetadata>,
    pub(super) spec: Value,
    #[serde(rename = "involvedObject")]
    involved: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// An owner, as an object names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    controller: Option<bool>,
}

impl ObjectFacts {
    /// Reads what is written of an object.
    pub(super) fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.metadata.as_ref()?.name.as_deref()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.metadata.as_ref()?.namespace.as_deref().filter(|namespace| !namespace.is_empty())
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.metadata.as_ref()?.uid.as_deref().filter(|uid| !uid.is_empty())
    }

    /// The controller, or else the first owner.
    pub(super) fn owner(&self) -> Option<&OwnerReference> {
        let owners = self.metadata.as_ref()?.owner_references.as_deref().unwrap_or_default();
        owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
    }

    /// The identities of all to whom it belongs.
    pub(super) fn owners(&self) -> impl Iterator<Item = &str> {
        let owners = self.metadata.iter().filter_map(|metadata| metadata.owner_references.as_ref());
        owners.flatten().map(|owner| owner.uid.as_str())
    }

    /// The UID of the object that an Event is about.
    pub(super) fn subject(&self) -> Option<&str> {
        text(&self.involved["uid"])
    }

    /// Its labels.
    pub(super) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.as_ref()?.labels.as_ref()
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// The object that was read last: the gaps of one come one after another.
#[derive(Default)]
pub(super) struct LatestObject {
    at: Option<usize>,
    of: ObjectFacts,
}

impl LatestObject {
    /// Reads what is written of an object, if that is another one.
    pub(super) fn read(&mut self, json: Option<&[u8]>) -> &ObjectFacts {
        let at = json.map(|json| json.as_ptr().addr());
        if at != self.at {
            (self.at, self.of) = (at, json.map(ObjectFacts::read).unwrap_or_default());
        }
        &self.of
    }
}
