//! Stores of the kinds in a contract namespace, and the streams of their changes.

use std::sync::Arc;

use kube::{
    Api, Client, Resource,
    runtime::{reflector::Store, watcher},
};
use portolan_runtime::{
    latest::Latest,
    tasks::Tasks,
    watch::{Changed, reflect},
};
use serde::de::DeserializeOwned;

use super::contact::Contact;

/// What happened to one kind on the provider.
pub(super) enum Change {
    Applied,
    Deleted(String),
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
    pub(super) fn reflect<K>(
        &self,
        written: &Arc<Latest<K>>,
    ) -> (Store<K>, futures::channel::mpsc::UnboundedReceiver<Change>)
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
        let (store, task) =
            reflect(api, watcher::Config::default(), Arc::clone(written), move |change: Changed<'_, K>| {
                let change = match change {
                    Changed::Applied(_) => Change::Applied,
                    Changed::Deleted(object) => {
                        Change::Deleted(object.meta().name.clone().unwrap_or_default())
                    }
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
