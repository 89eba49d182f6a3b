//! A session with one provider: what it exports, how it answers, and whether it answers at all.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use kube::{Client, ResourceExt as _, runtime::reflector::Store};
use parking_lot::RwLock;
use portolan_core::{
    api::kubebind::{
        APIServiceExport, APIServiceExportRequest, APIServiceNamespace, ClusterBinding, ClusterSecretKeyRef,
    },
    kubeconfig::RestrictedKubeconfig,
    outline::SchemaOutline,
};
use portolan_runtime::{
    client::{self, ClientError},
    clock,
    latest::Latest,
    metrics::Gauge,
    tasks::Tasks,
};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::{
    absence::Absences,
    contact::Contact,
    contract::Contract,
    heartbeat::Heartbeat,
    namespaces::Namespaces,
    reflecting::{Change, Starting},
    rotation::{Offered, Rotation},
};
use crate::secrets::ProviderAccess;

/// The longest that the provider may take to answer a question of ours.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What is known of one provider through one kubeconfig.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The contract namespace.
    pub(crate) namespace: String,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) written_exports: Latest<APIServiceExport>,
    pub(crate) written_schemas: Latest<SchemaOutline>,
    pub(super) exports: Store<APIServiceExport>,
    pub(super) schemas: Store<SchemaOutline>,
    pub(super) requests: Store<APIServiceExportRequest>,
    pub(super) cluster_bindings: Store<ClusterBinding>,
    pub(super) state: RwLock<State>,
    /// The session is to be replaced.
    stale: AtomicBool,
    notify: Arc<dyn Fn() + Send + Sync>,
    pub(super) report_due: Notify,
    pub(super) absences: Absences,
    pub(super) contract: Contract,
    pub(super) last_contact: Gauge,
    pub(super) tasks: Tasks,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is learnt from a watch or a poll of its own")]
pub(super) struct State {
    contact: Contact,
    /// The last poll had no answer at all.
    pub(super) silent: bool,
    /// Uids of exports that the last poll and the watch disagree on.
    pub(super) missed: BTreeSet<String>,
    pub(super) exports_listed: bool,
    pub(super) schemas_listed: bool,
    pub(super) cluster_binding_listed: bool,
    pub(super) heartbeat: Heartbeat,
    offered: Offered,
}

impl Session {
    /// Starts to talk to a provider. `notify` is told of everything that bundles and bindings may care for.
    pub(super) async fn start(
        tasks: &Tasks,
        kubeconfig: &RestrictedKubeconfig,
        notify: Arc<dyn Fn() + Send + Sync>,
        last_contact: Gauge,
    ) -> Result<Arc<Self>, ClientError> {
        let client = client::restricted(kubeconfig).await?;
        let starting = Starting {
            client: client.clone(),
            namespace: kubeconfig.namespace.clone(),
            tasks: tasks.child(),
        };
        let (exports, exports_changes) = starting.reflect();
        let (schemas, schemas_changes) = starting.reflect();
        let (requests, requests_changes) = starting.reflect::<APIServiceExportRequest>();
        let (cluster_bindings, cluster_changes) = starting.reflect::<ClusterBinding>();
        let (namespace_store, namespace_changes) = starting.reflect::<APIServiceNamespace>();
        let answered = watch::Sender::new(());
        let namespaces =
            Namespaces::new(client.clone(), &kubeconfig.namespace, namespace_store, answered.clone());
        let session = Arc::new(Self {
            client,
            namespace: kubeconfig.namespace.clone(),
            namespaces: Arc::new(namespaces),
            written_exports: Latest::default(),
            written_schemas: Latest::default(),
            exports,
            schemas,
            requests,
            cluster_bindings,
            state: RwLock::default(),
            stale: AtomicBool::new(false),
            notify,
            report_due: Notify::new(),
            absences: Absences::default(),
            contract: Contract::default(),
            last_contact,
            tasks: starting.tasks,
        });
        session.listen(exports_changes, |session, change| session.on_exports(&change));
        session.listen(schemas_changes, |session, change| session.on_schemas(&change));
        session.listen(requests_changes, |session, _| (session.notify)());
        session.listen(cluster_changes, |session, change| {
            if matches!(change, Change::Relisted) {
                session.state.write().cluster_binding_listed = true;
            }
            session.report_due.notify_one();
            (session.notify)();
        });
        session.listen(namespace_changes, move |session, change| {
            match &change {
                Change::Deleted { name, .. } => session.namespaces.dropped(name),
                Change::Relisted => session.namespaces.were_listed(),
                Change::Applied | Change::Failed(_) => {}
            }
            answered.send_replace(());
        });
        info!(server = kubeconfig.server, namespace = kubeconfig.namespace, "connecting to a provider");
        Ok(session)
    }

    /// Remembers what a former session knows of the same contract.
    pub(super) fn goes_on_from(&self, former: &Self) {
        if former.namespace == self.namespace {
            self.contract.inherit(&former.contract);
        }
    }

    pub(super) fn stop(&self) {
        self.tasks.cancel();
    }

    pub(crate) fn contact(&self) -> Contact {
        self.state.read().contact.clone()
    }

    /// Takes over what the provider renews.
    pub(super) fn spawn_rotation(
        self: &Arc<Self>,
        rotation: Rotation,
        reference: &ClusterSecretKeyRef,
        access: &Arc<ProviderAccess>,
    ) {
        let run = rotation.run(Arc::clone(self), reference.clone(), Arc::clone(access));
        self.tasks.spawn("rotation", run);
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
        mut changes: futures::channel::mpsc::UnboundedReceiver<Change>,
        on: impl Fn(&Self, Change) + Send + 'static,
    ) {
        let session = Arc::clone(self);
        self.tasks.spawn("provider changes", async move {
            while let Some(change) = changes.next().await {
                on(&session, change);
            }
        });
    }

    fn on_exports(&self, change: &Change) {
        let names: Vec<_> = self.exports.state().iter().map(|export| export.name_any()).collect();
        self.absences.present(names.iter().map(String::as_str));
        if !matches!(change, Change::Failed(_)) {
            self.last_contact.set(clock::now().as_second());
        }
        match change {
            Change::Relisted => self.update(|state| {
                state.exports_listed = true;
                state.contact = Contact::Up;
            }),
            Change::Failed(contact) => self.set_contact(contact.clone()),
            Change::Deleted { name, is_replaced } => {
                // It may be back already, as another, or is about to be.
                if !is_replaced && !names.contains(name) {
                    self.absences.withdrawn(name);
                }
                (self.notify)();
            }
            Change::Applied => (self.notify)(),
        }
    }

    fn on_schemas(&self, change: &Change) {
        match change {
            Change::Relisted => self.update(|state| state.schemas_listed = true),
            Change::Failed(_) => {}
            Change::Applied | Change::Deleted { .. } => (self.notify)(),
        }
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
        warn!(namespace = self.namespace, "starting the provider's watches anew: {why}");
        self.stale.store(true, Ordering::Relaxed);
        (self.notify)();
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}
