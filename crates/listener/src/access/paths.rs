//! Ownership of paths: if several ClusterAccesses want the same, the oldest gets it.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt as _;
use portolan_core::api::gateway::{ClusterAccess, check_path};

/// The ClusterAccess that has each path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathOwners(BTreeMap<String, String>);

impl PathOwners {
    /// Decides for all ClusterAccesses.
    pub fn of(accesses: &[Arc<ClusterAccess>]) -> Self {
        let mut owners: BTreeMap<String, &Arc<ClusterAccess>> = BTreeMap::new();
        for access in accesses.iter().filter(|access| is_there(access)) {
            let path = access.path().into_owned();
            if check_path(&path).is_err() {
                continue;
            }
            owners
                .entry(path)
                .and_modify(|owner| {
                    if age(access) < age(owner) {
                        *owner = access;
                    }
                })
                .or_insert(access);
        }
        Self(owners.into_iter().map(|(path, owner)| (path, owner.name_any())).collect())
    }

    /// The owner of a path.
    pub fn owner(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The path of each ClusterAccess that has one.
    pub fn by_access(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(path, owner)| (owner.clone(), path.clone())).collect()
    }
}

/// Returns `false` for one that is being deleted, even if a finalizer holds it back.
pub fn is_there(access: &ClusterAccess) -> bool {
    access.metadata.deletion_timestamp.is_none()
}

fn age(access: &ClusterAccess) -> (Option<jiff::Timestamp>, String) {
    (access.creation_timestamp().map(|time| time.0), access.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(name: &str, path: &str, created: &str, deleted: bool) -> Arc<ClusterAccess> {
        let mut value = json!({
            "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess",
            "metadata": {"name": name, "creationTimestamp": created}, "spec": {"path": path},
        });
        if deleted {
            value["metadata"]["deletionTimestamp"] = created.into();
        }
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn of_two_with_one_path_the_older_serves_until_it_goes() {
        let old = |deleted| access("z", "p", "2026-01-01T00:00:00Z", deleted);
        let new = access("a", "p", "2026-01-02T00:00:00Z", false);
        assert_eq!(PathOwners::of(&[Arc::clone(&new), old(false)]).owner("p"), Some("z"));
        assert_eq!(PathOwners::of(&[old(true), Arc::clone(&new)]).owner("p"), Some("a"));
        let twin = access("b", "p", "2026-01-02T00:00:00Z", false);
        assert_eq!(PathOwners::of(&[twin, new]).owner("p"), Some("a"), "the name decides between twins");
        let reserved = access("c", "graphql", "2026-01-02T00:00:00Z", false);
        assert_eq!(PathOwners::of(&[reserved]), PathOwners::default());
    }
}
