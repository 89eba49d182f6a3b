//! Who has to look again when something on the consumer changes.

use std::{collections::HashMap, sync::Arc};

use kube::{
    Api, ResourceExt as _,
    runtime::{reflector::Store, watcher},
};
use parking_lot::Mutex;
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, ClusterSecretKeyRef},
    outline::CrdOutline,
};
use portolan_runtime::{
    queue::WorkQueue,
    tasks::Tasks,
    telemetry::Chain,
    watch::{Changed, reflect},
};

use crate::binding::consent::{ACCEPT_CLAIMS, ALLOW_BREAKING};

/// The queues of the controllers, and who in them cares for what.
pub(crate) struct Wake {
    pub(crate) bundles: Arc<WorkQueue<String>>,
    pub(crate) bindings: Arc<WorkQueue<String>>,
    /// CRDs that may have been left to themselves.
    pub(crate) leftovers: Arc<WorkQueue<String>>,
    /// What bundles agree to on behalf of their bindings, by their names.
    pub(crate) agreed: Mutex<HashMap<String, [Option<String>; 2]>>,
    pub(crate) bundle_store: Store<APIServiceBindingBundle>,
    pub(crate) binding_store: Store<APIServiceBinding>,
}

impl Wake {
    /// Everybody who refers to a Secret.
    pub(crate) fn referrers(&self, reference: &ClusterSecretKeyRef) {
        for bundle in self.bundle_store.state().iter().filter(|b| b.spec.kubeconfig_secret_ref == *reference)
        {
            self.bundles.add(bundle.name_any());
        }
        for binding in
            self.binding_store.state().iter().filter(|b| b.spec.kubeconfig_secret_ref == *reference)
        {
            self.bindings.add(binding.name_any());
        }
    }

    pub(crate) fn bundle_changed(&self, change: &Change<APIServiceBindingBundle>) {
        let bundle = change.object();
        self.bundles.add(bundle.name_any());
        let agreed = [ALLOW_BREAKING, ACCEPT_CLAIMS].map(|key| bundle.annotations().get(key).cloned());
        if self.agreed.lock().insert(bundle.name_any(), agreed.clone()) != Some(agreed) {
            let secret = &bundle.spec.kubeconfig_secret_ref;
            for binding in
                self.binding_store.state().iter().filter(|b| b.spec.kubeconfig_secret_ref == *secret)
            {
                self.bindings.add(binding.name_any());
            }
        }
    }

    pub(crate) fn binding_changed(&self, change: &Change<APIServiceBinding>) {
        let binding = change.object();
        self.bindings.add(binding.name_any());
        match change {
            Change::Applied(_) => self.referrers(&binding.spec.kubeconfig_secret_ref),
            // A name that is given up may be what any other bundle waits for.
            Change::Deleted(_) => self.every_bundle(),
        }
    }

    pub(crate) fn crd_changed(&self, change: &Change<CrdOutline>) {
        let crd = change.object();
        self.leftovers.add(crd.name_any());
        for owner in crd.owner_references().iter().filter(|owner| owner.kind == "APIServiceBinding") {
            self.bindings.add(owner.name.clone());
        }
    }

    fn every_bundle(&self) {
        for bundle in self.bundle_store.state() {
            self.bundles.add(bundle.name_any());
        }
    }

    fn everybody(&self) {
        self.every_bundle();
        for binding in self.binding_store.state() {
            self.bindings.add(binding.name_any());
        }
    }
}

/// What happened to an object on the consumer.
pub(crate) enum Change<K> {
    Applied(K),
    Deleted(K),
}

impl<K> Change<K> {
    fn object(&self) -> &K {
        let (Self::Applied(object) | Self::Deleted(object)) = self;
        object
    }
}

/// The changes of one kind on the consumer, for the queues; `None` stands for a fresh list.
pub(crate) struct Changes<K>(tokio::sync::mpsc::UnboundedReceiver<Option<Change<K>>>);

/// Follows a kind on the consumer.
pub(crate) fn store<K>(tasks: &Tasks, api: Api<K>, config: watcher::Config) -> (Store<K>, Changes<K>)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let (store, task) = reflect(api, config, move |change: Changed<'_, K>| {
        let change = match change {
            Changed::Applied(object) => Some(Change::Applied(object.clone())),
            Changed::Deleted(object) => Some(Change::Deleted(object.clone())),
            Changed::Relisted => None,
            Changed::Failed(error) => {
                return tracing::warn!(kind = %K::kind(&()), "watch failed: {}", Chain(error));
            }
        };
        // Nobody listens any more when the process ends.
        let _ = sender.send(change);
    });
    tasks.spawn_critical("consumer watch", task);
    (store, Changes(receiver))
}

impl<K: Send + 'static> Changes<K> {
    pub(crate) fn forward(
        mut self,
        tasks: &Tasks,
        wake: &Arc<Wake>,
        on: impl Fn(&Wake, &Change<K>) + Send + 'static,
    ) {
        let wake = Arc::clone(wake);
        tasks.spawn("consumer changes", async move {
            while let Some(change) = self.0.recv().await {
                match change {
                    Some(change) => on(&wake, &change),
                    None => wake.everybody(),
                }
            }
        });
    }
}
