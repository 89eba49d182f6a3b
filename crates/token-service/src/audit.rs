//! Who asked about whom, and what the answer was: one line per decision, none of which holds a token.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::info;

use crate::review::Decision;

/// How long repetitions are only counted.
const WINDOW: Duration = Duration::from_secs(10);
const MAX_KINDS_OF_JUNK: u64 = 1_000;

/// A decision that was made.
pub(crate) fn decided(decision: &Decision, caller: &str, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (cluster, mode) = (decision.cluster(), decision.mode());
    match &decision.outcome {
        Ok(accepted) => {
            info!(
                target: "audit", decision = "authenticated", caller, cluster, mode,
                username = accepted.identity.username, uid = accepted.identity.uid,
                audiences = accepted.audiences.join(","), token_id = accepted.token_id.as_deref(), micros,
                "token reviewed"
            );
        }
        Err(refusal) => info!(
            target: "audit", decision = "refused", caller, cluster, mode,
            reason = refusal.label(), micros, "token reviewed"
        ),
    }
}

/// A verdict that was given again from the cache, so many times until it left it.
pub(crate) fn repeated(caller: &str, cluster: &str, username: Option<&str>, reason: &str, count: u32) {
    let decision = if username.is_some() { "authenticated" } else { "refused" };
    info!(target: "audit", decision, caller, cluster, username, reason, count, "token reviewed again");
}

/// Bearer texts that are no tokens: there is nothing to say about each of them, so they are counted by who
/// sent them.
#[derive(Debug)]
pub(crate) struct Junk {
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

impl Junk {
    pub(crate) fn new() -> Self {
        Self { kinds: Cache::new(MAX_KINDS_OF_JUNK), hasher: RandomState::new() }
    }

    /// The first of its kind is reported, the next ones are counted.
    pub(crate) fn seen(&self, caller: &str, cluster: &str, reason: &'static str) {
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
    pub(crate) fn report(&self) {
        self.report_if(|reported| reported.elapsed() >= WINDOW);
    }

    /// Reports everything that was only counted.
    pub(crate) fn report_all(&self) {
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
