//! A kind as the cluster has it: what the watch has shown, and our own writes that it has yet to show.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use portolan_runtime::{
    latest::Latest,
    tasks::Tasks,
    telemetry::Chain,
    watch::{Changed, reflect},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use crate::queues::{Change, Key};

/// All objects of one kind, or those with a label.
pub(crate) struct Kind<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    written: Latest<K>,
}

impl<K> Kind<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Follows a kind. `change` says whom an object concerns, and is told whether the object is gone.
    pub(crate) fn follow(
        tasks: &Tasks,
        api: Api<K>,
        config: watcher::Config,
        changes: &UnboundedSender<Change>,
        change: impl Fn(&K, bool) -> Option<Change> + Send + 'static,
    ) -> Self {
        let changes = changes.clone();
        let (store, task) = reflect(api, config, move |changed: Changed<'_, K>| {
            let change = match changed {
                Changed::Applied(object) => change(object, false),
                Changed::Deleted(object) => change(object, true),
                Changed::Relisted => Some(Change::Everything),
                Changed::Failed(error) => {
                    return warn!(kind = %K::kind(&()), "watch failed: {}", Chain(error));
                }
            };
            // Nobody listens any more when the process ends.
            let _ = change.map(|change| changes.send(change));
        });
        tasks.spawn_critical("watch", task);
        Self { store, written: Latest::default() }
    }

    pub(crate) async fn synced(&self) {
        // A writer is dropped only with the whole process.
        let _ = self.store.wait_until_ready().await;
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        self.store.get(&reference).map(|seen| self.written.newest(seen))
    }

    pub(crate) fn get_cluster_scoped(&self, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name)).map(|seen| self.written.newest(seen))
    }

    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// Remembers what a write returned.
    pub(crate) fn wrote(&self, object: K) {
        self.written.wrote(object);
    }
}
