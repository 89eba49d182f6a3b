//! Our own writes, until the watch has caught up with them.
//!
//! A reconcile that follows right after a write would otherwise see the object as it was before, and write
//! it again. What no watch has shown for long is not believed any more: versions run backwards when a backup is
//! restored. Nor is it kept: nobody asks again for an object that is deleted meanwhile.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Time that a watch may lag behind a write.
const LAG: Duration = Duration::from_secs(30);

/// The newest versions that writes have returned, by namespace and name.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use k8s_openapi::api::core::v1::ConfigMap;
/// use portolan_runtime::latest::LatestWrites;
///
/// let of_version = |version: &str| {
///     let mut object = ConfigMap::default();
///     object.metadata.name = Some("a".to_owned());
///     object.metadata.resource_version = Some(version.to_owned());
///     object
/// };
/// let latest = LatestWrites::default();
/// latest.wrote(of_version("8"));
/// let newest = latest.newest(Arc::new(of_version("7")));
/// assert_eq!(newest.metadata.resource_version.as_deref(), Some("8"));
/// ```
#[derive(Debug)]
pub struct LatestWrites<K>(Mutex<Written<K>>);

#[derive(Debug)]
struct Written<K> {
    objects: HashMap<Place, (Arc<K>, Instant)>,
    /// When what is too old was last dropped.
    swept: Instant,
}

/// Namespace and name.
type Place = (Option<String>, String);

impl<K> Default for LatestWrites<K> {
    fn default() -> Self {
        Self(Mutex::new(Written { objects: HashMap::new(), swept: Instant::now() }))
    }
}

impl<K: Resource> LatestWrites<K> {
    /// Remembers what a write returned.
    pub fn wrote(&self, object: K) {
        let mut written = self.0.lock();
        if written.swept.elapsed() >= LAG {
            written.objects.retain(|_, (_, at)| at.elapsed() < LAG);
            written.swept = Instant::now();
        }
        written.objects.insert((object.namespace(), object.name_any()), (Arc::new(object), Instant::now()));
    }

    /// The newer of what the watch has seen and what we wrote. What we wrote is forgotten once it is seen.
    pub fn newest(&self, seen: Arc<K>) -> Arc<K> {
        let written = &mut self.0.lock().objects;
        // Most of the time nothing is on its way, and nobody has to look for a name.
        if written.is_empty() {
            return seen;
        }
        let key = (seen.namespace(), seen.name_any());
        match written.get(&key) {
            Some((ours, at))
                if ours.uid() == seen.uid()
                    && version(ours.meta()) > version(seen.meta())
                    && at.elapsed() < LAG =>
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

    #[tokio::test(start_paused = true)]
    async fn what_no_watch_has_shown_for_long_is_not_believed() {
        let latest = LatestWrites::default();
        latest.wrote(object("1", "10"));
        let newest = || latest.newest(Arc::new(object("1", "9"))).resource_version().unwrap();
        assert_eq!(newest(), "10");
        tokio::time::advance(LAG).await;
        assert_eq!(newest(), "9", "a restored backup, perhaps");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_again_is_not_kept() {
        let latest = LatestWrites::default();
        latest.wrote(object("1", "10"));
        tokio::time::advance(LAG).await;
        let mut other = object("2", "11");
        other.metadata.name = Some("b".to_owned());
        latest.wrote(other);
        let kept: Vec<_> = latest.0.lock().objects.keys().map(|(_, name)| name.clone()).collect();
        assert_eq!(kept, ["b"]);
    }

    #[test]
    fn the_newer_version_counts_and_another_object_is_another() {
        let latest = LatestWrites::default();
        latest.wrote(object("1", "10"));
        let newest = |uid, version| latest.newest(Arc::new(object(uid, version))).resource_version().unwrap();
        assert_eq!(newest("1", "9"), "10");
        assert_eq!(newest("1", "100"), "100");
        assert_eq!(newest("1", "9"), "9", "forgotten once it was seen");
        latest.wrote(object("1", "10"));
        assert_eq!(newest("2", "5"), "5");
    }
}
