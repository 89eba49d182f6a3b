//! Stores of the kinds in a contract namespace, and the streams of their changes.

use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{reflector::Store, watcher},
};
use portolan_core::api::kubebind::ANNOTATION_REPLACED;
use portolan_runtime::{
    tasks::Tasks,
    watch::{Changed, LARGE_PAGE, reflect},
};
use serde::de::DeserializeOwned;

use super::contact::Contact;

/// What happened to one kind on the provider.
pub(super) enum Change {
    Applied,
    Deleted {
        name: String,
        /// It is made anew at once.
        is_replaced: bool,
    },
    Relisted,
    Failed(Contact),
}

pub(super) struct Starting {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) tasks: Tasks,
}

impl Starting {
    /// Starts a store of one kind in the contract namespace, and the stream of its changes.
    pub(super) fn reflect<K>(&self) -> (Store<K>, futures::channel::mpsc::UnboundedReceiver<Change>)
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
        let (store, task) = reflect(api, config, move |change: Changed<'_, K>| {
            let change = match change {
                Changed::Applied(_) => Change::Applied,
                Changed::Deleted(object) => Change::Deleted {
                    name: object.name_any(),
                    is_replaced: object.annotations().contains_key(ANNOTATION_REPLACED),
                },
                Changed::Relisted => Change::Relisted,
                Changed::Failed(error) => match failure(error) {
                    Some(contact) => Change::Failed(contact),
                    None => return,
                },
            };
            // Nobody listens any more when the session has ended.
            let _ = sender.unbounded_send(change);
        });
        self.tasks.spawn("provider watch", task);
        (store, changes)
    }
}

/// What keeps us from watching. A stream that merely ended does not: it is started anew at once.
fn failure(error: &watcher::Error) -> Option<Contact> {
    match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) => Some(Contact::of(e)),
        watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}
