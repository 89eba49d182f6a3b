//! Bearer texts that are no tokens: there is nothing to say about each of them, so they are counted by who sent them.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::info;

/// Time for which repetitions are only counted.
const WINDOW: Duration = Duration::from_secs(10);
const MAX_KINDS: u64 = 1_000;

/// Counts of junk sent instead of tokens, by sender and reason.
#[derive(Debug)]
pub struct JunkCounter {
    /// By a hash: to look one up takes no memory.
    kinds: Cache<u64, Arc<Kind>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Kind {
    caller: String,
    cluster: String,
    reason: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    reported: Option<Instant>,
    count: u64,
}

impl Default for JunkCounter {
    fn default() -> Self {
        Self { kinds: Cache::new(MAX_KINDS), hasher: RandomState::new() }
    }
}

impl JunkCounter {
    /// The first of its kind is reported, the next ones are counted.
    pub fn seen(&self, caller: &str, cluster: &str, reason: &'static str) {
        let hash = self.hasher.hash_one((caller, cluster, reason));
        let kind = self.kinds.get_with(hash, || {
            let seen = Mutex::new(Seen { reported: None, count: 0 });
            Arc::new(Kind { caller: caller.to_owned(), cluster: cluster.to_owned(), reason, seen })
        });
        let mut seen = kind.seen.lock();
        seen.count += 1;
        if seen.reported.is_none_or(|at| at.elapsed() >= WINDOW) {
            report(&kind, &mut seen);
        }
    }

    /// Reports what was only counted, once its time is over.
    pub fn report(&self) {
        self.report_if(|reported| reported.elapsed() >= WINDOW);
    }

    /// Reports everything that was only counted.
    pub fn report_all(&self) {
        self.report_if(|_| true);
    }

    fn report_if(&self, is_time: impl Fn(Instant) -> bool) {
        for (_, kind) in &self.kinds {
            let mut seen = kind.seen.lock();
            if seen.count > 0 && seen.reported.is_some_and(&is_time) {
                report(&kind, &mut seen);
            }
        }
    }
}

fn report(kind: &Kind, seen: &mut Seen) {
    let Kind { caller, cluster, reason, .. } = kind;
    let count = std::mem::take(&mut seen.count);
    seen.reported = Some(Instant::now());
    info!(target: "audit", decision = "refused", caller, cluster, reason, count, "no token");
}
