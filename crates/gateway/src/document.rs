//! Schema documents: the API of a cluster, in either of the two shapes that listeners write.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::names;

/// A document without its connection metadata.
#[derive(Debug, Deserialize)]
pub struct Document {
    #[serde(default)]
    definitions: BTreeMap<String, Definition>,
    #[serde(default)]
    components: Components,
}

#[derive(Debug, Default, Deserialize)]
struct Components {
    #[serde(default)]
    schemas: BTreeMap<String, Definition>,
}

/// One schema.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Definition {
    /// The name of its type, if it has one.
    #[serde(rename = "type")]
    pub kind: Option<TypeWord>,
    /// The format, such as `int64`.
    pub format: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The definition that takes its place.
    #[serde(rename = "$ref")]
    pub reference: Option<String>,
    /// Alternatives, of which the first may be a reference.
    #[serde(rename = "allOf")]
    pub all_of: Vec<Self>,
    /// The fields of an object.
    pub properties: BTreeMap<String, Self>,
    /// The entries of an array.
    pub items: Option<Box<Self>>,
    /// The values of a map.
    #[serde(rename = "additionalProperties")]
    pub additional: Option<Additional>,
    /// `true` if fields without a schema are kept.
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub preserves_unknown: bool,
    /// `true` for a number or a string.
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub int_or_string: bool,
    /// The kinds that it describes.
    #[serde(rename = "x-kubernetes-group-version-kind")]
    pub kinds: Vec<KindName>,
    /// `Namespaced` or `Cluster`.
    #[serde(rename = "x-kubernetes-scope")]
    pub scope: Option<String>,
    /// The categories, such as `all`.
    #[serde(rename = "x-kubernetes-categories")]
    pub categories: Vec<String>,
    /// The name of the resource in paths.
    #[serde(rename = "x-kubernetes-plural")]
    pub plural: Option<String>,
    /// The verbs that the API server accepts.
    #[serde(rename = "x-kubernetes-verbs")]
    pub verbs: Option<Vec<String>>,
    /// The subresources, such as `status`.
    #[serde(rename = "x-kubernetes-subresources")]
    pub subresources: Option<Vec<String>>,
}

/// The name of a type; OpenAPI 3.1 allows several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TypeWord {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// The values of a map: of one type, or anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    /// `true` if anything is allowed.
    Any(#[expect(dead_code, reason = "it tells a word from a type")] bool),
    /// Of this type.
    Of(Box<Definition>),
}

/// Group, version and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct KindName {
    /// The group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Pod`.
    pub kind: String,
}

/// A served kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResource {
    /// Its name.
    pub name: KindName,
    /// The definition that describes it.
    pub definition: String,
    /// The name of the resource in paths.
    pub plural: String,
    /// `true` if its objects have a namespace.
    pub is_namespaced: bool,
    /// The categories, such as `all`.
    pub categories: Vec<String>,
    /// The accepted verbs. If none are known, all of them.
    verbs: Option<Vec<String>>,
    /// Its subresources, if they are known.
    subresources: Option<Vec<String>>,
}

impl ApiResource {
    /// Returns `true` if the API server accepts a verb.
    pub fn takes(&self, verb: &str) -> bool {
        self.verbs.as_ref().is_none_or(|verbs| verbs.iter().any(|known| known == verb))
    }

    /// Returns `true` if it has a subresource. If subresources are not known, returns `otherwise`.
    pub fn has(&self, subresource: &str, otherwise: bool) -> bool {
        let has = |known: &Vec<String>| {
            known.iter().any(|name| name == subresource || name.ends_with(&format!("/{subresource}")))
        };
        self.subresources.as_ref().map_or(otherwise, has)
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> Cow<'_, str> {
        let KindName { group, version, .. } = &self.name;
        if group.is_empty() { Cow::Borrowed(version) } else { Cow::Owned(format!("{group}/{version}")) }
    }
}

/// A document that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// It is not a document.
    #[error("it is not a schema document")]
    Json(#[from] serde_json::Error),
    /// It describes no kind.
    #[error(
        "it describes no kind: expected definitions with x-kubernetes-group-version-kind and x-kubernetes-scope"
    )]
    Empty,
}

impl Document {
    /// Reads the bytes of a document.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The definition of a name.
    pub fn definition(&self, name: &str) -> Option<&Definition> {
        self.definitions.get(name).or_else(|| self.components.schemas.get(name))
    }

    /// The definition of a name, and the name as the document has it.
    pub fn entry(&self, name: &str) -> Option<(&str, &Definition)> {
        let entry =
            self.definitions.get_key_value(name).or_else(|| self.components.schemas.get_key_value(name));
        entry.map(|(name, definition)| (name.as_str(), definition))
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Definition)> {
        self.definitions.iter().chain(&self.components.schemas)
    }

    /// Every served kind, by name.
    pub fn resources(&self) -> Result<BTreeMap<KindName, ApiResource>, InvalidDocument> {
        let says_plural = self.all().any(|(_, definition)| definition.plural.is_some());
        let says_scope = self.all().any(|(_, definition)| definition.scope.is_some());
        let is_served = |definition: &Definition| match (says_plural, says_scope) {
            (true, _) => definition.plural.is_some(),
            (false, true) => definition.scope.is_some(),
            // The oldest documents have neither; then a kind is whatever has the metadata of an object.
            (false, false) => Self::has_object_metadata(definition),
        };
        let served = self.all().filter(|(_, definition)| is_served(definition) && !Self::is_list(definition));
        let resources: BTreeMap<_, _> =
            served.filter_map(|(name, definition)| resource(name, definition)).collect();
        if resources.is_empty() { Err(InvalidDocument::Empty) } else { Ok(resources) }
    }

    /// Recognizes a list by its fields, since the name of a kind may end in `List`, too.
    fn is_list(definition: &Definition) -> bool {
        let metadata = definition.properties.get("metadata").and_then(Definition::target);
        definition.properties.contains_key("items") && metadata.is_some_and(|name| name.contains("ListMeta"))
    }

    fn has_object_metadata(definition: &Definition) -> bool {
        let metadata = definition.properties.get("metadata").and_then(Definition::target);
        metadata.is_some_and(|name| name.contains("ObjectMeta"))
    }
}

fn resource(name: &str, definition: &Definition) -> Option<(KindName, ApiResource)> {
    let [kind] = definition.kinds.as_slice() else { return None };
    if !names::is_natural(&kind.kind) || !names::is_natural(&names::sanitized(&kind.version)) {
        return None;
    }
    let scope = definition.scope.as_deref().unwrap_or_else(|| usual_scope(kind));
    let resource = ApiResource {
        name: kind.clone(),
        definition: name.to_owned(),
        plural: definition.plural.clone().unwrap_or_else(|| names::guessed_resource(&kind.kind)),
        is_namespaced: !scope.eq_ignore_ascii_case("cluster"),
        categories: definition.categories.clone(),
        verbs: definition.verbs.clone(),
        subresources: definition.subresources.clone(),
    };
    Some((kind.clone(), resource))
}

/// The scope of a built-in kind, for documents without scopes.
fn usual_scope(kind: &KindName) -> &'static str {
    const OF_THE_CLUSTER: [&str; 24] = [
        "Node",
        "Namespace",
        "PersistentVolume",
        "ComponentStatus",
        "ClusterRole",
        "ClusterRoleBinding",
        "StorageClass",
        "VolumeAttachment",
        "CSIDriver",
        "CSINode",
        "PriorityClass",
        "RuntimeClass",
        "IngressClass",
        "APIService",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "CertificateSigningRequest",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "ClusterAccess",
        "VolumeAttributesClass",
    ];
    if OF_THE_CLUSTER.contains(&kind.kind.as_str()) { "Cluster" } else { "Namespaced" }
}

impl Definition {
    /// The name of the definition that takes its place.
    pub fn target(&self) -> Option<&str> {
        let reference = self.reference.as_deref().or_else(|| self.all_of.first()?.target())?;
        // A JSON pointer spells a slash in a name as `~1`; names of definitions have none.
        Some(reference.rsplit('/').next().unwrap_or(reference))
    }

    /// The name of its only type.
    pub fn word(&self) -> Option<&str> {
        match self.kind.as_ref()? {
            TypeWord::One(word) => Some(word),
            TypeWord::Several(words) => {
                let mut real = words.iter().filter(|word| *word != "null");
                let first = real.next()?;
                real.next().is_none().then_some(first.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn foo(reference: &serde_json::Value) -> serde_json::Value {
        json!({"type": "object", "properties": {"metadata": reference, "spec": {"type": "object", "properties": {"n": {"type": "integer"}}}},
            "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "Foo"}],
            "x-kubernetes-scope": "Namespaced", "x-kubernetes-categories": ["all"]})
    }

    #[test]
    fn both_shapes_are_read() {
        let head = json!({"components": {"schemas": {"io.x.v1.Foo": foo(&json!({"allOf": [{"$ref": "io.k8s.meta.v1.ObjectMeta"}]}))}}});
        let document = json!({"definitions": {"io.x.v1.Foo": foo(&json!({"$ref": "#/definitions/io.k8s.meta.v1.ObjectMeta"}))}});
        for shape in [head, document] {
            let read = Document::read(shape.to_string().as_bytes()).unwrap();
            let resources = read.resources().unwrap();
            let resource = resources.values().next().unwrap();
            assert_eq!(
                (resource.plural.as_str(), resource.is_namespaced, &*resource.api_version()),
                ("foos", true, "x.io/v1")
            );
            let metadata = &read.definition("io.x.v1.Foo").unwrap().properties["metadata"];
            assert_eq!(metadata.target(), Some("io.k8s.meta.v1.ObjectMeta"));
        }
    }

    #[test]
    fn what_the_listener_adds_counts() {
        let mut full = foo(&json!({}));
        full["x-kubernetes-plural"] = json!("fooz");
        full["x-kubernetes-verbs"] = json!(["create"]);
        full["x-kubernetes-subresources"] = json!(["status"]);
        let list = json!({"properties": {"items": {}, "metadata": {"$ref": "#/definitions/m.ListMeta"}}, "x-kubernetes-plural": "x",
            "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "FooList"}]});
        let read = Document::read(
            json!({"definitions": {"a": full, "b": foo(&json!({})), "c": list}}).to_string().as_bytes(),
        )
        .unwrap();
        let resources = read.resources().unwrap();
        let resource = resources.values().next().unwrap();
        assert_eq!((resources.len(), resource.plural.as_str()), (1, "fooz"));
        assert!(
            resource.takes("create")
                && !resource.takes("list")
                && resource.has("status", false)
                && !resource.has("scale", true)
        );
    }

    #[test]
    fn what_describes_nothing_is_refused() {
        for text in ["{}", "{\"definitions\":{}}"] {
            assert!(matches!(
                Document::read(text.as_bytes()).unwrap().resources(),
                Err(InvalidDocument::Empty)
            ));
        }
        assert!(Document::read(b"{\"definitions\":").is_err());
    }
}
