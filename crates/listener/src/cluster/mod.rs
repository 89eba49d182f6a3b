//! The clusters that are looked at, each by its own worker: one that is slow or down does not delay the others.

mod changes;
mod worker;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_core::api::gateway::SchemaFilter;
use portolan_runtime::tasks::Tasks;
use tokio::time::Instant;

pub use self::changes::Watching;
use self::worker::Worker;
use crate::{
    access::target::{Fingerprint, Target},
    discovery::{Discovered, Workshop},
    metrics::ListenerMetrics,
    problem::Problem,
};

/// The task of a worker. If it changes, another worker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub path: String,
    pub fingerprint: Fingerprint,
    pub filter: Option<SchemaFilter>,
}

/// The result of the last look.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub assignment: Assignment,
    pub result: Result<(), Problem>,
    pub watching: Watching,
}

/// Everything that is known of a cluster, whichever worker found it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub outcome: Option<Outcome>,
    /// The last look that succeeded.
    pub discovered: Arc<Discovered>,
    /// Its time.
    pub succeeded: Option<Instant>,
}

type Progress = Arc<Mutex<Known>>;
type Notify = Arc<dyn Fn(&str) + Send + Sync>;

/// All clusters, by name of their ClusterAccess.
pub struct Clusters {
    tasks: Tasks,
    workshop: Arc<Workshop>,
    metrics: Arc<ListenerMetrics>,
    notify: Notify,
    entries: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    assignment: Assignment,
    /// Address of the cluster.
    server: String,
    tasks: Tasks,
    progress: Progress,
}

impl Clusters {
    /// No clusters yet. `notify` is called with the name of a cluster when there is news of it.
    pub fn new(
        tasks: &Tasks,
        workshop: Arc<Workshop>,
        metrics: Arc<ListenerMetrics>,
        notify: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let (tasks, notify) = (tasks.clone(), Arc::new(notify));
        Self { tasks, workshop, metrics, notify, entries: Mutex::default() }
    }

    /// Starts to look at a cluster, unless that has begun, and returns what is known of it.
    pub fn look_at(&self, name: &str, path: &str, target: &Target, filter: Option<&SchemaFilter>) -> Known {
        let assignment = Assignment {
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
            None => Progress::default(),
        };
        let tasks = self.tasks.child();
        let worker = Worker {
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
        entries.insert(name.to_owned(), Entry { assignment, server, tasks, progress });
        known
    }

    /// Stops the worker of a cluster that cannot be asked at present. What it has found is kept.
    pub fn pause(&self, name: &str) -> Option<Known> {
        let entries = self.entries.lock();
        let entry = entries.get(name)?;
        entry.tasks.cancel();
        Some(entry.progress.lock().clone())
    }

    /// Time since the last successful look at each cluster, by path.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        let entries = self.entries.lock();
        let age = |entry: &Entry| {
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

fn forget_parts(progress: &Progress) -> Progress {
    let known = progress.lock().clone();
    let unmade = Discovered { version: known.discovered.version.clone(), ..Discovered::default() };
    Arc::new(Mutex::new(Known { discovered: Arc::new(unmade), ..known }))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Any assignment.
    pub fn assignment() -> Assignment {
        Assignment { path: "test".to_owned(), fingerprint: Fingerprint::of("test"), filter: None }
    }
}
