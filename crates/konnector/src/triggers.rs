//! Mappers from a change on the consumer to the keys that it triggers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, ResourceExt as _, runtime::watcher};
use parking_lot::Mutex;
use portolan_core::{
    api::kubebind::{
        ANNOTATION_ACCEPT_CONTRACT, ANNOTATION_TAKE_OVER, APIServiceBinding, APIServiceBindingBundle,
        ClusterSecretKeyRef,
    },
    outline::CrdOutline,
};
use portolan_runtime::{
    cache::Cache, queue::WorkQueue, tasks::Tasks, telemetry::ErrorChain, watch::WatchChange,
};

use crate::{
    binding::consent::{ACCEPT_CLAIMS, ALLOW_BREAKING},
    groups::ServedGroups,
};

/// Number of failures in a row after which a watch counts as lost: rights and CRDs often follow in a moment.
const TOLERATED: u32 = 4;

/// The queues of the controllers, and who in them cares for what.
pub struct Triggers {
    pub bundles: Arc<WorkQueue<String>>,
    pub bindings: Arc<WorkQueue<String>>,
    /// CRDs that may have been left to themselves.
    pub leftovers: Arc<WorkQueue<String>>,
    /// Consent of bundles on behalf of their bindings, by their names.
    agreed: Mutex<HashMap<String, [Option<String>; 4]>>,
    /// Requests of bindings, by their names: what they report concerns nobody but their bundles.
    asked: Mutex<HashMap<String, BindingRequest>>,
    bundle_store: Cache<APIServiceBindingBundle>,
    binding_store: Cache<APIServiceBinding>,
    service_store: Cache<APIService>,
    /// Groups that the API server was last found to serve in another way than by CRDs.
    served: Mutex<ServedGroups>,
}

/// The parts of a binding that people write.
#[derive(PartialEq, Eq)]
struct BindingRequest {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: Option<BTreeMap<String, String>>,
    is_terminating: bool,
}

impl BindingRequest {
    fn of(binding: &APIServiceBinding) -> Self {
        let metadata = &binding.metadata;
        Self {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            annotations: metadata.annotations.clone(),
            is_terminating: metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Triggers {
    pub fn new(
        bundle_store: Cache<APIServiceBindingBundle>,
        binding_store: Cache<APIServiceBinding>,
        service_store: Cache<APIService>,
    ) -> Self {
        Self {
            bundles: Arc::default(),
            bindings: Arc::default(),
            leftovers: Arc::default(),
            agreed: Mutex::default(),
            asked: Mutex::default(),
            bundle_store,
            binding_store,
            service_store,
            served: Mutex::default(),
        }
    }

    /// Everybody who refers to a Secret.
    pub fn referrers(&self, reference: &ClusterSecretKeyRef) {
        self.bundles_of(reference);
        self.bindings_of(reference);
    }

    fn bundles_of(&self, reference: &ClusterSecretKeyRef) {
        for bundle in self.bundle_store.all().iter().filter(|b| b.spec.kubeconfig_secret_ref == *reference) {
            self.bundles.add(bundle.name_any());
        }
    }

    fn bindings_of(&self, reference: &ClusterSecretKeyRef) {
        for binding in self.binding_store.all().iter().filter(|b| b.spec.kubeconfig_secret_ref == *reference)
        {
            self.bindings.add(binding.name_any());
        }
    }

    pub fn bundle_changed(&self, change: &ConsumerChange<APIServiceBindingBundle>) {
        let bundle = change.object();
        self.bundles.add(bundle.name_any());
        let said = [ALLOW_BREAKING, ACCEPT_CLAIMS, ANNOTATION_ACCEPT_CONTRACT, ANNOTATION_TAKE_OVER];
        let agreed = said.map(|key| bundle.annotations().get(key).cloned());
        if self.agreed.lock().insert(bundle.name_any(), agreed.clone()) != Some(agreed) {
            self.bindings_of(&bundle.spec.kubeconfig_secret_ref);
        }
    }

    pub fn binding_changed(&self, change: &ConsumerChange<APIServiceBinding>) {
        let binding = change.object();
        self.bindings.add(binding.name_any());
        match change {
            ConsumerChange::Applied(_) => {
                let asked = BindingRequest::of(binding);
                let is_news = self.asked.lock().get(&binding.name_any()) != Some(&asked);
                self.bundles_of(&binding.spec.kubeconfig_secret_ref);
                if is_news {
                    self.asked.lock().insert(binding.name_any(), asked);
                    self.bindings_of(&binding.spec.kubeconfig_secret_ref);
                }
            }
            // A name that is given up may be what any other bundle waits for.
            ConsumerChange::Deleted(_) => {
                self.asked.lock().remove(&binding.name_any());
                self.every_bundle();
            }
        }
    }

    pub fn crd_changed(&self, change: &ConsumerChange<CrdOutline>) {
        let crd = change.object();
        self.leftovers.add(crd.name_any());
        for owner in crd.owner_references().iter().filter(|owner| owner.kind == "APIServiceBinding") {
            self.bindings.add(owner.name.clone());
        }
    }

    /// That an APIService is well or not changes nothing; that there is one may.
    pub fn service_changed(&self, _: &ConsumerChange<APIService>) {
        let now = ServedGroups::of(&self.service_store.all());
        let before = std::mem::replace(&mut *self.served.lock(), now.clone());
        if before != now {
            self.everybody();
        }
    }

    pub fn every_bundle(&self) {
        for bundle in self.bundle_store.all() {
            self.bundles.add(bundle.name_any());
        }
    }

    fn everybody(&self) {
        self.every_bundle();
        for binding in self.binding_store.all() {
            self.bindings.add(binding.name_any());
        }
    }
}

/// A change of an object on the consumer.
pub enum ConsumerChange<K> {
    Applied(K),
    Deleted(K),
}

impl<K> ConsumerChange<K> {
    fn object(&self) -> &K {
        let (Self::Applied(object) | Self::Deleted(object)) = self;
        object
    }
}

/// The state of a watch on the consumer.
#[derive(Debug, Default)]
pub struct WatchSight(AtomicU32);

impl WatchSight {
    /// Returns `true` if the watch has failed several times in a row. When it works again is not always heard: it has
    /// to be tried.
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TOLERATED
    }

    pub fn sees(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// True when that makes it lost.
    fn fails(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) + 1 == TOLERATED
    }
}

/// The changes of one kind on the consumer, for the queues; `None` stands for a fresh list, or for the loss of the
/// watch.
pub struct ConsumerChanges<K> {
    received: tokio::sync::mpsc::UnboundedReceiver<Option<ConsumerChange<K>>>,
    pub sight: Arc<WatchSight>,
}

/// Follows a kind on the consumer.
pub fn follow<K>(tasks: &Tasks, api: Api<K>, config: watcher::Config) -> (Cache<K>, ConsumerChanges<K>)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    let sight = Arc::new(WatchSight::default());
    let seen = Arc::clone(&sight);
    let (cache, task) = Cache::follow(api, config, move |change: WatchChange<'_, K>| {
        if !matches!(change, WatchChange::Failed(_)) {
            seen.sees();
        }
        let change = match change {
            WatchChange::Applied(object) => Some(ConsumerChange::Applied(object.clone())),
            WatchChange::Deleted(object) => Some(ConsumerChange::Deleted(object.clone())),
            WatchChange::Relisted => None,
            WatchChange::Failed(error) => {
                tracing::warn!(kind = %K::kind(&()), "watch failed: {}", ErrorChain(error));
                if !seen.fails() {
                    return;
                }
                None
            }
        };
        // Nobody listens any more when the process ends.
        let _ = sender.send(change);
    });
    tasks.spawn_critical("consumer watch", task);
    (cache, ConsumerChanges { received, sight })
}

impl<K: Send + 'static> ConsumerChanges<K> {
    pub fn forward(
        mut self,
        tasks: &Tasks,
        triggers: &Arc<Triggers>,
        on: impl Fn(&Triggers, &ConsumerChange<K>) + Send + 'static,
    ) {
        let triggers = Arc::clone(triggers);
        tasks.spawn("consumer changes", async move {
            while let Some(change) = self.received.recv().await {
                match change {
                    Some(change) => on(&triggers, &change),
                    None => triggers.everybody(),
                }
            }
        });
    }
}
