//! A shared watch as its members see it. It is read with the credential of one member at a time, and never with that
//! of a member who has left.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

use super::known::ChangeKind;
use crate::{error::GraphError, identity::Caller};

/// Maximum number of events that wait for a slow member before it has to list again.
const BACKLOG: usize = 256;

/// News of a watch.
#[derive(Clone, Debug)]
pub enum WatchNews {
    /// An object has changed.
    Event(Arc<WatchEvent>),
    /// Events were missed: members list again.
    Gap,
}

/// A change of an object.
#[derive(Debug)]
pub struct WatchEvent {
    /// The kind of change.
    pub change: ChangeKind,
    /// The object as the API server wrote it.
    pub object: Bytes,
    /// Namespace and name.
    pub key: Box<str>,
    /// Its resource version.
    pub version: String,
}

/// One shared watch.
#[derive(Debug)]
pub struct WatchChannel {
    /// Path and selectors.
    pub path: String,
    /// `true` if its members begin at a version, and not with a list of their own.
    begins_at_version: bool,
    sender: broadcast::Sender<WatchNews>,
    seats: Mutex<ChannelSeats>,
    /// Notified when a member leaves.
    pub left: Notify,
}

#[derive(Debug, Default)]
struct ChannelSeats {
    next: u64,
    members: Vec<ChannelSeat>,
    has_told: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct ChannelSeat {
    id: u64,
    authorization: HeaderValue,
    ended: watch::Sender<Option<GraphError>>,
}

/// A membership in a channel. Dropping it leaves the channel.
#[derive(Debug)]
pub struct ChannelMember {
    /// The news of the watch.
    pub news: broadcast::Receiver<WatchNews>,
    /// The error that ends it for this member.
    pub ended: watch::Receiver<Option<GraphError>>,
    id: u64,
    channel: Arc<WatchChannel>,
}

impl WatchChannel {
    /// A channel without members.
    pub fn new(path: String, begins_at_version: bool) -> Self {
        let (sender, seats) = (broadcast::Sender::new(BACKLOG), Mutex::default());
        Self { path, begins_at_version, sender, seats, left: Notify::new() }
    }

    /// Joins a channel. None if its watch has ended, or has told already what this member would have to hear.
    pub fn join(channel: &Arc<Self>, caller: &Caller) -> Option<ChannelMember> {
        let mut seats = channel.seats.lock();
        if seats.is_closed || channel.begins_at_version && seats.has_told {
            return None;
        }
        let (sender, ended) = watch::channel(None);
        let id = seats.next;
        seats.next += 1;
        seats.members.push(ChannelSeat { id, authorization: caller.authorization.clone(), ended: sender });
        Some(ChannelMember { news: channel.sender.subscribe(), ended, id, channel: Arc::clone(channel) })
    }

    /// The member whose credential is used now. Without members, the channel closes for good.
    pub fn leader(&self) -> Option<(u64, HeaderValue)> {
        let mut seats = self.seats.lock();
        let leader = seats.members.first().map(|seat| (seat.id, seat.authorization.clone()));
        seats.is_closed |= leader.is_none();
        leader
    }

    /// Returns `true` while a member is there.
    pub fn has(&self, id: u64) -> bool {
        self.seats.lock().members.iter().any(|seat| seat.id == id)
    }

    /// Ends it for one member.
    pub fn expel(&self, id: u64, error: &GraphError) {
        let mut seats = self.seats.lock();
        for seat in seats.members.iter().filter(|seat| seat.id == id) {
            seat.ended.send_replace(Some(error.clone()));
        }
        seats.members.retain(|seat| seat.id != id);
    }

    /// Ends it for all members.
    pub fn close(&self, error: &GraphError) {
        let mut seats = self.seats.lock();
        seats.is_closed = true;
        for seat in seats.members.drain(..) {
            seat.ended.send_replace(Some(error.clone()));
        }
    }

    /// Tells all members.
    pub fn tell(&self, news: WatchNews) {
        // Nobody joins meanwhile.
        let mut seats = self.seats.lock();
        seats.has_told = true;
        // There may be no receiver.
        let _ = self.sender.send(news);
    }
}

impl Drop for ChannelMember {
    fn drop(&mut self) {
        self.channel.seats.lock().members.retain(|seat| seat.id != self.id);
        self.channel.left.notify_one();
    }
}
