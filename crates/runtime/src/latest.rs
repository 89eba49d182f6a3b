//! Our own writes, until the watch has caught up with them.
//!
//! A reconcile that follows right after a write would otherwise see the object as it was before, and write
//! it again.

use std::{collections::HashMap, sync::Arc};

use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use parking_lot::Mutex;

/// The newest versions that writes have returned, by namespace and name.
#[derive(Debug)]
pub struct Latest<K>(Mutex<HashMap<Place, Written<K>>>);

/// What a write has returned.
#[derive(Debug)]
struct Written<K> {
    object: Arc<K>,
    /// A list has begun since, which holds it, or what has come after it.
    is_listed: bool,
}

/// Namespace and name.
type Place = (Option<String>, String);

impl<K> Default for Latest<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> Latest<K> {
    /// Remembers what a write returned.
    pub fn wrote(&self, object: K) {
        let place = (object.namespace(), object.name_any());
        self.0.lock().insert(place, Written { object: Arc::new(object), is_listed: false });
    }

    /// Takes in that a list begins.
    pub fn list_begins(&self) {
        self.0.lock().values_mut().for_each(|written| written.is_listed = true);
    }

    /// Takes in that the list is complete: whatever was written before it began is in it, or is no more. Versions do not
    /// tell, since they run backwards where a backup was restored.
    pub fn list_ends(&self) {
        self.0.lock().retain(|_, written| !written.is_listed);
    }

    /// The newer of what the watch has seen and what we wrote. What we wrote is forgotten once it is seen.
    pub fn newest(&self, seen: Arc<K>) -> Arc<K> {
        let key = (seen.namespace(), seen.name_any());
        let mut written = self.0.lock();
        match written.get(&key) {
            Some(Written { object: ours, .. })
                if ours.uid() == seen.uid() && version(ours.meta()) > version(seen.meta()) =>
            {
                Arc::clone(ours)
            }
            Some(_) => {
                written.remove(&key);
                seen
            }
            None => seen,
        }
    }
}

/// A resource version as a number. The API server promises that they can be compared within a resource
/// (KEP-5504); one that is no number counts as the newest.
pub fn version(metadata: &ObjectMeta) -> u128 {
    metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(uid: &str, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some("a".to_owned()),
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn the_newer_version_counts_and_another_object_is_another() {
        let latest = Latest::default();
        latest.wrote(object("1", "10"));
        let newest = |uid, version| latest.newest(Arc::new(object(uid, version))).resource_version().unwrap();
        assert_eq!(newest("1", "9"), "10");
        assert_eq!(newest("1", "100"), "100");
        assert_eq!(newest("1", "9"), "9", "forgotten once it was seen");
        latest.wrote(object("1", "10"));
        assert_eq!(newest("2", "5"), "5");
    }

    #[test]
    fn a_list_that_begins_later_counts_whatever_its_versions_are() {
        let latest = Latest::default();
        let newest = |version| latest.newest(Arc::new(object("1", version))).resource_version().unwrap();
        latest.wrote(object("1", "10"));
        latest.list_begins();
        assert_eq!(newest("5"), "10", "the list is not complete");
        latest.list_ends();
        assert_eq!(newest("5"), "5");
        latest.list_begins();
        latest.wrote(object("1", "10"));
        latest.list_ends();
        assert_eq!(newest("5"), "10", "written after the list began");
    }
}
