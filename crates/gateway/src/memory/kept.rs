//! One kind in memory: whether it is there, how old it is, and who may count on it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::RwLock;
use portolan_runtime::tasks::Tasks;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::held::HeldObjects;
use crate::document::ApiResource;

/// Age from which memory is not read any more.
pub const TOO_OLD: Duration = Duration::from_secs(1);
/// Time that a read waits for a version.
const PATIENCE: Duration = Duration::from_millis(800);
/// Within this time, a kind must be asked for twice.
const TWICE_WITHIN: Duration = Duration::from_secs(60);
/// Time for which memory is not read after a write of which no version is known.
const AFTER_WRITE: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum KeptState {
    /// Nothing is there; perhaps somebody has asked.
    Empty(Option<Instant>),
    /// Not to be filled before.
    Closed(Instant),
    /// It is being filled, or kept.
    Open(Box<OpenContent>),
}

#[derive(Debug)]
struct OpenContent {
    held: HeldObjects,
    /// `true` once the list is complete.
    is_whole: bool,
    tasks: Tasks,
}

#[derive(Debug)]
struct KeptContent {
    state: KeptState,
    /// Counts fillings, so that an old one changes nothing in a new one.
    filling: u64,
    /// The time up to which everything is known.
    proof: Instant,
}

/// A kind.
#[derive(Debug)]
pub struct KeptKind {
    /// The kind.
    pub resource: ApiResource,
    content: RwLock<KeptContent>,
    /// The version up to which everything is known; 0 if nothing is.
    version: watch::Sender<u64>,
    /// The latest version that this process has written.
    floor: AtomicU64,
    begin: Instant,
    /// Milliseconds from `begin` to the last read.
    read: AtomicU64,
    /// Milliseconds from `begin` until memory may be read again.
    not_before: AtomicU64,
}

/// A reader's view of memory.
#[derive(Debug)]
pub struct MemoryView<T> {
    /// The objects that were looked for.
    pub found: T,
    /// The time up to which all of it is known.
    pub proof: Instant,
}

/// The number of a filling.
pub type FillingNumber = u64;

impl KeptKind {
    /// A kind of which nothing is known.
    pub fn new(resource: ApiResource) -> Self {
        let begin = Instant::now();
        Self {
            resource,
            content: RwLock::new(KeptContent { state: KeptState::Empty(None), filling: 0, proof: begin }),
            version: watch::Sender::new(0),
            floor: AtomicU64::new(0),
            begin,
            read: AtomicU64::new(0),
            not_before: AtomicU64::new(0),
        }
    }

    /// Somebody asks. Returns the number of a filling that is to begin, with these tasks, if it is the second time.
    pub fn asked(&self, tasks: &Tasks) -> Option<(FillingNumber, Tasks)> {
        let now = Instant::now();
        let mut content = self.content.write();
        let is_second = match &mut content.state {
            KeptState::Empty(before) => before.replace(now).is_some_and(|before| now - before < TWICE_WITHIN),
            KeptState::Closed(until) if *until <= now => {
                content.state = KeptState::Empty(Some(now));
                false
            }
            KeptState::Closed(_) | KeptState::Open(_) => false,
        };
        if !is_second {
            return None;
        }
        let tasks = tasks.child();
        content.filling += 1;
        content.state = KeptState::Open(Box::new(OpenContent {
            held: HeldObjects::default(),
            is_whole: false,
            tasks: tasks.clone(),
        }));
        self.note_read();
        Some((content.filling, tasks))
    }

    /// Returns `true` if memory is whole, and young enough.
    pub fn is_fresh(&self) -> bool {
        self.now() >= self.not_before.load(Ordering::Relaxed)
            && self.look(|_| ()).is_some_and(|look| look.proof.elapsed() < TOO_OLD)
    }

    /// Looks into memory. None if it is not whole.
    pub fn look<T>(&self, find: impl FnOnce(&HeldObjects) -> T) -> Option<MemoryView<T>> {
        let content = self.content.read();
        match &content.state {
            KeptState::Open(open) if open.is_whole => {
                Some(MemoryView { proof: content.proof, found: find(&open.held) })
            }
            _ => None,
        }
    }

    /// Waits until memory knows a version, and all that this process has written. False if that takes too long.
    pub async fn reaches(&self, version: u64) -> bool {
        let version = version.max(self.floor.load(Ordering::Relaxed));
        if *self.version.borrow() >= version {
            return true;
        }
        let mut reached = self.version.subscribe();
        let waiting = reached.wait_for(|known| *known >= version);
        timeout(PATIENCE, waiting).await.is_ok_and(|known| known.is_ok())
    }

    /// This process has written an object, so that readers wait until memory has it, too.
    pub fn wrote(&self, version: Option<u64>) {
        match version {
            Some(version) => _ = self.floor.fetch_max(version, Ordering::Relaxed),
            None => self.not_before.store(self.now() + millis(AFTER_WRITE), Ordering::Relaxed),
        }
    }

    /// The highest version that this process has written.
    pub fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// Lets a filling change what is held. None if it is not the current one.
    pub fn fill(
        &self,
        filling: FillingNumber,
        change: impl FnOnce(&mut HeldObjects),
    ) -> Option<FilledWeight> {
        let mut content = self.content.write();
        if content.filling != filling {
            return None;
        }
        let KeptState::Open(open) = &mut content.state else { return None };
        let before = open.held.weight;
        change(&mut open.held);
        if open.is_whole {
            self.version.send_replace(open.held.version);
        }
        Some(FilledWeight { before, after: open.held.weight })
    }

    /// The list of a filling is complete, as it was at a time. If versions run backwards, what was written before counts
    /// no more: that is another history.
    pub fn whole(&self, filling: FillingNumber, version: u64, (asked, floor): (Instant, u64)) {
        if version < floor {
            let _ = self.floor.compare_exchange(floor, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        let mut content = self.content.write();
        if content.filling == filling
            && let KeptState::Open(open) = &mut content.state
        {
            open.held.listed(version);
            open.is_whole = true;
            content.proof = asked;
            self.version.send_replace(version);
        }
    }

    /// Everything up to a time is known.
    pub fn proven(&self, filling: FillingNumber, at: Instant) {
        let mut content = self.content.write();
        if content.filling == filling {
            content.proof = content.proof.max(at);
        }
    }

    /// Empties it, and returns the weight that is gone; a filling that is under way may begin again.
    pub fn empty(&self, filling: FillingNumber) -> u64 {
        let mut content = self.content.write();
        if content.filling != filling {
            return 0;
        }
        let KeptState::Open(open) = &mut content.state else { return 0 };
        open.is_whole = false;
        let held = std::mem::take(&mut open.held);
        self.version.send_replace(0);
        // Nobody waits for so many objects to go.
        drop(content);
        held.weight
    }

    /// Ends a filling, and returns the weight that is gone. Another one may begin after a pause.
    pub fn close(&self, filling: FillingNumber, pause: Duration) -> u64 {
        let weight = self.empty(filling);
        let mut content = self.content.write();
        if content.filling == filling && matches!(content.state, KeptState::Open(_)) {
            content.state = KeptState::Closed(Instant::now() + pause);
        }
        weight
    }

    /// Empties it, ends what fills it, and returns the weight that is gone.
    pub fn clear(&self) -> u64 {
        let mut content = self.content.write();
        let KeptState::Open(open) = std::mem::replace(&mut content.state, KeptState::Empty(None)) else {
            return 0;
        };
        open.tasks.cancel();
        content.filling += 1;
        self.version.send_replace(0);
        // Nobody waits for so many objects to go.
        drop(content);
        open.held.weight
    }

    /// Returns `true` while it is filled or kept.
    pub fn is_open(&self) -> bool {
        matches!(self.content.read().state, KeptState::Open(_))
    }

    /// The memory that it takes.
    pub fn weight(&self) -> u64 {
        match &self.content.read().state {
            KeptState::Open(open) => open.held.weight,
            _ => 0,
        }
    }

    /// Somebody reads it.
    pub fn note_read(&self) {
        self.read.store(self.now(), Ordering::Relaxed);
    }

    /// The time since somebody has read it.
    pub fn unread_for(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.read.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        millis(self.begin.elapsed())
    }
}

/// The weight of what is held, before and after a change.
#[derive(Clone, Copy, Debug)]
pub struct FilledWeight {
    /// The weight before.
    pub before: u64,
    /// The weight after.
    pub after: u64,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
