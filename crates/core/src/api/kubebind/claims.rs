//! Permission claims: objects beside the bound resources that a provider asks for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim of the provider on objects that belong to a bound service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct PermissionClaim {
    /// API group of the claimed resource, empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Plural name of the claimed resource: configmaps, secrets or serviceaccounts.
    pub resource: String,
    /// The claimed objects. An object is claimed when any part of the selector chooses it.
    pub selector: ClaimSelector,
}

/// Chooses claimed objects. An empty selector chooses none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSelector {
    /// Objects with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Objects by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_resources: Vec<NamedResource>,
    /// Objects that bound objects refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<ResourceReference>,
}

/// A label query, as `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement of a label query.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label key.
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: String,
    /// The values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// An object by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct NamedResource {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; any when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The places at which bound objects name the objects that they need.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceReference {
    /// API group of the referring resource.
    #[serde(default)]
    pub group: String,
    /// Plural name of the referring resource.
    pub resource: String,
    /// Versions of the referring resource; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Paths of the name and the namespace in the referring object.
    pub json_path: ReferencePaths,
}

/// Paths in gjson syntax, for example `spec.secretRefs.#.name`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct ReferencePaths {
    /// Path of the name.
    pub name: String,
    /// Path of the namespace; the referring object's own when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
