//! A session with one provider: what it exports, how it answers, and whether it answers at all.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::StreamExt as _;
use kube::{Api, Client};
use parking_lot::RwLock;
use portolan_core::{
    api::kubebind::{APIServiceNamespace, BoundSchema},
    kubeconfig::RestrictedKubeconfig,
};
use portolan_runtime::{
    apply::WriteError,
    client::{self, ClientError},
    metrics::Gauge,
    tasks::Tasks,
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    absence::AbsentExports,
    consumer::ConsumerCluster,
    contact::{ProviderContact, in_time},
    contents::ContractContents,
    contract::ContractState,
    gate::WriteGate,
    holding::ContractHolding,
    identity::KubeconfigTarget,
    namespaces::NamespaceRequests,
    pulse::ProviderPulse,
    reading::ReadTurns,
    reflecting::{CacheStarter, ProviderChange},
    reports::ProviderReports,
    unseen::FailingWatches,
};

/// Knowledge about one provider through one kubeconfig. Each part keeps its own data.
pub struct Session {
    /// Writes only while the contract is known to be ours.
    pub client: Client,
    pub(super) ungated: Client,
    pub(super) gate: WriteGate,
    pub(super) place: KubeconfigTarget,
    pub(super) consumer: Arc<ConsumerCluster>,
    /// The contract namespace.
    pub namespace: String,
    pub namespaces: Arc<NamespaceRequests>,
    pub contents: ContractContents,
    pub reading: ReadTurns,
    /// Watches that fail.
    pub unseen: FailingWatches,
    pub(super) contract: ContractState,
    pub(super) holding: ContractHolding,
    pub(super) pulse: ProviderPulse,
    pub(super) reports: ProviderReports,
    /// The session is to be replaced.
    stale: AtomicBool,
    notify: Arc<dyn Fn() + Send + Sync>,
    pub(super) tasks: Tasks,
}

impl Session {
    /// Starts a session with a provider. `notify` hears of everything that bundles and bindings may care for.
    pub(super) async fn start(
        tasks: &Tasks,
        kubeconfig: &RestrictedKubeconfig,
        notify: Arc<dyn Fn() + Send + Sync>,
        last_contact: Gauge,
        consumer: Arc<ConsumerCluster>,
    ) -> Result<Arc<Self>, ClientError> {
        let (ungated, gate) = (client::restricted(kubeconfig).await?, WriteGate::default());
        let client = gate.guard(ungated.clone());
        let starting = CacheStarter {
            client: client.clone(),
            namespace: kubeconfig.namespace.clone(),
            tasks: tasks.child(),
        };
        let (exports, exports_changes) = starting.reflect();
        let (schemas, schemas_changes) = starting.reflect();
        let (requests, requests_changes) = starting.reflect();
        let (cluster_bindings, cluster_changes) = starting.reflect();
        let (namespace_store, namespace_changes) = starting.reflect::<APIServiceNamespace>();
        let answered = watch::Sender::new(());
        let namespaces =
            NamespaceRequests::new(client.clone(), &kubeconfig.namespace, namespace_store, answered.clone());
        let session = Arc::new(Self {
            client,
            ungated,
            gate,
            place: KubeconfigTarget {
                server: kubeconfig.server.clone(),
                namespace: kubeconfig.namespace.clone(),
            },
            consumer,
            namespaces: Arc::new(namespaces),
            contents: ContractContents {
                namespace: kubeconfig.namespace.clone(),
                exports,
                schemas,
                requests,
                cluster_bindings,
                absences: AbsentExports::default(),
                listed: RwLock::default(),
            },
            namespace: kubeconfig.namespace.clone(),
            reading: ReadTurns::default(),
            unseen: FailingWatches::default(),
            contract: ContractState::default(),
            holding: ContractHolding::default(),
            pulse: ProviderPulse::new(last_contact),
            reports: ProviderReports::default(),
            stale: AtomicBool::new(false),
            notify,
            tasks: starting.tasks,
        });
        session.listen(exports_changes, |session, change| session.on_exports(&change));
        session.listen(schemas_changes, |session, change| session.on_schemas(&change));
        session.listen(requests_changes, |session, _| (session.notify)());
        session.listen(cluster_changes, |session, change| session.on_cluster_bindings(&change));
        session.listen(namespace_changes, move |session, change| {
            session.on_namespaces(&change);
            answered.send_replace(());
        });
        info!(server = kubeconfig.server, namespace = kubeconfig.namespace, "connecting to a provider");
        Ok(session)
    }

    pub(super) fn stop(&self) {
        self.tasks.cancel();
    }

    pub fn contact(&self) -> ProviderContact {
        self.pulse.contact()
    }

    /// A schema with its bodies, read again.
    pub async fn read_schema(&self, name: &str) -> Result<Option<BoundSchema>, WriteError> {
        let api: Api<BoundSchema> = Api::namespaced(self.client.clone(), &self.namespace);
        in_time(async { Ok(api.get_opt(name).await?) }).await
    }

    fn listen(
        self: &Arc<Self>,
        mut changes: futures::channel::mpsc::UnboundedReceiver<ProviderChange>,
        on: impl Fn(&Self, ProviderChange) + Send + 'static,
    ) {
        let session = Arc::clone(self);
        self.tasks.spawn("provider changes", async move {
            while let Some(change) = changes.next().await {
                on(&session, change);
            }
        });
    }

    pub(super) fn tell(&self) {
        (self.notify)();
    }

    /// Marks the session as one to be replaced, and calls those who will.
    pub(super) fn renew(&self, why: &str) {
        warn!(namespace = self.namespace, "restarting the provider's watches: {why}");
        self.stale.store(true, Ordering::Relaxed);
        (self.notify)();
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}
