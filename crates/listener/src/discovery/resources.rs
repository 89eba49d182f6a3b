//! Aggregated discovery: the resources of every group-version, with scope, verbs, categories and subresources.

use std::collections::BTreeMap;

use portolan_core::{digest::sha256_hex, object::or_default};
use serde::{Deserialize, Serialize};

use super::index::MAX_GROUP_VERSIONS;

/// The accepted versions; older API servers know the second one only.
pub const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The resources of a cluster by group-version.
#[derive(Clone, Debug, Default)]
pub struct ClusterResources(pub BTreeMap<String, GroupVersion>);

/// One group-version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVersion {
    pub group: String,
    pub version: String,
    /// `true` if the API server prefers this version of the group.
    pub preferred: bool,
    /// `true` if the API server could not reach the extension that serves it.
    pub stale: bool,
    /// By kind.
    pub kinds: BTreeMap<String, KindResource>,
}

/// A kind and its resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindResource {
    pub plural: String,
    pub singular: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
}

#[derive(Deserialize)]
struct DiscoveryList {
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<GroupDiscovery>,
}

#[derive(Deserialize)]
struct GroupDiscovery {
    #[serde(default, deserialize_with = "or_default")]
    metadata: GroupMetadata,
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<VersionDiscovery>,
}

#[derive(Default, Deserialize)]
struct GroupMetadata {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
}

#[derive(Deserialize)]
struct VersionDiscovery {
    #[serde(rename = "version")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    freshness: String,
    #[serde(default, deserialize_with = "or_default")]
    resources: Vec<ResourceDiscovery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDiscovery {
    #[serde(rename = "resource")]
    plural: String,
    #[serde(default, deserialize_with = "or_default")]
    response_kind: ResponseKind,
    #[serde(default, deserialize_with = "or_default")]
    scope: String,
    #[serde(default, rename = "singularResource", deserialize_with = "or_default")]
    singular: String,
    #[serde(default, deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    short_names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    categories: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    subresources: Vec<SubresourceDiscovery>,
}

#[derive(Default, Deserialize)]
struct ResponseKind {
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
}

#[derive(Deserialize)]
struct SubresourceDiscovery {
    subresource: String,
}

/// A response that is not aggregated discovery.
#[derive(Debug, thiserror::Error)]
pub enum NotDiscovery {
    /// It does not have that shape.
    #[error("the answer is not an APIGroupDiscoveryList")]
    Shape(#[source] serde_json::Error),
    /// It comes from an API server without aggregated discovery.
    #[error("the API server answered with {0}: aggregated discovery needs Kubernetes 1.27 or later")]
    Old(String),
    /// It has more than [`MAX_GROUP_VERSIONS`].
    #[error("more than {MAX_GROUP_VERSIONS} group-versions")]
    TooMany,
}

impl ClusterResources {
    /// Reads the response of `/api` or `/apis`.
    pub fn read(bytes: &[u8]) -> Result<Self, NotDiscovery> {
        let list: DiscoveryList = serde_json::from_slice(bytes).map_err(NotDiscovery::Shape)?;
        if list.kind != "APIGroupDiscoveryList" {
            return Err(NotDiscovery::Old(list.kind.chars().take(80).collect()));
        }
        let mut found = BTreeMap::new();
        for GroupDiscovery { metadata, versions } in list.items {
            for (place, version) in versions.into_iter().enumerate() {
                let name = match metadata.name.as_str() {
                    "" => version.name.clone(),
                    group => format!("{group}/{}", version.name),
                };
                found.insert(name, group_version(&metadata.name, version, place == 0));
            }
        }
        if found.len() > MAX_GROUP_VERSIONS { Err(NotDiscovery::TooMany) } else { Ok(Self(found)) }
    }
}

impl GroupVersion {
    /// A hash of everything that gets into the document.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(&(self.preferred, &self.kinds)).unwrap_or_default();
        sha256_hex(&text)
    }
}

fn group_version(group: &str, version: VersionDiscovery, preferred: bool) -> GroupVersion {
    let mut kinds = BTreeMap::new();
    for resource in version.resources {
        let kind = resource.response_kind.kind.clone();
        if !kind.is_empty() {
            kinds.entry(kind).or_insert_with(|| of_resource(resource));
        }
    }
    GroupVersion {
        group: group.to_owned(),
        version: version.name,
        preferred,
        stale: version.freshness == "Stale",
        kinds,
    }
}

fn of_resource(resource: ResourceDiscovery) -> KindResource {
    let mut subresources: Vec<_> =
        resource.subresources.into_iter().map(|subresource| subresource.subresource).collect();
    let (mut verbs, mut categories) = (resource.verbs, resource.categories);
    subresources.sort_unstable();
    verbs.sort_unstable();
    categories.sort_unstable();
    KindResource {
        plural: resource.plural,
        singular: resource.singular,
        namespaced: resource.scope == "Namespaced",
        verbs,
        subresources,
        short_names: resource.short_names,
        categories,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_found_by_group_version_and_kind() {
        let wire = json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "freshness": "Current", "resources": [{
                "resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "scope": "Namespaced", "singularResource": "deployment", "verbs": ["watch", "get"],
                "shortNames": ["deploy"], "categories": ["all"],
                "subresources": [{"subresource": "status", "verbs": ["get"]}, {"subresource": "scale"}],
            }]},
            {"version": "v1beta1", "freshness": "Stale", "resources": null},
        ]}]});
        let resources = ClusterResources::read(wire.to_string().as_bytes()).unwrap();
        let found = &resources.0["apps/v1"];
        assert!(found.preferred && !found.stale);
        let deployment = &found.kinds["Deployment"];
        assert_eq!((deployment.plural.as_str(), deployment.namespaced), ("deployments", true));
        assert_eq!(deployment.verbs, ["get", "watch"]);
        assert_eq!(deployment.subresources, ["scale", "status"]);
        assert!(resources.0["apps/v1beta1"].stale && !resources.0["apps/v1beta1"].preferred);
    }

    #[test]
    fn answers_of_another_kind_are_refused() {
        let old = ClusterResources::read(br#"{"kind":"APIGroupList","groups":[]}"#).unwrap_err();
        assert!(old.to_string().contains("APIGroupList"), "{old}");
        assert!(matches!(ClusterResources::read(b"[]"), Err(NotDiscovery::Shape(_))));
    }
}
