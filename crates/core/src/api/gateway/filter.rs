//! The filter for the kinds of a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of a schema document. Types that they refer to come along, without being served themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SchemaFilter {
    /// Selectors, of which one has to match.
    #[schemars(length(min = 1, max = 256))]
    pub include: Vec<KindSelector>,
}

/// Kinds of one API group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct KindSelector {
    /// The API group; empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Versions of the group. If empty, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub versions: Vec<String>,
    /// Kinds of the group, such as `Deployment`. If empty, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub kinds: Vec<String>,
}

impl SchemaFilter {
    /// Returns `true` if a kind is served.
    pub fn selects(&self, group: &str, version: &str, kind: &str) -> bool {
        self.include.iter().any(|selector| selector.selects(group, version, kind))
    }

    /// Returns `true` if some kinds of a group-version may be served.
    pub fn touches(&self, group: &str, version: &str) -> bool {
        self.include.iter().any(|selector| selector.group == group && is_named(&selector.versions, version))
    }
}

impl KindSelector {
    fn selects(&self, group: &str, version: &str, kind: &str) -> bool {
        self.group == group && is_named(&self.versions, version) && is_named(&self.kinds, kind)
    }
}

/// Returns `true` if a list has an item, or is empty and so stands for everything.
fn is_named(list: &[String], item: &str) -> bool {
    list.is_empty() || list.iter().any(|named| named == item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_selected_by_group_version_and_kind() {
        let filter: SchemaFilter = serde_json::from_value(json!({"include": [
            {"kinds": ["ConfigMap"]},
            {"group": "apps", "versions": ["v1"]},
        ]}))
        .unwrap();
        let table = [
            (("", "v1", "ConfigMap"), true),
            (("", "v1", "Secret"), false),
            (("apps", "v1", "Deployment"), true),
            (("apps", "v1beta1", "Deployment"), false),
            (("batch", "v1", "Job"), false),
        ];
        for ((group, version, kind), expected) in table {
            assert_eq!(filter.selects(group, version, kind), expected, "{group}/{version} {kind}");
        }
        assert!(filter.touches("", "v1") && filter.touches("apps", "v1"));
        assert!(!filter.touches("apps", "v1beta1") && !filter.touches("batch", "v1"));
    }
}
