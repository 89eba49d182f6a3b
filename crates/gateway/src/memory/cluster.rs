//! The memory of one cluster: its kinds, the credential that they are filled with, and the connection of their watches.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::HeaderValue;
use parking_lot::Mutex;
use portolan_runtime::{
    client::{
        ClientError,
        carrier::Destination,
        pulse::{NoPulse, Pulse},
    },
    tasks::Tasks,
};

use super::{
    budget::MemoryBudget,
    kept::KeptKind,
    object::comparable,
    review::{AccessReviews, KindRight},
};
use crate::{
    args::MemoryArgs,
    document::{ApiResource, KindName},
    metrics::{MemoryReads, UpstreamCalls},
    scan::text_at,
    upstream::Upstream,
};

/// Kinds of one cluster at a time: their watches share a connection, and API servers take 100.
const MAX_KINDS: usize = 90;

/// State that the memories of all clusters share.
#[derive(Debug)]
pub struct ClusterMemories {
    args: MemoryArgs,
    budget: Arc<MemoryBudget>,
    tasks: Tasks,
}

impl ClusterMemories {
    /// No memory yet.
    pub fn new(args: MemoryArgs, budget: MemoryBudget, tasks: Tasks) -> Self {
        Self { args, budget: Arc::new(budget), tasks }
    }

    /// The memory of a cluster. None if the gateway has no credentials at all.
    pub async fn of(
        &self,
        cluster: &str,
        destination: &Destination,
        (calls, reads): (UpstreamCalls, MemoryReads),
    ) -> Result<Option<Arc<ClusterMemory>>, ClientError> {
        let is_name = Path::new(cluster).file_name().is_some_and(|name| name == cluster);
        let Some(directory) = self.args.memory_credentials.as_ref().filter(|_| is_name) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(ClusterMemory {
            cluster: cluster.to_owned(),
            credential: directory.join(cluster),
            keeps_secrets: self.args.memory_secrets,
            upstream: Upstream::new(destination, calls).await?,
            reads,
            budget: Arc::clone(&self.budget),
            reviews: AccessReviews::default(),
            kinds: Mutex::default(),
            wire: tokio::sync::Mutex::default(),
            tasks: self.tasks.child(),
        })))
    }
}

/// The memory of one cluster.
#[derive(Debug)]
pub struct ClusterMemory {
    /// Its name.
    pub(super) cluster: String,
    /// The file with the token of the gateway.
    credential: PathBuf,
    keeps_secrets: bool,
    /// Connections for lists and reviews.
    pub(super) upstream: Upstream,
    /// Counts what is read.
    pub(super) reads: MemoryReads,
    /// Shared by all clusters.
    pub(super) budget: Arc<MemoryBudget>,
    reviews: AccessReviews,
    kinds: Mutex<HashMap<KindName, Arc<KeptKind>>>,
    /// The connection that all watches share.
    wire: tokio::sync::Mutex<Option<Arc<Pulse>>>,
    /// The tasks that fill it.
    pub(super) tasks: Tasks,
}

impl ClusterMemory {
    /// Something was written. `answer` is what the API server says of it.
    pub fn wrote(&self, resource: &ApiResource, answer: &[u8]) -> Option<u64> {
        let version = text_at(answer, &["metadata", "resourceVersion"]).as_deref().and_then(comparable);
        // Other versions of the API show the same objects.
        let is_same =
            |other: &ApiResource| other.name.group == resource.name.group && other.plural == resource.plural;
        for kept in self.kinds.lock().values().filter(|kept| is_same(&kept.resource)) {
            kept.wrote(version);
        }
        version
    }

    /// Forgets everything for good.
    pub fn close(&self) {
        self.tasks.cancel();
        for kept in self.kinds.lock().values() {
            self.budget.changed(kept.clear(), 0);
        }
    }

    /// Returns `true` if a kind may be kept at all.
    pub(super) fn may_keep(&self, resource: &ApiResource) -> bool {
        let is_secret = resource.name.group.is_empty() && resource.plural == "secrets";
        (!is_secret || self.keeps_secrets)
            && ["get", "list", "watch"].iter().all(|verb| resource.takes(verb))
            && !self.tasks.is_cancelled()
    }

    /// A kind, of which perhaps nothing is known.
    pub(super) fn kept(&self, resource: &ApiResource) -> Arc<KeptKind> {
        let mut kinds = self.kinds.lock();
        if let Some(kept) = kinds.get(&resource.name) {
            return Arc::clone(kept);
        }
        let kept = Arc::new(KeptKind::new(resource.clone()));
        self.budget.add(&kept);
        kinds.insert(resource.name.clone(), Arc::clone(&kept));
        kept
    }

    /// Returns `true` if one more kind may be kept.
    pub(super) fn has_place(&self) -> bool {
        self.kinds.lock().values().filter(|kept| kept.is_open()).count() < MAX_KINDS
    }

    /// Returns `true` if a caller has a right.
    pub(super) async fn allows(&self, caller: &HeaderValue, right: KindRight<'_>) -> bool {
        self.reviews.allow(&self.upstream, caller, right).await
    }

    /// The gateway's own credential, read again each time, so that it may be renewed.
    pub(super) async fn credential(&self) -> Option<HeaderValue> {
        token(&self.credential).await
    }

    /// The connection for watches. The reason is `None` if there is none now.
    pub(super) async fn wire(&self) -> Result<Arc<Pulse>, Option<String>> {
        let mut wire = self.wire.lock().await;
        if let Some(known) = wire.as_ref().filter(|known| !known.is_over()) {
            return Ok(Arc::clone(known));
        }
        let new = self.upstream.pulse(&self.tasks).await.map_err(|error| match error {
            NoPulse::NoHttp2 => Some(error.to_string()),
            _ => None,
        })?;
        Ok(Arc::clone(wire.insert(Arc::new(new))))
    }

    /// Uses a connection no more, if it is still in use.
    pub(super) async fn drop_wire(&self, used: &Arc<Pulse>) {
        let mut wire = self.wire.lock().await;
        if wire.as_ref().is_some_and(|known| Arc::ptr_eq(known, used)) {
            *wire = None;
        }
    }
}

async fn token(path: &Path) -> Option<HeaderValue> {
    let text = tokio::fs::read_to_string(path).await.ok()?;
    let mut header = HeaderValue::from_str(&format!("Bearer {}", text.trim())).ok()?;
    header.set_sensitive(true);
    Some(header)
}
