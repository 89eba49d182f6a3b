//! The watches of an endpoint. Subscribers with the same question and the same access share one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use portolan_runtime::tasks::Tasks;

use super::{
    channel::{Channel, Member},
    watching,
};
use crate::{endpoint::Endpoint, identity::Caller};

/// The identity of a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChannelKey {
    /// Path and selectors.
    pub(crate) path: String,
    /// The version that it begins at, if the caller names one.
    pub(crate) from: Option<String>,
    /// The caller, for kinds that may look different to each.
    pub(crate) caller: Option<String>,
}

/// The channels of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    channels: Mutex<HashMap<ChannelKey, Weak<Channel>>>,
}

impl Hub {
    /// Joins the channel of a question; the first subscriber opens it.
    pub(crate) fn join(
        &self,
        key: &ChannelKey,
        endpoint: &Arc<Endpoint>,
        caller: &Caller,
        tasks: &Tasks,
    ) -> Member {
        let mut channels = self.channels.lock();
        channels.retain(|_, channel| channel.strong_count() > 0);
        if let Some(member) =
            channels.get(key).and_then(Weak::upgrade).and_then(|channel| Channel::join(&channel, caller))
        {
            return member;
        }
        let channel = Arc::new(Channel::new(key.path.clone()));
        let member = Channel::join(&channel, caller).expect("a new channel is open");
        channels.insert(key.clone(), Arc::downgrade(&channel));
        let watch = watching::watch(Arc::downgrade(&channel), Arc::clone(endpoint), key.from.clone());
        tasks.spawn("shared watch", watch);
        member
    }
}
