//! The parts that the konnector's controllers share: clients, stores, queues and triggers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client, runtime::watcher};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, ClusterSecretKeyRef},
    outline::CrdOutline,
};
use portolan_runtime::{cache::Cache, events::EventReporter, process::Process, watch::LARGE_PAGE};
use tokio::time::timeout;

use crate::{
    KonnectorArgs,
    args::OnWithdraw,
    beginning::ProcessStart,
    binding::{failure::FailedWrites, objection::SchemaObjection},
    bodies::ComparisonCache,
    claims::{ClaimContext, ClaimEngines},
    crd::{LABEL_MANAGED, MANAGED_BY},
    groups::{self, ServedGroups},
    metrics::KonnectorMetrics,
    migration::Migrations,
    policy,
    provider::{ProviderIntervals, RotationContext, Sessions},
    secrets::SecretWatches,
    sync::{EngineContext, KeyRules, ObjectKey, SyncEngines},
    triggers::{Triggers, WatchSight, follow},
};

/// For how many polls an export may be missing from lists before it counts as withdrawn.
const GRACE_IN_POLLS: u32 = 4;
/// Limit for the list of APIServices. Without it, only our own group is known not to be bindable.
const SERVED_LIMIT: Duration = Duration::from_secs(5);

/// Everything that a reconcile may use.
pub struct KonnectorContext {
    pub consumer: Client,
    pub bundles: Cache<APIServiceBindingBundle>,
    pub bindings: Cache<APIServiceBinding>,
    /// The CRDs that the konnector has brought.
    pub crds: Cache<CrdOutline>,
    /// The APIServices that stand for anything but CRDs.
    services: Cache<APIService>,
    /// The state of the watch on bindings.
    pub binding_sight: Arc<WatchSight>,
    synced: AtomicBool,
    pub bodies: ComparisonCache<SchemaObjection>,
    pub migrations: Migrations,
    pub failed_writes: FailedWrites,
    pub secrets: Arc<SecretWatches>,
    pub sessions: Sessions,
    pub sync: SyncEngines,
    pub claims: ClaimEngines,
    pub metrics: KonnectorMetrics,
    pub reporter: EventReporter,
    pub poll_interval: std::time::Duration,
    /// Hosts of conversion webhooks that may be named in CRDs.
    pub allowed_webhooks: Vec<String>,
    /// Claims that are met for every binding.
    pub accept_claims: Vec<String>,
    keys: KeyRules,
    pub heartbeat_interval: std::time::Duration,
    pub on_withdraw: OnWithdraw,
    pub beginning: ProcessStart,
    triggers: Arc<Triggers>,
}

impl KonnectorContext {
    /// Starts the watches on the consumer.
    pub fn start(args: &KonnectorArgs, process: &Process, consumer: Client, instance: &str) -> Arc<Self> {
        let tasks = &process.tasks;
        let (bundle_store, bundles) = follow(tasks, Api::all(consumer.clone()), watcher::Config::default());
        let (binding_store, bindings) = follow(tasks, Api::all(consumer.clone()), watcher::Config::default());
        let managed = watcher::Config::default().labels(&format!("{LABEL_MANAGED}={MANAGED_BY}"));
        let managed = managed.page_size(LARGE_PAGE);
        let (crd_store, crds) = follow(tasks, Api::all(consumer.clone()), managed);
        let (namespaces, _) = follow(tasks, Api::all(consumer.clone()), watcher::Config::default());
        let others = watcher::Config::default().labels(&groups::selector());
        let (service_store, services) = follow(tasks, Api::all(consumer.clone()), others);
        let binding_sight = Arc::clone(&bindings.sight);
        let triggers =
            Arc::new(Triggers::new(bundle_store.clone(), binding_store.clone(), service_store.clone()));
        bundles.forward(tasks, &triggers, Triggers::bundle_changed);
        bindings.forward(tasks, &triggers, Triggers::binding_changed);
        crds.forward(tasks, &triggers, Triggers::crd_changed);
        services.forward(tasks, &triggers, Triggers::service_changed);
        let intervals =
            ProviderIntervals { poll: args.provider_polling_interval, heartbeat: args.heartbeat_interval };
        let metrics = KonnectorMetrics::register(&process.metrics);
        let (on_secret, last_contact) = (Arc::clone(&triggers), metrics.last_contact.clone());
        let on_secret = Arc::new(move |reference: &ClusterSecretKeyRef| on_secret.referrers(reference));
        let reporter = EventReporter::new(consumer.clone(), "kube-bind-konnector", instance);
        let rotation = RotationContext { consumer: consumer.clone(), reporter: reporter.clone() };
        Arc::new(Self {
            secrets: SecretWatches::new(consumer.clone(), tasks, args.allowed_secret_namespaces(), on_secret),
            sessions: Sessions::new(
                tasks,
                intervals,
                last_contact,
                rotation,
                namespaces,
                args.create_namespaces,
            ),
            sync: SyncEngines::new(tasks),
            claims: ClaimEngines::new(tasks),
            accept_claims: args.accept_claims.clone(),
            metrics,
            reporter,
            poll_interval: args.provider_polling_interval,
            allowed_webhooks: args.allow_conversion_webhooks.clone(),
            keys: KeyRules::new(&args.allow_keys, &args.deny_keys),
            heartbeat_interval: args.heartbeat_interval,
            on_withdraw: args.on_withdraw,
            beginning: ProcessStart::now(),
            bundles: bundle_store,
            bindings: binding_store,
            crds: crd_store,
            services: service_store,
            binding_sight,
            synced: AtomicBool::new(false),
            bodies: ComparisonCache::default(),
            failed_writes: FailedWrites::new(args.provider_polling_interval),
            migrations: Migrations::new(tasks, consumer.clone()),
            consumer,
            triggers,
        })
    }

    /// Resolves when the bundles have been listed once.
    pub async fn bundles_listed(&self) {
        self.bundles.synced().await;
    }

    /// Resolves when the consumer's objects have been listed once.
    pub async fn synced(&self) {
        self.bundles_listed().await;
        self.bindings.synced().await;
        self.crds.synced().await;
        let _ = timeout(SERVED_LIMIT, self.services.synced()).await;
        self.synced.store(true, Ordering::Release);
        self.triggers.every_bundle();
    }

    /// Returns `true` if the consumer's objects have been listed once.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Groups that the consumer's API server serves in another way than by a CRD.
    pub fn served(&self) -> ServedGroups {
        ServedGroups::of(&self.services.all())
    }

    pub fn triggers(&self) -> &Arc<Triggers> {
        &self.triggers
    }

    pub fn bundle(&self, name: &str) -> Option<Arc<APIServiceBindingBundle>> {
        self.bundles.get(name)
    }

    /// The bundle that a binding belongs to.
    fn bundle_of(&self, binding: &APIServiceBinding) -> Option<Arc<APIServiceBindingBundle>> {
        let bundle = self.bundle(policy::bundle_of(binding)?)?;
        policy::is_owned(binding, &bundle).then_some(bundle)
    }

    /// Returns `true` if a binding names a bundle that does not exist.
    pub fn is_stray(&self, binding: &APIServiceBinding) -> bool {
        let bundle = policy::bundle_of(binding).and_then(|name| self.bundle(name));
        policy::is_stray(binding, bundle.as_deref())
    }

    /// Returns `true` if the copies of a binding stay when it is deleted.
    pub fn keeps_copies(&self, binding: &APIServiceBinding) -> bool {
        policy::keeps_copies(binding, self.bundle_of(binding).as_deref())
    }

    /// Treatment of objects and copies when the provider withdraws the export of a binding.
    pub fn on_withdraw(&self, binding: &APIServiceBinding) -> OnWithdraw {
        policy::on_withdraw(binding, self.bundle_of(binding).as_deref(), self.on_withdraw)
    }

    pub fn binding(&self, name: &str) -> Option<Arc<APIServiceBinding>> {
        self.bindings.get(name)
    }

    /// Time for which an export may be missing from lists before it counts as withdrawn.
    pub fn grace(&self) -> std::time::Duration {
        self.poll_interval * GRACE_IN_POLLS
    }

    /// Tells everybody who refers to a Secret.
    pub fn notifier(&self, reference: &ClusterSecretKeyRef) -> Arc<dyn Fn() + Send + Sync> {
        let (triggers, reference) = (Arc::clone(&self.triggers), reference.clone());
        Arc::new(move || triggers.referrers(&reference))
    }

    /// Has a binding reconciled.
    pub fn trigger_of(&self, binding: &str) -> Arc<dyn Fn() + Send + Sync> {
        let (triggers, binding) = (Arc::clone(&self.triggers), binding.to_owned());
        Arc::new(move || triggers.bindings.add(binding.clone()))
    }

    /// Builds the context of a binding's engine.
    pub fn engine_context(&self, binding: &str) -> EngineContext {
        EngineContext {
            consumer: self.consumer.clone(),
            metrics: self.metrics.clone(),
            reporter: self.reporter.clone(),
            keys: self.keys.clone(),
            on_state: self.trigger_of(binding),
        }
    }

    /// Builds the context of a binding's claim engine.
    pub fn claim_context(&self, binding: &str) -> ClaimContext {
        let (bundles, bindings) = (self.bundles.clone(), self.bindings.clone());
        let holds_kubeconfig = move |key: &ObjectKey| {
            let is = |secret: &ClusterSecretKeyRef| {
                (&secret.namespace, &secret.name) == (&key.namespace, &key.name)
            };
            bundles.all().iter().any(|bundle| is(&bundle.spec.kubeconfig_secret_ref))
                || bindings.all().iter().any(|binding| is(&binding.spec.kubeconfig_secret_ref))
        };
        let known = self.bindings.clone();
        let is_bound = move |name: &str| known.get(name).is_some();
        ClaimContext {
            engine: self.engine_context(binding),
            holds_kubeconfig: Arc::new(holds_kubeconfig),
            is_bound: Arc::new(is_bound),
        }
    }

    /// Ends watches and sessions that no bundle and no binding refers to any more.
    pub fn tidy_up(&self) {
        let (bundles, bindings) = (self.bundles.all(), self.bindings.all());
        let is_referenced = |reference: &ClusterSecretKeyRef| {
            bundles.iter().any(|b| b.spec.kubeconfig_secret_ref == *reference)
                || bindings.iter().any(|b| b.spec.kubeconfig_secret_ref == *reference)
        };
        self.secrets.retain(is_referenced);
        self.sessions.retain(is_referenced);
    }
}
