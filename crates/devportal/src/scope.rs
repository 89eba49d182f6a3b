//! A kind in the namespaces that the controller works in: all of them, or some.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, runtime::watcher};
use portolan_runtime::{cache::Cache, tasks::Tasks, telemetry::ErrorChain, watch::WatchChange};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc::UnboundedSender, watch};
use tracing::warn;

use crate::changes::{ClusterChange, WatchedKind};

/// All objects of a kind that concern us.
#[derive(Clone)]
pub struct ScopedCache<K: Resource<DynamicType = ()> + 'static>(Arc<Vec<NamespaceCache<K>>>);

struct NamespaceCache<K: Resource<DynamicType = ()> + 'static> {
    /// `None` for all namespaces.
    namespace: Option<String>,
    cache: Cache<K>,
    /// `true` once the API server has said that there is no such kind.
    is_unknown: watch::Receiver<bool>,
}

/// The parts that follow every kind.
pub struct KindFollower<'a> {
    pub tasks: &'a Tasks,
    pub client: &'a Client,
    /// Empty for all.
    pub namespaces: &'a [String],
    pub changes: &'a UnboundedSender<ClusterChange>,
}

impl KindFollower<'_> {
    /// Follows a kind. `change` says what an object stands for.
    pub fn follow<K>(
        &self,
        kind: WatchedKind,
        labels: &str,
        change: impl Fn(&K) -> Option<ClusterChange> + Clone + Send + 'static,
    ) -> ScopedCache<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let everywhere: Vec<Option<String>> = if self.namespaces.is_empty() {
            vec![None]
        } else {
            self.namespaces.iter().cloned().map(Some).collect()
        };
        let parts = everywhere.into_iter().map(|namespace| {
            let api = match &namespace {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let (cache, is_unknown) = self.part(api, kind, labels, change.clone());
            NamespaceCache { namespace, cache, is_unknown }
        });
        ScopedCache(Arc::new(parts.collect()))
    }

    fn part<K>(
        &self,
        api: Api<K>,
        kind: WatchedKind,
        labels: &str,
        change: impl Fn(&K) -> Option<ClusterChange> + Send + 'static,
    ) -> (Cache<K>, watch::Receiver<bool>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (unknown, is_unknown) = watch::channel(false);
        let changes = self.changes.clone();
        let config = watcher::Config::default().labels(labels);
        let on = move |changed: WatchChange<'_, K>| {
            let change = match changed {
                WatchChange::Applied(object) | WatchChange::Deleted(object) => change(object),
                WatchChange::Relisted => Some(ClusterChange::Relisted(kind)),
                WatchChange::Failed(error) => {
                    let is_first = unknown.send_replace(is_missing(error)) != is_missing(error);
                    if is_first || !is_missing(error) {
                        warn!(kind = %K::kind(&()), "watch failed: {}", ErrorChain(error));
                    }
                    return;
                }
            };
            // Nobody listens any more when the process ends.
            let _ = change.map(|change| changes.send(change));
        };
        let (cache, task) = Cache::follow_lean(api, config, on);
        self.tasks.spawn_critical("watch", task);
        (cache, is_unknown)
    }
}

/// Returns `true` if there is no such kind yet.
fn is_missing(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

impl<K> ScopedCache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Resolves when everything has been listed once, or there is no such kind.
    pub async fn synced(&self) {
        for part in self.0.iter() {
            let mut is_unknown = part.is_unknown.clone();
            tokio::select! {
                () = part.cache.synced() => {}
                _ = is_unknown.wait_for(|is_unknown| *is_unknown) => {}
            }
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.part(namespace)?.cache.get_in(namespace, name)
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.0.iter().flat_map(|part| part.cache.all()).collect()
    }

    /// Remembers what a write returned.
    pub fn wrote(&self, object: K) {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        if let Some(part) = self.part(&namespace) {
            part.cache.wrote(object);
        }
    }

    fn part(&self, namespace: &str) -> Option<&NamespaceCache<K>> {
        self.0.iter().find(|part| part.namespace.as_deref().is_none_or(|own| own == namespace))
    }
}
