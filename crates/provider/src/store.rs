//! Caches whose changes become news for the queues.

use std::fmt::Debug;

use kube::{Api, Resource, runtime::watcher};
use portolan_runtime::{cache::Cache, tasks::Tasks, telemetry::ErrorChain, watch::WatchChange};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use crate::queues::ClusterChange;

/// Follows a kind. `change` says whom an object concerns, and is told whether the object is gone.
pub fn follow<K>(
    tasks: &Tasks,
    api: Api<K>,
    config: watcher::Config,
    changes: &UnboundedSender<ClusterChange>,
    change: impl Fn(&K, bool) -> Option<ClusterChange> + Send + 'static,
) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let changes = changes.clone();
    let (cache, task) = Cache::follow(api, config, move |changed: WatchChange<'_, K>| {
        let change = match changed {
            WatchChange::Applied(object) => change(object, false),
            WatchChange::Deleted(object) => change(object, true),
            WatchChange::Relisted => Some(ClusterChange::Everything),
            WatchChange::Failed(error) => {
                return warn!(kind = %K::kind(&()), "watch failed: {}", ErrorChain(error));
            }
        };
        // Nobody listens any more when the process is_terminating.
        let _ = change.map(|change| changes.send(change));
    });
    tasks.spawn_critical("watch", task);
    cache
}
