//! The current state of the gateway.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portolan_runtime::{
    process::Process,
    readiness::{Readiness, ReadyHandle},
    tasks::Tasks,
    traces::Traces,
};

use crate::{
    apis::ApiRegistry,
    args::{LimitArgs, ServiceArgs},
    endpoint::ClusterEndpoint,
    identity::{ClusterCallers, StrangerRates},
    memory::{ClusterMemories, MemoryBudget},
    metrics::GatewayMetrics,
    persisted::PersistedQueries,
    silent::SilentClusters,
};

/// An endpoint with its known callers, who outlive its documents.
#[derive(Clone, Debug)]
pub struct ServedCluster {
    /// The endpoint.
    pub endpoint: Arc<ClusterEndpoint>,
    /// Its callers.
    pub callers: Arc<ClusterCallers>,
}

/// The source of the documents, as it is known outside.
#[derive(Debug)]
struct SourceState {
    ready: ReadyHandle,
    /// `true` once every document was tried.
    was_there: bool,
    trouble: Option<String>,
}

/// State that all requests share.
#[derive(Debug)]
pub struct GatewayState {
    /// The limits for callers.
    pub limits: LimitArgs,
    /// The hosts that documents may name; if empty, any.
    pub allowed_hosts: Vec<String>,
    /// The persisted documents.
    pub persisted: Arc<PersistedQueries>,
    /// The APIs of all endpoints.
    pub apis: ApiRegistry,
    /// State that the memories of all clusters share.
    pub memories: ClusterMemories,
    /// The tasks of the process.
    pub tasks: Tasks,
    /// The metrics.
    pub metrics: GatewayMetrics,
    /// The traces.
    pub traces: Traces,
    /// The rate of unknown tokens per address.
    pub strangers: StrangerRates,
    /// The clusters that did not answer queries to several lately.
    pub silent: SilentClusters,
    endpoints: ArcSwap<BTreeMap<String, ServedCluster>>,
    readiness: Readiness,
    source: Mutex<SourceState>,
    documents: Mutex<BTreeMap<String, ReadyHandle>>,
}

impl GatewayState {
    /// A state without endpoints.
    pub fn new(args: &ServiceArgs, (metrics, traces): (GatewayMetrics, Traces), process: &Process) -> Self {
        let (limits, readiness) = (args.limits.clone(), process.readiness.clone());
        let ready = readiness.expect("documents", "they have not been read yet");
        metrics.source_failing(false);
        let budget = MemoryBudget::new(args.memory.memory_bytes, metrics.memory_bytes());
        Self {
            memories: ClusterMemories::new(args.memory.clone(), budget, process.tasks.clone()),
            strangers: StrangerRates::new(limits.max_unknown_tokens),
            limits,
            allowed_hosts: args.source.allowed_hosts.clone(),
            persisted: Arc::new(PersistedQueries::new(args.persisted.persisted_only)),
            apis: ApiRegistry::default(),
            tasks: process.tasks.clone(),
            metrics,
            traces,
            silent: SilentClusters::default(),
            endpoints: ArcSwap::default(),
            readiness,
            source: Mutex::new(SourceState { ready, was_there: false, trouble: None }),
            documents: Mutex::default(),
        }
    }

    /// The endpoint of a cluster.
    pub fn served(&self, cluster: &str) -> Option<ServedCluster> {
        self.endpoints.load().get(cluster).cloned()
    }

    /// All endpoints, by the names of their clusters.
    pub fn all(&self) -> Arc<BTreeMap<String, ServedCluster>> {
        self.endpoints.load_full()
    }

    /// Swaps an endpoint in.
    pub fn put(&self, endpoint: ClusterEndpoint) {
        let name = endpoint.name.clone();
        let before = self.served(&name);
        if let Some(before) = &before {
            endpoint.plan_as(&before.endpoint, self.limits.bounds());
        }
        // If the address of the cluster has changed, its callers are proven again.
        let callers =
            before.filter(|before| before.endpoint.destination == endpoint.destination).map_or_else(
                || Arc::new(ClusterCallers::new(self.limits.max_inflight_requests)),
                |before| before.callers,
            );
        let served = ServedCluster { endpoint: Arc::new(endpoint), callers };
        let before = self.served(&name);
        self.change(|all| {
            all.insert(name.clone(), served.clone());
        });
        if let Some(before) = before {
            before.endpoint.forget();
        }
        self.document(&name, ReadyHandle::ready);
        self.metrics.failing(&name, false);
    }

    /// Removes an endpoint. Requests in progress finish.
    pub fn remove(&self, name: &str) {
        let before = self.served(name);
        self.change(|all| {
            all.remove(name);
        });
        if let Some(before) = before {
            before.endpoint.forget();
        }
        if let Some(handle) = self.documents.lock().remove(name) {
            handle.forget();
        }
        self.metrics.gone(name);
    }

    /// Records that a document cannot be used.
    pub fn failed(&self, name: &str, reason: &str) {
        let note = match self.served(name) {
            Some(_) => format!("the last good document is served, the new one is bad: {reason}"),
            None => format!("it is not served: {reason}"),
        };
        // A bad document does not keep the gateway from being ready.
        self.document(name, |handle| handle.ready_but(&note));
        self.metrics.failing(name, true);
    }

    /// Records that the source cannot be read, so that nothing new can be served. The endpoints stay. Returns `true` if
    /// that is news.
    pub fn source_failed(&self, reason: &str) -> bool {
        self.metrics.source_failing(true);
        let mut source = self.source.lock();
        source.ready.not_ready(reason);
        source.trouble.replace(reason.to_owned()).as_deref() != Some(reason)
    }

    /// Records that the source does not answer at present. A gateway that has served its documents goes on with them.
    pub fn source_interrupted(&self, reason: &str) -> bool {
        if !self.source.lock().was_there {
            return self.source_failed(reason);
        }
        self.metrics.source_failing(true);
        let mut source = self.source.lock();
        source.ready.ready_but(&format!("the last good documents are served: {reason}"));
        source.trouble.replace(reason.to_owned()).as_deref() != Some(reason)
    }

    /// Records that the source was read, and every document in it tried. Returns `true` if it was in trouble before.
    pub fn source_is_there(&self) -> bool {
        self.metrics.source_failing(false);
        let mut source = self.source.lock();
        source.was_there = true;
        source.ready.ready();
        source.trouble.take().is_some()
    }

    /// Drops types that no endpoint uses any more.
    pub fn forget_types(&self) {
        let endpoints = self.endpoints.load();
        self.apis.keep_types(endpoints.values().map(|served| &*served.endpoint.api));
        self.metrics.endpoints(endpoints.len());
    }

    fn document(&self, name: &str, say: impl FnOnce(&ReadyHandle)) {
        let mut documents = self.documents.lock();
        let part = format!("document {name}");
        let handle = documents
            .entry(name.to_owned())
            .or_insert_with(|| self.readiness.expect(&part, "it is being read"));
        say(handle);
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<String, ServedCluster>)) {
        self.endpoints.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            change(&mut all);
            all
        });
    }
}
