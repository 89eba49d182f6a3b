//! One kind as the cluster has it: the store that a watch fills, and our own writes that the watch has yet to show.

use std::{fmt::Debug, future::Future, sync::Arc};

use kube::{
    Api, Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;

use crate::{
    latest::LatestWrites,
    watch::{WatchChange, lean, reflect},
};

/// All objects of one kind that a watch follows. Clones share them.
pub struct Cache<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    written: Arc<LatestWrites<K>>,
    /// Without managed fields, also in our own writes.
    is_lean: bool,
}

impl<K: Resource<DynamicType = ()> + 'static> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), written: Arc::clone(&self.written), is_lean: self.is_lean }
    }
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// A cache, and the task that fills it. `on` hears of each change once the cache has taken it in.
    pub fn follow(
        api: Api<K>,
        config: watcher::Config,
        on: impl FnMut(WatchChange<'_, K>) + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (store, task) = reflect(api, config, on);
        (Self { store, written: Arc::default(), is_lean: false }, task)
    }

    /// As [`Self::follow`], without managed fields, which are larger than all else in a small object.
    pub fn follow_lean(
        api: Api<K>,
        config: watcher::Config,
        on: impl FnMut(WatchChange<'_, K>) + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (store, task) = lean::reflect(api, config, on);
        (Self { store, written: Arc::default(), is_lean: true }, task)
    }

    /// Resolves when everything has been listed once.
    pub async fn synced(&self) {
        // A writer is dropped only with the whole process.
        let _ = self.store.wait_until_ready().await;
    }

    /// The object of a cluster-scoped kind.
    pub fn get(&self, name: &str) -> Option<Arc<K>> {
        self.find(&ObjectRef::new(name))
    }

    /// The object of a namespaced kind.
    pub fn get_in(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.find(&ObjectRef::new(name).within(namespace))
    }

    fn find(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(reference).map(|seen| self.written.newest(seen))
    }

    /// Every object as the watch has shown it, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// Those of [`Cache::all`] that meet a condition, as new as [`Cache::get`] has them.
    pub fn filter(&self, meets: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let found = self.store.state_filter(|object| meets(object));
        found.into_iter().map(|seen| self.written.newest(seen)).collect()
    }

    /// Remembers what a write returned.
    pub fn wrote(&self, mut object: K) {
        if self.is_lean {
            object.meta_mut().managed_fields = None;
        }
        self.written.wrote(object);
    }
}
