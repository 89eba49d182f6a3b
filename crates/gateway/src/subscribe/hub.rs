//! The watches of an endpoint. Subscribers with the same question and the same access share one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use moka::future::Cache;
use parking_lot::Mutex;
use portolan_runtime::{keyed_hash::KeyedHash, tasks::Tasks};

use super::{
    channel::{ChannelMember, WatchChannel},
    watching,
};
use crate::{endpoint::ClusterEndpoint, error::GraphError, identity::Caller};

/// The identity of a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    /// Path and selectors.
    pub path: String,
    /// The version that it begins at, if the caller names one.
    pub from: Option<String>,
    /// The caller, for kinds that may look different to each.
    pub caller: Option<String>,
}

/// Time for which a proof of access is one for all subscriptions of a caller.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// Maximum number of such proofs.
const MAX_PROOFS: u64 = 10_000;

/// The channels of an endpoint.
#[derive(Debug)]
pub struct ChannelHub {
    channels: Mutex<HashMap<ChannelKey, Weak<WatchChannel>>>,
    /// Proofs of the last moment, by hashes of token and right.
    proofs: Cache<u128, ()>,
    hashes: KeyedHash,
}

impl Default for ChannelHub {
    fn default() -> Self {
        Self {
            channels: Mutex::default(),
            proofs: Cache::builder().max_capacity(MAX_PROOFS).time_to_live(SHARED_FOR).build(),
            hashes: KeyedHash::default(),
        }
    }
}

impl ChannelHub {
    /// Proves access, unless that was done just now for another subscription of the same caller.
    pub async fn prove(
        &self,
        (caller, right): (&Caller, &serde_json::Value),
        proof: impl Future<Output = Result<(), GraphError>>,
    ) -> Result<(), GraphError> {
        let hash = self.hashes.of((caller.authorization.as_bytes(), right.to_string()));
        self.proofs.try_get_with(hash, proof).await.map_err(|error| (*error).clone())
    }

    /// Joins the channel of a question; the first subscriber opens it.
    pub fn join(
        &self,
        key: &ChannelKey,
        endpoint: &Arc<ClusterEndpoint>,
        caller: &Caller,
        tasks: &Tasks,
    ) -> ChannelMember {
        let mut channels = self.channels.lock();
        channels.retain(|_, channel| channel.strong_count() > 0);
        if let Some(member) =
            channels.get(key).and_then(Weak::upgrade).and_then(|channel| WatchChannel::join(&channel, caller))
        {
            return member;
        }
        let channel = Arc::new(WatchChannel::new(key.path.clone(), key.from.is_some()));
        let member = WatchChannel::join(&channel, caller).expect("a new channel is open");
        channels.insert(key.clone(), Arc::downgrade(&channel));
        let watch = watching::watch(Arc::downgrade(&channel), Arc::clone(endpoint), key.from.clone());
        tasks.spawn("shared watch", watch);
        member
    }
}
