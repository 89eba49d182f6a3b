//! The clusters that are looked at, each by its own worker: one that is slow or down does not delay the others.

mod changes;
mod worker;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_core::api::gateway::SchemaFilter;
use portolan_runtime::tasks::Tasks;
use tokio::time::Instant;

pub use self::changes::WatchMode;
use self::worker::ClusterWorker;
use crate::{
    access::target::{ClusterTarget, TargetFingerprint},
    discovery::{DiscoveredApi, PartWorkshop},
    metrics::ListenerMetrics,
    problem::Problem,
};

/// The task of a worker. If it changes, another worker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerAssignment {
    pub path: String,
    pub fingerprint: TargetFingerprint,
    pub filter: Option<SchemaFilter>,
}

/// The result of the last look.
#[derive(Clone, Debug)]
pub struct LookOutcome {
    pub assignment: WorkerAssignment,
    pub result: Result<(), Problem>,
    pub watching: WatchMode,
}

/// Everything that is known of a cluster, whichever worker found it.
#[derive(Clone, Debug, Default)]
pub struct KnownCluster {
    pub outcome: Option<LookOutcome>,
    /// The last look that succeeded.
    pub discovered: Arc<DiscoveredApi>,
    /// Its time.
    pub succeeded: Option<Instant>,
}

type ClusterProgress = Arc<Mutex<KnownCluster>>;
type ClusterNotify = Arc<dyn Fn(&str) + Send + Sync>;

/// All clusters, by name of their ClusterAccess.
pub struct Clusters {
    tasks: Tasks,
    workshop: Arc<PartWorkshop>,
    metrics: Arc<ListenerMetrics>,
    notify: ClusterNotify,
    entries: Mutex<BTreeMap<String, ClusterEntry>>,
}

struct ClusterEntry {
    assignment: WorkerAssignment,
    /// Address of the cluster.
    server: String,
    tasks: Tasks,
    progress: ClusterProgress,
}

impl Clusters {
    /// No clusters yet. `notify` is called with the name of a cluster when there is news of it.
    pub fn new(
        tasks: &Tasks,
        workshop: Arc<PartWorkshop>,
        metrics: Arc<ListenerMetrics>,
        notify: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let (tasks, notify) = (tasks.clone(), Arc::new(notify));
        Self { tasks, workshop, metrics, notify, entries: Mutex::default() }
    }

    /// Starts to look at a cluster, unless that has begun, and returns what is known of it.
    pub fn look_at(
        &self,
        name: &str,
        path: &str,
        target: &ClusterTarget,
        filter: Option<&SchemaFilter>,
    ) -> KnownCluster {
        let assignment = WorkerAssignment {
            path: path.to_owned(),
            fingerprint: target.fingerprint.clone(),
            filter: filter.cloned(),
        };
        let server = target.connection.server.clone();
        let mut entries = self.entries.lock();
        let progress = match entries.get(name) {
            Some(entry) if entry.assignment == assignment && !entry.tasks.is_cancelled() => {
                return entry.progress.lock().clone();
            }
            Some(entry) => {
                entry.tasks.cancel();
                // Parts that were made with another filter, or of another cluster, are of no use.
                if entry.assignment.filter == assignment.filter && entry.server == server {
                    Arc::clone(&entry.progress)
                } else {
                    forget_parts(&entry.progress)
                }
            }
            None => ClusterProgress::default(),
        };
        let tasks = self.tasks.child();
        let worker = ClusterWorker {
            name: name.to_owned(),
            assignment: assignment.clone(),
            target: target.connection.clone(),
            workshop: Arc::clone(&self.workshop),
            metrics: Arc::clone(&self.metrics),
            progress: Arc::clone(&progress),
            notify: Arc::clone(&self.notify),
            tasks: tasks.clone(),
        };
        tasks.spawn("cluster", worker.run());
        let known = progress.lock().clone();
        entries.insert(name.to_owned(), ClusterEntry { assignment, server, tasks, progress });
        known
    }

    /// Stops the worker of a cluster that cannot be asked at present. What it has found is kept.
    pub fn pause(&self, name: &str) -> Option<KnownCluster> {
        let entries = self.entries.lock();
        let entry = entries.get(name)?;
        entry.tasks.cancel();
        Some(entry.progress.lock().clone())
    }

    /// Time since the last successful look at each cluster, by path.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        let entries = self.entries.lock();
        let age = |entry: &ClusterEntry| {
            let succeeded = entry.progress.lock().succeeded?;
            Some((entry.assignment.path.clone(), succeeded.elapsed()))
        };
        entries.values().filter_map(age).collect()
    }

    /// Stops the worker of a cluster and drops what it has found.
    pub fn forget(&self, name: &str) {
        if let Some(entry) = self.entries.lock().remove(name) {
            entry.tasks.cancel();
        }
    }
}

fn forget_parts(progress: &ClusterProgress) -> ClusterProgress {
    let known = progress.lock().clone();
    let unmade = DiscoveredApi { version: known.discovered.version.clone(), ..DiscoveredApi::default() };
    Arc::new(Mutex::new(KnownCluster { discovered: Arc::new(unmade), ..known }))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Any assignment.
    pub fn assignment() -> WorkerAssignment {
        WorkerAssignment { path: "test".to_owned(), fingerprint: TargetFingerprint::of("test"), filter: None }
    }
}
