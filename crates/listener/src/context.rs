//! State that all reconciles share.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, ResourceExt as _, runtime::watcher};
use parking_lot::Mutex;
use portolan_core::api::gateway::ClusterAccess;
use portolan_runtime::{
    cache::Cache, controller::ControllerMetrics, events::EventReporter, objects::ObjectWatches,
    process::Process, queue::WorkQueue, readiness::ReadyHandle, telemetry::ErrorChain, watch::WatchChange,
};
use tracing::warn;

use crate::{
    accounts::AccountTokens, args::ListenerArgs, cluster::Clusters, discovery::PartWorkshop,
    documents::DocumentStore, files::FileStates, metrics::ListenerMetrics,
};

/// Everything that a reconcile may use.
pub struct ReconcileContext {
    pub client: Client,
    pub accesses: Cache<ClusterAccess>,
    pub secrets: Arc<ObjectWatches<Secret>>,
    pub config_maps: Arc<ObjectWatches<ConfigMap>>,
    pub accounts: Arc<AccountTokens>,
    pub clusters: Clusters,
    pub documents: Arc<DocumentStore>,
    pub workshop: Arc<PartWorkshop>,
    pub file_states: FileStates,
    pub queue: Arc<WorkQueue<String>>,
    pub reporter: EventReporter,
    pub metrics: Arc<ListenerMetrics>,
    pub controllers: ControllerMetrics,
    /// ClusterAccesses that have been tried at least once.
    pub tried: Mutex<BTreeSet<String>>,
    pub ready: ReadyHandle,
    leads: AtomicBool,
}

impl ReconcileContext {
    /// Starts the watch of ClusterAccesses.
    pub fn start(
        args: &ListenerArgs,
        process: &Process,
        client: &Client,
        ready: ReadyHandle,
        instance: &str,
    ) -> Arc<Self> {
        let tasks = &process.tasks;
        let queue: Arc<WorkQueue<String>> = Arc::default();
        let waker = QueueWaker { accesses: Arc::default(), queue: Arc::clone(&queue) };
        let changed = waker.clone();
        let all = Api::all(client.clone());
        let (accesses, watch) = Cache::follow(all, watcher::Config::default(), move |event| {
            changed.take(&event);
        });
        let _ = waker.accesses.set(accesses.clone());
        tasks.spawn_critical("watch", watch);
        let allowed = args.allowed_namespaces();
        let metrics = Arc::new(ListenerMetrics::register(&process.metrics));
        let workshop = PartWorkshop::new(args.max_schema_bytes());
        let (on_secret, on_config_map, on_token) = (waker.clone(), waker.clone(), waker.clone());
        let named = Arc::clone(&queue);
        Arc::new(Self {
            secrets: ObjectWatches::new(client.clone(), tasks, allowed.clone(), move |_| {
                on_secret.wake_all();
            }),
            config_maps: ObjectWatches::new(client.clone(), tasks, allowed.clone(), move |_| {
                on_config_map.wake_all();
            }),
            accounts: AccountTokens::new(client.clone(), tasks, allowed, move || on_token.wake_all()),
            clusters: Clusters::new(tasks, Arc::clone(&workshop), Arc::clone(&metrics), move |name| {
                named.add(name.to_owned());
            }),
            documents: Arc::default(),
            workshop,
            file_states: FileStates::default(),
            reporter: EventReporter::new(client.clone(), "portolan-listener", instance),
            controllers: ControllerMetrics::register(&process.metrics),
            tried: Mutex::default(),
            leads: AtomicBool::new(false),
            client: client.clone(),
            accesses,
            metrics,
            queue,
            ready,
        })
    }

    /// Returns `true` if this replica writes statuses and files.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Makes this replica the one that writes.
    pub fn lead(&self) {
        self.leads.store(true, Ordering::Relaxed);
        self.wake_all();
    }

    /// Queues every ClusterAccess.
    pub fn wake_all(&self) {
        wake_all(&self.accesses, &self.queue);
    }
}

/// Queues what has changed, and all others: the owner of a path depends on all of them.
#[derive(Clone)]
struct QueueWaker {
    accesses: Arc<OnceLock<Cache<ClusterAccess>>>,
    queue: Arc<WorkQueue<String>>,
}

impl QueueWaker {
    fn take(&self, changed: &WatchChange<'_, ClusterAccess>) {
        match changed {
            WatchChange::Applied(access) | WatchChange::Deleted(access) => {
                self.queue.add(access.name_any());
                self.wake_all();
            }
            WatchChange::Relisted => self.wake_all(),
            WatchChange::Failed(error) => {
                warn!(kind = "ClusterAccess", "watch failed: {}", ErrorChain(*error));
            }
        }
    }

    fn wake_all(&self) {
        if let Some(accesses) = self.accesses.get() {
            wake_all(accesses, &self.queue);
        }
    }
}

/// Queues all, and the empty name, which stands for what concerns all of them.
fn wake_all(accesses: &Cache<ClusterAccess>, queue: &WorkQueue<String>) {
    queue.add(String::new());
    for access in accesses.all() {
        queue.add(access.name_any());
    }
}
