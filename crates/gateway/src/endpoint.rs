//! The endpoint of a cluster: its schema, its plans and its connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use portolan_core::{pattern::matches, schema_document::ClusterMetadata};
use portolan_runtime::client::{ClientError, carrier::Destination};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    apis::ApiRegistry,
    bounds::QueryBounds,
    document::{Document, InvalidDocument},
    error::GraphError,
    mcp::ToolListing,
    memory::ClusterMemory,
    metrics::UpstreamCalls,
    plan::{QueryPlan, prepare},
    plans::ApiPlans,
    schema::ClusterApi,
    subscribe::ChannelHub,
    upstream::Upstream,
};

/// Number of plans in use that are made again when a document changes.
const HOT: usize = 100;

/// A document that no endpoint can be made of.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The document is invalid.
    #[error(transparent)]
    Document(#[from] InvalidDocument),
    /// It does not name the API server.
    #[error("it has no usable x-cluster-metadata: expected host, and ca.data in base64")]
    Metadata,
    /// Tokens of callers would travel unencrypted.
    #[error("its host {0:?} is not https://HOST:PORT")]
    NotEncrypted(String),
    /// The operator does not allow this host.
    #[error("its host {0:?} is not among --allowed-hosts")]
    NotAllowed(String),
    /// No connection to it can be configured.
    #[error("the cluster in it cannot be used")]
    Client(#[from] ClientError),
}

/// The connection of a document. Its credential is not even read.
#[derive(Deserialize)]
struct WithMetadata {
    #[serde(rename = "x-cluster-metadata")]
    metadata: ClusterMetadata<IgnoredAny>,
}

impl WithMetadata {
    fn destination(self, allowed_hosts: &[String]) -> Result<Destination, InvalidEndpoint> {
        let url = self.metadata.host.parse::<http::Uri>().ok();
        let url = url.filter(|url| url.scheme_str() == Some("https"));
        let Some(host) = url.as_ref().and_then(http::Uri::host) else {
            return Err(InvalidEndpoint::NotEncrypted(self.metadata.host));
        };
        if !allowed_hosts.is_empty() && !allowed_hosts.iter().any(|pattern| matches(pattern, host)) {
            return Err(InvalidEndpoint::NotAllowed(host.to_owned()));
        }
        let authorities = self.metadata.ca.map(|ca| ca.pem()).transpose();
        Ok(Destination {
            server: self.metadata.host,
            authorities: authorities.map_err(|_| InvalidEndpoint::Metadata)?,
            server_name: self.metadata.tls_server_name,
        })
    }
}

/// The endpoint of a cluster.
#[derive(Debug)]
pub struct ClusterEndpoint {
    /// Its name in paths.
    pub name: String,
    /// The labels of its ClusterAccess.
    pub labels: BTreeMap<String, String>,
    /// The address of the API server.
    pub destination: Destination,
    /// The API of the cluster, which others may have, too.
    pub api: Arc<ClusterApi>,
    /// Connections for calls.
    pub upstream: Upstream,
    /// Connections for watches and logs.
    pub watches: Upstream,
    /// The watches that subscribers share.
    pub hub: ChannelHub,
    /// The kinds that are read from memory, if the gateway has a credential of its own.
    pub memory: Option<Arc<ClusterMemory>>,
    /// Its tools, as they were listed last.
    pub tools: ToolListing,
    /// The plans of the API.
    plans: ApiPlans,
    /// By kind: `true` if its server does not serve metadata alone.
    refuses_metadata: Box<[AtomicBool]>,
    /// By kind: `true` if its server does not list by name.
    is_unordered: Box<[AtomicBool]>,
}

impl ClusterEndpoint {
    /// Makes an endpoint of a document.
    pub async fn of(
        name: &str,
        bytes: &[u8],
        (apis, allowed_hosts): (&ApiRegistry, &[String]),
        calls: UpstreamCalls,
    ) -> Result<Self, InvalidEndpoint> {
        let document = Document::read(bytes)?;
        let with: WithMetadata = serde_json::from_slice(bytes).map_err(|_| InvalidEndpoint::Metadata)?;
        let labels = with.metadata.labels.clone();
        let destination = with.destination(allowed_hosts)?;
        let (api, plans) = apis.of(&document)?;
        drop(document);
        Ok(Self {
            name: name.to_owned(),
            labels,
            refuses_metadata: api.kinds.iter().map(|_| AtomicBool::new(false)).collect(),
            is_unordered: api.kinds.iter().map(|_| AtomicBool::new(false)).collect(),
            upstream: Upstream::new(&destination, calls.clone()).await?,
            watches: Upstream::new(&destination, calls).await?,
            destination,
            hub: ChannelHub::default(),
            memory: None,
            tools: ToolListing::default(),
            plans,
            api,
        })
    }

    /// The plan of a query, cached or new.
    pub fn plan(
        &self,
        query: &str,
        name: Option<&str>,
        bounds: QueryBounds,
    ) -> Result<Arc<QueryPlan>, Vec<GraphError>> {
        if let Some(plan) = self.plans.get(query, name) {
            return Ok(plan);
        }
        let plan = Arc::new(prepare(&self.api, query, name, bounds)?);
        self.plans.put(query, name, &plan);
        Ok(plan)
    }

    /// Prepares plans that another endpoint has in use, so that nobody waits for them after a change. Endpoints with the
    /// same API have the same plans.
    pub fn plan_as(&self, before: &Self, bounds: QueryBounds) {
        if Arc::ptr_eq(&self.api, &before.api) {
            return;
        }
        for known in before.plans.hottest(HOT) {
            // A query that no longer fits the schema fails when it is asked again.
            let _ = self.plan(&known.query, known.name.as_deref(), bounds);
        }
    }

    /// Another endpoint takes its place: requests in progress finish without memory.
    pub fn forget(&self) {
        if let Some(memory) = &self.memory {
            memory.close();
        }
    }

    /// Returns `true` if the server of a kind may be asked for metadata alone.
    pub fn gives_metadata(&self, kind: usize) -> bool {
        self.refuses_metadata.get(kind).is_some_and(|refuses| !refuses.load(Ordering::Relaxed))
    }

    /// Remembers that the server of a kind does not serve metadata alone.
    pub fn refuses_metadata(&self, kind: usize) {
        if let Some(refuses) = self.refuses_metadata.get(kind) {
            refuses.store(true, Ordering::Relaxed);
        }
    }

    /// Returns `true` unless the server of a kind is known to list it in another order than that of the names.
    pub fn lists_by_name(&self, kind: usize) -> bool {
        self.is_unordered.get(kind).is_some_and(|unordered| !unordered.load(Ordering::Relaxed))
    }

    /// Remembers that the server of a kind lists it in another order.
    pub fn lists_in_another_order(&self, kind: usize) {
        if let Some(unordered) = self.is_unordered.get(kind) {
            unordered.store(true, Ordering::Relaxed);
        }
    }
}
