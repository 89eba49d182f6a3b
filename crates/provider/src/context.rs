//! The parts that the provider's controllers share: the client, the stores, the queues and the notices.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::{Namespace, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{Api, Client, Resource, ResourceExt as _, runtime::watcher};
use portolan_core::api::kubebind::{
    APIServiceExport, APIServiceExportRequest, APIServiceNamespace, ClusterBinding, LABEL_CONSUMER,
    LABEL_CONTRACT, LABEL_EXPORTED, LABEL_MANAGED_BY, PROVIDER_KUBECONFIG,
};
use portolan_core::outline::SchemaOutline;
use portolan_runtime::{
    cache::Cache, controller::ControllerMetrics, events::EventReporter, process::Process, tasks::Tasks,
    watch::LARGE_PAGE,
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tracing::info;

use crate::{
    MANAGED_BY,
    args::ControllerArgs,
    cluster_rights::{Shared, contract_of},
    ignored::IgnoredContent,
    notices::Notices,
    queues::{ClusterChange, QueueKey, Queues, answered_by},
    source::SourceCrd,
    store,
    sweeping::Sweeping,
    tenancy::Tenancy,
};

/// Delay of the resync for what nobody watches, such as a foreign namespace that stands in the way.
pub const RESYNC: Duration = Duration::from_secs(30);

/// Everything that a reconcile may use.
pub struct ProviderContext {
    pub client: Client,
    /// The CRDs that are labelled as exported.
    pub crds: Cache<SourceCrd>,
    /// The contract namespaces.
    pub contracts: Cache<Namespace>,
    /// The namespaces that stand for those of consumers.
    pub mapped: Cache<Namespace>,
    pub exports: Cache<APIServiceExport>,
    pub schemas: Cache<SchemaOutline>,
    pub requests: Cache<APIServiceNamespace>,
    pub export_requests: Cache<APIServiceExportRequest>,
    pub cluster_bindings: Cache<ClusterBinding>,
    /// The Roles that the provider has made, and their bindings.
    pub roles: Cache<Role>,
    pub role_bindings: Cache<RoleBinding>,
    /// The Secrets with the kubeconfigs of consumers.
    pub kubeconfigs: Cache<Secret>,
    /// Caches for shared kinds, where consumers may share any.
    pub shared: Option<Shared>,
    pub queues: Queues,
    pub notices: Notices,
    pub metrics: ControllerMetrics,
    pub pretty_name: String,
    pub drain_limit: Duration,
    pub tenancy: Tenancy,
    pub sweeping: Sweeping,
    pub ignored_content: Vec<IgnoredContent>,
    /// Held by whoever has the bodies of schemas in memory.
    pub bodies: tokio::sync::Mutex<()>,
}

impl ProviderContext {
    /// Starts the watches.
    pub fn start(args: &ControllerArgs, process: &Process, client: &Client, instance: &str) -> Arc<Self> {
        let tasks = &process.tasks;
        let (changes, mut received) = unbounded_channel();
        let watches = Watches { tasks, client, changes: &changes };
        let ours = format!("{LABEL_MANAGED_BY}={MANAGED_BY}");
        let reporter = EventReporter::new(client.clone(), "kube-bind-provider", instance);
        let context = Arc::new(Self {
            crds: watches.large(&format!("{LABEL_EXPORTED}=true"), |crd: &SourceCrd, _| {
                Some(ClusterChange::Source(crd.name_any()))
            }),
            contracts: watches
                .labelled(LABEL_CONSUMER, |ns: &Namespace, _| Some(ClusterChange::Contract(ns.name_any()))),
            mapped: watches.labelled(LABEL_CONTRACT, |ns, _| answered_by(ns).map(ClusterChange::Request)),
            exports: watches.all(|export, gone| {
                let key = QueueKey::of(export);
                Some(if gone { ClusterChange::ExportGone(key) } else { ClusterChange::Export(key) })
            }),
            schemas: watches.large("", |schema, _| Some(ClusterChange::Export(QueueKey::of(schema)))),
            requests: watches.all(|request, gone| Some(requested(request, gone))),
            export_requests: watches
                .all(|request, _| Some(ClusterChange::ExportRequest(QueueKey::of(request)))),
            cluster_bindings: watches
                .all(|binding: &ClusterBinding, _| binding.namespace().map(ClusterChange::ClusterBinding)),
            roles: watches.labelled(&ours, |role: &Role, _| role.namespace().map(ClusterChange::Rights)),
            role_bindings: watches
                .labelled(&ours, |binding: &RoleBinding, _| binding.namespace().map(ClusterChange::Rights)),
            kubeconfigs: watches.named(PROVIDER_KUBECONFIG, |secret: &Secret, _| {
                secret.namespace().map(ClusterChange::Kubeconfig)
            }),
            shared: args.allow_shared.then(|| watches.shared(&ours)),
            queues: Queues::default(),
            notices: Notices::new(reporter),
            metrics: ControllerMetrics::register(&process.metrics),
            pretty_name: args.pretty_name.clone(),
            drain_limit: args.drain_limit,
            tenancy: args.tenancy(),
            sweeping: Sweeping::default(),
            ignored_content: args.ignored_content.clone(),
            bodies: tokio::sync::Mutex::default(),
            client: client.clone(),
        });
        let triggered = Arc::clone(&context);
        tasks.spawn_critical("changes", async move {
            while let Some(change) = received.recv().await {
                triggered.trigger(change);
            }
        });
        context
    }

    /// Resolves when everything has been listed once.
    pub async fn synced(&self) {
        self.crds.synced().await;
        self.contracts.synced().await;
        self.mapped.synced().await;
        self.exports.synced().await;
        self.schemas.synced().await;
        self.requests.synced().await;
        self.export_requests.synced().await;
        self.cluster_bindings.synced().await;
        self.roles.synced().await;
        self.role_bindings.synced().await;
        self.kubeconfigs.synced().await;
        if let Some(shared) = &self.shared {
            shared.synced().await;
        }
    }
}

fn requested(request: &APIServiceNamespace, gone: bool) -> ClusterChange {
    let key = QueueKey::of(request);
    if gone {
        let namespace = request.status.as_ref().and_then(|status| status.namespace.as_deref());
        info!(request = %key, namespace, "the request is gone");
    }
    ClusterChange::Request(key)
}

struct Watches<'a> {
    tasks: &'a Tasks,
    client: &'a Client,
    changes: &'a UnboundedSender<ClusterChange>,
}

impl Watches<'_> {
    fn shared(&self, ours: &str) -> Shared {
        let grant = |name: String| contract_of(&name).map(|of| ClusterChange::Grant(of.to_owned()));
        Shared {
            roles: self.labelled(ours, move |role: &ClusterRole, _| grant(role.name_any())),
            role_bindings: self.labelled(ours, move |role: &ClusterRoleBinding, _| grant(role.name_any())),
            policies: self.labelled(ours, |_: &ValidatingAdmissionPolicy, _| Some(ClusterChange::Guard)),
            policy_bindings: self
                .labelled(ours, |_: &ValidatingAdmissionPolicyBinding, _| Some(ClusterChange::Guard)),
        }
    }

    fn all<K>(&self, change: impl Fn(&K, bool) -> Option<ClusterChange> + Send + 'static) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default();
        store::follow(self.tasks, Api::all(self.client.clone()), config, self.changes, change)
    }

    /// Objects of which a few fill the memory.
    fn large<K>(
        &self,
        labels: &str,
        change: impl Fn(&K, bool) -> Option<ClusterChange> + Send + 'static,
    ) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default().labels(labels).page_size(LARGE_PAGE);
        store::follow(self.tasks, Api::all(self.client.clone()), config, self.changes, change)
    }

    fn named<K>(
        &self,
        name: &str,
        change: impl Fn(&K, bool) -> Option<ClusterChange> + Send + 'static,
    ) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        store::follow(self.tasks, Api::all(self.client.clone()), config, self.changes, change)
    }

    fn labelled<K>(
        &self,
        labels: &str,
        change: impl Fn(&K, bool) -> Option<ClusterChange> + Send + 'static,
    ) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default().labels(labels);
        store::follow(self.tasks, Api::all(self.client.clone()), config, self.changes, change)
    }
}
