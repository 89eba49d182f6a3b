//! Caches of the kinds in a contract namespace, and the streams of their changes.

use kube::{Api, Client, Resource, ResourceExt as _, runtime::watcher};
use portolan_core::api::kubebind::ANNOTATION_REPLACED;
use portolan_runtime::{
    cache::Cache,
    tasks::Tasks,
    watch::{LARGE_PAGE, WatchChange},
};
use serde::de::DeserializeOwned;

use super::contact::ProviderContact;

/// A change of one kind on the provider.
pub(super) enum ProviderChange {
    Applied,
    Deleted {
        name: String,
        /// It is recreated at once.
        is_replaced: bool,
    },
    Relisted,
    Failed(ProviderContact),
}

pub(super) struct CacheStarter {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) tasks: Tasks,
}

impl CacheStarter {
    /// Starts a cache of one kind in the contract namespace, and the stream of its changes.
    pub(super) fn reflect<K>(&self) -> (Cache<K>, futures::channel::mpsc::UnboundedReceiver<ProviderChange>)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let (sender, changes) = futures::channel::mpsc::unbounded();
        let config = watcher::Config::default().page_size(LARGE_PAGE);
        let (cache, task) = Cache::follow(api, config, move |change: WatchChange<'_, K>| {
            let change = match change {
                WatchChange::Applied(_) => ProviderChange::Applied,
                WatchChange::Deleted(object) => ProviderChange::Deleted {
                    name: object.name_any(),
                    is_replaced: object.annotations().contains_key(ANNOTATION_REPLACED),
                },
                WatchChange::Relisted => ProviderChange::Relisted,
                WatchChange::Failed(error) => match failure(error) {
                    Some(contact) => ProviderChange::Failed(contact),
                    None => return,
                },
            };
            // Nobody listens any more when the session has ended.
            let _ = sender.unbounded_send(change);
        });
        self.tasks.spawn("provider watch", task);
        (cache, changes)
    }
}

/// The failure that keeps us from watching. A stream that merely ended is none: it is restarted at once.
fn failure(error: &watcher::Error) -> Option<ProviderContact> {
    match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) => {
            Some(ProviderContact::of(e))
        }
        watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}
