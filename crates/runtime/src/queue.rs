//! A queue of keys to reconcile: a key is in it once, and is worked on by one worker at a time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::OnceLock,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{backoff::Backoff, metrics::Gauge};

/// The first and the longest delay before a failed key is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A work queue. Keys that are added while they are worked on come up once more afterwards.
///
/// # Examples
///
/// ```
/// use portolan_runtime::queue::WorkQueue;
///
/// let queue = WorkQueue::default();
/// queue.add("a");
/// queue.add("a");
/// assert_eq!(queue.depth(), 1);
/// ```
#[derive(Debug)]
pub struct WorkQueue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
    /// Gauge of the depth, shared with other queues.
    depth: OnceLock<Gauge>,
}

#[derive(Debug)]
struct Inner<K> {
    ready: VecDeque<K>,
    /// Taken when nothing is ready. A key that became ready meanwhile is still in it, once.
    last: VecDeque<K>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    delayed_keys: HashMap<u64, K>,
    entries: HashMap<K, Entry>,
    next_ticket: u64,
    /// Our share of the gauge.
    shown: i64,
}

#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a key may be in several of these places")]
struct Entry {
    ready: bool,
    /// It is to be worked on when no other waits.
    last: bool,
    /// It is among the last ones.
    is_listed_last: bool,
    running: bool,
    /// The ticket of the delay that counts; earlier ones are void.
    ticket: Option<(Instant, u64)>,
    failures: u32,
    /// Since when it has been ready.
    since: Option<Instant>,
}

impl Entry {
    /// Returns `true` if nothing has to be remembered of the key.
    fn is_idle(self) -> bool {
        let waits = self.ready || self.last || self.is_listed_last || self.ticket.is_some();
        !waits && !self.running && self.failures == 0
    }
}

impl<K: Clone + Debug + Eq + Hash> Default for WorkQueue<K> {
    fn default() -> Self {
        let inner = Inner {
            ready: VecDeque::new(),
            last: VecDeque::new(),
            delayed: BinaryHeap::new(),
            delayed_keys: HashMap::new(),
            entries: HashMap::new(),
            next_ticket: 0,
            shown: 0,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new(), depth: OnceLock::new() }
    }
}

impl<K: Clone + Debug + Eq + Hash> WorkQueue<K> {
    /// Adds a key, to be worked on as soon as a worker is free.
    pub fn add(&self, key: K) {
        self.with(|inner| inner.make_ready(key));
        self.changed.notify_one();
    }

    /// Adds a key, to be worked on when no other waits.
    pub fn add_last(&self, key: K) {
        self.inner.lock().make_last(key);
        self.changed.notify_one();
    }

    /// Shows the number of waiting keys in a gauge, beside what others add to it.
    pub(crate) fn show_depth(&self, gauge: &Gauge) {
        self.depth.get_or_init(|| gauge.clone());
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner<K>) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = work(&mut inner);
        if let Some(gauge) = self.depth.get() {
            let depth = i64::try_from(inner.ready.len()).unwrap_or(i64::MAX);
            gauge.add(depth - inner.shown);
            inner.shown = depth;
        }
        result
    }

    /// Adds a key, to be worked on after a delay, or earlier if it is already due earlier.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.inner.lock().delay(key, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Number of keys that wait, without delayed and last ones.
    pub fn depth(&self) -> usize {
        self.inner.lock().ready.len()
    }

    /// The next key. It stays reserved until [`Self::done`] or [`Self::failed`].
    pub async fn next(&self) -> K {
        self.next_waited().await.0
    }

    /// The next key, and how long it has waited.
    pub(crate) async fn next_waited(&self) -> (K, Duration) {
        loop {
            let taken = self.with(Inner::take);
            let wake_at = match taken {
                Taken::Key { key, waited, more } => {
                    if more {
                        self.changed.notify_one();
                    }
                    return (key, waited);
                }
                Taken::Nothing { wake_at } => wake_at,
            };
            match wake_at {
                None => self.changed.notified().await,
                Some(at) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// The key was worked on without a failure.
    pub fn done(&self, key: &K) {
        self.with(|inner| inner.release(key, false));
        self.changed.notify_one();
    }

    /// Requeues a key that failed, after a delay that grows with every failure in a row.
    /// Returns that delay.
    pub fn failed(&self, key: &K) -> Duration {
        let failures = self.with(|inner| inner.release(key, true));
        let ceiling = Backoff::ceiling(RETRY_MIN, RETRY_MAX, failures.saturating_sub(1));
        let delay = Backoff::new(ceiling, ceiling).next_delay();
        self.inner.lock().delay(key.clone(), Instant::now() + delay);
        self.changed.notify_one();
        delay
    }
}

impl<K> Drop for WorkQueue<K> {
    fn drop(&mut self) {
        if let Some(gauge) = self.depth.get() {
            gauge.sub(self.inner.get_mut().shown);
        }
    }
}

enum Taken<K> {
    Key { key: K, waited: Duration, more: bool },
    Nothing { wake_at: Option<Instant> },
}

impl<K: Clone + Debug + Eq + Hash> Inner<K> {
    fn make_ready(&mut self, key: K) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.ticket = None;
        entry.last = false;
        if entry.ready {
            return;
        }
        entry.ready = true;
        entry.since = Some(Instant::now());
        if !entry.running {
            self.ready.push_back(key);
        }
    }

    fn make_last(&mut self, key: K) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.ready {
            return;
        }
        entry.last = true;
        if !entry.running && !entry.is_listed_last {
            entry.is_listed_last = true;
            self.last.push_back(key);
        }
    }

    fn pop_last(&mut self) -> Option<K> {
        loop {
            let key = self.last.pop_front()?;
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.is_listed_last = false;
            if entry.last && !entry.running {
                return Some(key);
            }
            if entry.is_idle() {
                self.entries.remove(&key);
            }
        }
    }

    fn delay(&mut self, key: K, at: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        let earlier = entry.ready || entry.ticket.is_some_and(|(due, _)| due <= at);
        if earlier {
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        entry.ticket = Some((at, ticket));
        self.delayed.push(Reverse((at, ticket)));
        self.delayed_keys.insert(ticket, key);
    }

    fn take(&mut self) -> Taken<K> {
        self.promote_due();
        let Some(key) = self.ready.pop_front().or_else(|| self.pop_last()) else {
            return Taken::Nothing { wake_at: self.delayed.peek().map(|Reverse((at, _))| *at) };
        };
        let mut waited = Duration::ZERO;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.ready = false;
            entry.last = false;
            entry.running = true;
            waited = entry.since.take().map(|since| since.elapsed()).unwrap_or_default();
        }
        Taken::Key { key, waited, more: !self.ready.is_empty() || !self.last.is_empty() }
    }

    fn promote_due(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, ticket))) = self.delayed.peek() {
            if at > now {
                return;
            }
            self.delayed.pop();
            let Some(key) = self.delayed_keys.remove(&ticket) else { continue };
            let counts = self.entries.get(&key).is_some_and(|e| e.ticket == Some((at, ticket)));
            if counts {
                self.make_ready(key);
            }
        }
    }

    /// Gives how often the key has failed in a row.
    fn release(&mut self, key: &K, failed: bool) -> u32 {
        let Some(entry) = self.entries.get_mut(key) else { return 0 };
        entry.running = false;
        entry.failures = if failed { entry.failures.saturating_add(1) } else { 0 };
        let Entry { failures, ready, last, .. } = *entry;
        if ready {
            self.ready.push_back(key.clone());
        } else if last {
            self.make_last(key.clone());
        } else if entry.is_idle() {
            self.entries.remove(key);
        }
        failures
    }
}

#[cfg(test)]
mod tests;
