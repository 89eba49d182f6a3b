//! A session with one provider: what it exports, how it answers, and whether it answers at all.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::StreamExt as _;
use kube::Client;
use parking_lot::{Mutex, RwLock};
use portolan_core::{
    api::kubebind::{APIServiceExport, APIServiceExportRequest, APIServiceNamespace, ClusterBinding},
    kubeconfig::RestrictedKubeconfig,
    outline::SchemaOutline,
};
use portolan_runtime::{
    cache::Cache,
    client::{self, ClientError},
    metrics::Gauge,
    tasks::Tasks,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tracing::{info, warn};

use super::{
    absence::Absences,
    claim::HolderKnowledge,
    consumer::ConsumerCluster,
    contact::{Contact, Heartbeat},
    contract::ContractState,
    gate::Gate,
    identity::Place,
    namespaces::Namespaces,
    offered::Offered,
    reflecting::{ProviderChange, Starting},
};

/// Knowledge about one provider through one kubeconfig.
pub(crate) struct Session {
    /// Writes only while the contract is known to be ours.
    pub(crate) client: Client,
    pub(super) ungated: Client,
    pub(super) gate: Gate,
    pub(super) place: Place,
    pub(super) consumer: Arc<ConsumerCluster>,
    pub(super) claimed: Mutex<HolderKnowledge>,
    pub(super) claim_due: Notify,
    /// The contract namespace.
    pub(crate) namespace: String,
    pub(crate) namespaces: Arc<Namespaces>,
    /// Held by whoever has the body of a schema of this provider in memory.
    pub(crate) reading: tokio::sync::Mutex<()>,
    pub(crate) exports: Cache<APIServiceExport>,
    pub(crate) schemas: Cache<SchemaOutline>,
    pub(super) requests: Cache<APIServiceExportRequest>,
    pub(super) cluster_bindings: Cache<ClusterBinding>,
    pub(super) state: RwLock<State>,
    /// The session is to be replaced.
    stale: AtomicBool,
    notify: Arc<dyn Fn() + Send + Sync>,
    pub(super) report_due: Notify,
    pub(super) absences: Absences,
    pub(super) contract: ContractState,
    pub(super) last_contact: Gauge,
    pub(super) tasks: Tasks,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is learnt from a watch or a poll of its own")]
pub(super) struct State {
    pub(super) contact: Contact,
    /// The last poll had no answer at all.
    pub(super) silent: bool,
    /// Uids of exports that the last poll and the watch disagree on.
    pub(super) missed: BTreeSet<String>,
    /// The version of the newest list that a poll has brought.
    pub(super) newest_list: Option<u128>,
    pub(super) exports_listed: bool,
    pub(super) schemas_listed: bool,
    pub(super) cluster_binding_listed: bool,
    /// Since when the provider does not let us see whether there is one.
    pub(super) cluster_binding_refused: Option<Instant>,
    pub(super) heartbeat: Heartbeat,
    offered: Offered,
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
        let (ungated, gate) = (client::restricted(kubeconfig).await?, Gate::default());
        let client = gate.guard(ungated.clone());
        let starting = Starting {
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
            Namespaces::new(client.clone(), &kubeconfig.namespace, namespace_store, answered.clone());
        let session = Arc::new(Self {
            client,
            ungated,
            gate,
            place: Place { server: kubeconfig.server.clone(), namespace: kubeconfig.namespace.clone() },
            consumer,
            claimed: Mutex::default(),
            claim_due: Notify::new(),
            namespace: kubeconfig.namespace.clone(),
            namespaces: Arc::new(namespaces),
            reading: tokio::sync::Mutex::default(),
            exports,
            schemas,
            requests,
            cluster_bindings,
            state: RwLock::default(),
            stale: AtomicBool::new(false),
            notify,
            report_due: Notify::new(),
            absences: Absences::default(),
            contract: ContractState::default(),
            last_contact,
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

    pub(crate) fn contact(&self) -> Contact {
        self.state.read().contact.clone()
    }

    pub(super) fn offered(&self) -> Offered {
        self.state.read().offered.clone()
    }

    pub(super) fn set_offered(&self, offered: Offered) {
        self.state.write().offered = offered;
        self.report_due.notify_one();
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

    pub(super) fn set_contact(&self, contact: Contact) {
        self.update(|state| state.contact = contact);
    }

    pub(super) fn tell(&self) {
        (self.notify)();
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write());
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
