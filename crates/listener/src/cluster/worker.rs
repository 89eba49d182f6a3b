//! The worker of one cluster: looks, waits for a change, looks again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use portolan_core::kubeconfig::RestrictedKubeconfig;
use portolan_runtime::{backoff::Backoff, tasks::Tasks};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{
    ClusterNotify, ClusterProgress, LookOutcome, WatchMode, WorkerAssignment,
    changes::{ApiChange, TargetChanges},
};
use crate::{
    discovery::{DiscoveredApi, Discovery, OpenApiIndex, PartWorkshop},
    metrics::ListenerMetrics,
    problem::Problem,
};

/// Interval at which the index is polled after a change, until the change shows.
const LOOK: Duration = Duration::from_millis(200);
/// Limit for that. Changes of a status never show.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Limit for changes that follow one another without an end: whatever else is due waits for them.
const LOOK_MOST: Duration = Duration::from_secs(15);
/// Number of polls after which the resources are compared, too: short names and categories are not in the index.
const LIST_AT: u32 = 8;
/// Interval at which the index is polled if the credential may not watch.
const POLL: Duration = Duration::from_secs(10);
/// Interval at which everything is looked at in any case.
const BACKSTOP: Duration = Duration::from_secs(300);
/// Delays after a failed look.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Delay before failed group-versions are tried again.
const RETRY_PARTS: Duration = Duration::from_secs(10);
/// Delays before another look at an API server that may have just started. Jitter takes up to half of them.
const RECHECK_MIN: Duration = Duration::from_secs(4);
const RECHECK_MAX: Duration = Duration::from_secs(10);
/// Number of consecutive looks with new hashes but without new content after which the hashes count as useless.
const UNSTABLE: u32 = 4;

/// A worker.
pub(super) struct ClusterWorker {
    pub(super) name: String,
    pub(super) assignment: WorkerAssignment,
    pub(super) target: RestrictedKubeconfig,
    pub(super) workshop: Arc<PartWorkshop>,
    pub(super) metrics: Arc<ListenerMetrics>,
    pub(super) progress: ClusterProgress,
    pub(super) notify: ClusterNotify,
    pub(super) tasks: Tasks,
}

impl ClusterWorker {
    /// Works until it is cancelled.
    pub(super) async fn run(self) {
        let filter = self.assignment.filter.clone();
        let discovery = match Discovery::new(self.target.clone(), filter, Arc::clone(&self.workshop)).await {
            Ok(discovery) => discovery,
            // Only another target helps, and that starts another worker.
            Err(problem) => return self.report(Err(problem), WatchMode::Unknown),
        };
        let mut rounds = DiscoveryRounds {
            worker: &self,
            discovery,
            changes: None,
            following: None,
            unseen: None,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX),
            rechecking: Backoff::new(RECHECK_MIN, RECHECK_MAX),
            in_vain: 0,
        };
        loop {
            let wait = rounds.look().await;
            rounds.wait(wait).await;
        }
    }

    /// Records and logs the result of a look.
    fn report(&self, result: Result<DiscoveredApi, Problem>, watching: WatchMode) {
        let mut known = self.progress.lock();
        let result = match result {
            Ok(discovered) => {
                if !discovered.serves_the_same(&known.discovered) {
                    let (kinds, fetched) = (discovered.kinds(), discovered.fetched);
                    info!(
                        cluster = self.name,
                        path = self.assignment.path,
                        kinds,
                        fetched,
                        "the cluster serves something new"
                    );
                }
                known.discovered = Arc::new(discovered);
                known.succeeded = Some(Instant::now());
                Ok(())
            }
            Err(problem) => {
                let said = known.outcome.as_ref().and_then(|outcome| outcome.result.as_ref().err());
                if said.is_none_or(|said| said.reason != problem.reason) {
                    warn!(
                        cluster = self.name,
                        path = self.assignment.path,
                        reason = problem.reason,
                        "{}",
                        problem.message
                    );
                }
                Err(problem)
            }
        };
        known.outcome = Some(LookOutcome { assignment: self.assignment.clone(), result, watching });
        drop(known);
        (self.notify)(&self.name);
    }

    /// Records that changes are noticed in another way from now on.
    fn report_watching(&self, watching: WatchMode) {
        if let Some(outcome) = &mut self.progress.lock().outcome {
            outcome.watching = watching;
        }
        (self.notify)(&self.name);
    }

    fn known(&self) -> Arc<DiscoveredApi> {
        Arc::clone(&self.progress.lock().discovered)
    }
}

struct DiscoveryRounds<'a> {
    worker: &'a ClusterWorker,
    discovery: Discovery,
    changes: Option<TargetChanges>,
    /// The last change, and the time until which OpenAPI and resources may still disagree about it.
    following: Option<(ExpectedChanges, Instant)>,
    /// The groups of the last change that the index does not show yet, and the time until which it may.
    unseen: Option<(ExpectedChanges, Instant)>,
    backoff: Backoff,
    rechecking: Backoff,
    /// Number of consecutive looks with new hashes but without new content.
    in_vain: u32,
}

impl DiscoveryRounds<'_> {
    /// Looks at everything, and returns when to do so again if nothing happens.
    async fn look(&mut self) -> Duration {
        let before = self.worker.known();
        let started = Instant::now();
        let result = self.discovery.look(&before).await;
        let reason = result.as_ref().err().map(|problem| problem.reason);
        self.worker.metrics.looked(&self.worker.assignment.path, started.elapsed(), reason);
        let wait = match &result {
            Err(_) => self.backoff.next_delay(),
            Ok(found) => {
                self.backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
                let in_vain = found.fetched > 0 && found.serves_the_same(&before);
                self.in_vain = if in_vain { self.in_vain.saturating_add(1) } else { 0 };
                self.wait_after(found)
            }
        };
        if result.is_ok() && self.changes.is_none() {
            self.changes = Some(TargetChanges::follow(&self.worker.tasks, &self.discovery.client));
        }
        self.worker.report(result, self.watching());
        wait
    }

    /// When to look again after a look that succeeded.
    fn wait_after(&mut self, found: &DiscoveredApi) -> Duration {
        if found.rechecks > 0 {
            return self.rechecking.next_delay();
        }
        self.rechecking = Backoff::new(RECHECK_MIN, RECHECK_MAX);
        let is_whole = found.failed.is_empty() && found.undescribed.is_empty();
        if is_whole { BACKSTOP } else { RETRY_PARTS }
    }

    fn watching(&self) -> WatchMode {
        match &self.changes {
            _ if self.in_vain >= UNSTABLE => WatchMode::Unstable,
            None => WatchMode::Unknown,
            Some(changes) if *changes.forbidden.borrow() => WatchMode::Forbidden,
            Some(_) => WatchMode::Watches,
        }
    }

    /// Waits until there is a reason to look at everything.
    async fn wait(&mut self, longest: Duration) {
        let known = self.worker.known();
        let is_late = |(watched, until): &(ExpectedChanges, Instant)| {
            *until > Instant::now() && !watched.is_settled(&known)
        };
        self.following = self.following.take().filter(is_late);
        if self.following.is_some() {
            return sleep(LOOK).await;
        }
        let unseen = self.unseen.take().filter(|(_, until)| *until > Instant::now());
        if let Some((watched, until)) = unseen
            && self.poll(watched, until).await
        {
            return;
        }
        let until = Instant::now() + longest;
        loop {
            let watching = self.watching();
            let now = Instant::now();
            if now >= until {
                return;
            }
            let poll = if watching == WatchMode::Forbidden { POLL.min(until - now) } else { until - now };
            let Some(changes) = &mut self.changes else { return sleep(until - now).await };
            let TargetChanges { pending, forbidden } = changes;
            tokio::select! {
                change = pending.next() => {
                    let mut watched = ExpectedChanges::Groups(BTreeSet::new());
                    watched.add(change);
                    if self.poll(watched, Instant::now() + LOOK_FOR).await {
                        return;
                    }
                }
                Ok(()) = forbidden.changed() => {
                    // The status says at once that new APIs take a little longer to be seen.
                    self.worker.report_watching(self.watching());
                }
                () = sleep(poll) => {
                    if watching == WatchMode::Forbidden && self.has_moved().await {
                        return;
                    }
                }
            }
        }
    }

    /// Polls the index until it shows a change. Returns `true` if it did, so that everything has to be looked at.
    async fn poll(&mut self, mut watched: ExpectedChanges, mut until: Instant) -> bool {
        let (mut polls, end) = (0_u32, Instant::now() + LOOK_MOST);
        loop {
            while let Some(change) = self.changes.as_ref().and_then(|changes| changes.pending.take()) {
                watched.add(change);
                until = end.min(Instant::now() + LOOK_FOR);
            }
            let once = watched == ExpectedChanges::Everything || self.in_vain >= UNSTABLE;
            let is_last = once || Instant::now() >= until;
            polls = polls.saturating_add(1);
            let known = self.worker.known();
            let index = self.index().await;
            let is_news = match &index {
                Some(index) if watched.has_moved(&known, index) => true,
                Some(_) if is_last || polls == LIST_AT => {
                    self.discovery.lists_other(&known, watched.groups()).await
                }
                Some(_) => false,
                // Looking at everything finds the reason.
                None => is_last,
            };
            if is_news {
                // Those of the other groups may come a moment later.
                let unseen = index.and_then(|index| watched.unmoved(&known, &index));
                self.unseen = unseen.map(|unseen| (unseen, until));
                self.following = Some((watched, Instant::now() + LOOK_FOR));
                return true;
            }
            if is_last {
                return false;
            }
            sleep(LOOK).await;
        }
    }

    /// Returns `true` if the index has changed, or if everything is to be looked at to find out why it cannot be read.
    async fn has_moved(&self) -> bool {
        let known = self.worker.known();
        self.index().await.is_none_or(|index| index != known.index)
    }

    /// The index, if it can be read.
    async fn index(&self) -> Option<OpenApiIndex> {
        match self.discovery.index().await {
            Ok(index) => Some(index),
            Err(problem) => {
                debug!(cluster = self.worker.name, "the index cannot be read: {problem}");
                None
            }
        }
    }
}

/// The expected changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ExpectedChanges {
    Groups(BTreeSet<String>),
    Everything,
}

impl ExpectedChanges {
    fn add(&mut self, change: ApiChange) {
        match (self, change) {
            (Self::Groups(groups), ApiChange::Group(group)) => _ = groups.insert(group),
            (this, ApiChange::Anything) => *this = Self::Everything,
            (Self::Everything, _) => {}
        }
    }

    fn has_moved(&self, known: &DiscoveredApi, index: &OpenApiIndex) -> bool {
        match self {
            Self::Everything => *index != known.index,
            Self::Groups(groups) => {
                groups.iter().any(|group| !known.index.of_group(group).eq(index.of_group(group)))
            }
        }
    }

    /// The groups that have not changed yet.
    fn unmoved(&self, known: &DiscoveredApi, index: &OpenApiIndex) -> Option<Self> {
        let groups = self.groups()?;
        let is_same = |group: &&String| known.index.of_group(group).eq(index.of_group(group));
        let same: BTreeSet<_> = groups.iter().filter(is_same).cloned().collect();
        (!same.is_empty()).then_some(Self::Groups(same))
    }

    /// The groups, unless it is all of them.
    fn groups(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Everything => None,
            Self::Groups(groups) => Some(groups),
        }
    }

    fn is_settled(&self, known: &DiscoveredApi) -> bool {
        match self {
            Self::Everything => true,
            Self::Groups(groups) => groups.iter().all(|group| known.is_settled(group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(&str, &str)]) -> OpenApiIndex {
        OpenApiIndex(entries.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect())
    }

    fn groups(names: &[&str]) -> ExpectedChanges {
        let mut watched = ExpectedChanges::Groups(BTreeSet::new());
        for name in names {
            watched.add(ApiChange::Group((*name).to_owned()));
        }
        watched
    }

    #[test]
    fn only_the_hash_of_what_has_changed_counts() {
        let known =
            DiscoveredApi { index: index(&[("v1", "1"), ("x.io/v1", "1")]), ..DiscoveredApi::default() };
        let table = [
            (groups(&["x.io"]), index(&[("v1", "2"), ("x.io/v1", "1")]), false),
            (groups(&["x.io"]), index(&[("v1", "1"), ("x.io/v1", "2")]), true),
            (groups(&["x.io"]), index(&[("v1", "1")]), true),
            (groups(&["x.io", "y.io"]), index(&[("v1", "1"), ("x.io/v1", "1"), ("y.io/v1", "1")]), true),
            (groups(&["y.io"]), index(&[("v1", "1"), ("x.io/v1", "1")]), false),
            (ExpectedChanges::Everything, index(&[("v1", "2"), ("x.io/v1", "1")]), true),
            (ExpectedChanges::Everything, known.index.clone(), false),
        ];
        for (watched, index, expected) in table {
            assert_eq!(watched.has_moved(&known, &index), expected, "{watched:?} {index:?}");
        }
        let moved = index(&[("v1", "1"), ("x.io/v1", "2")]);
        assert_eq!(groups(&["x.io", "y.io"]).unmoved(&known, &moved), Some(groups(&["y.io"])));
        assert_eq!(groups(&["x.io"]).unmoved(&known, &moved), None);
        let mut all = groups(&["x.io"]);
        all.add(ApiChange::Anything);
        assert_eq!(all, ExpectedChanges::Everything);
    }
}
