//! Objects that are stored in versions that go are rewritten, as Kubernetes' storage version migrator does.
//!
//! The API server lets a version go only when its CRD says that nothing is stored in it. A write without a change
//! stores an object in the version that is current.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use parking_lot::Mutex;
use portolan_core::outline::CrdOutline;
use portolan_runtime::{
    apply::{self, WriteError},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::info;

const PAGE: u32 = 250;
const AT_ONCE: usize = 16;
/// Time for which another API server may go on storing in the former version after the CRD has changed.
const SETTLE: Duration = Duration::from_secs(1);
/// When to try again what has failed.
const AGAIN: Duration = Duration::from_secs(15);

/// A resource whose objects are to be rewritten.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationJob {
    pub crd: String,
    pub uid: Option<String>,
    /// The resource in the version to store it in.
    pub resource: ApiResource,
    /// The versions that go.
    pub former: Vec<String>,
}

impl MigrationJob {
    pub fn of(crd: &CrdOutline, former: Vec<String>) -> Option<Self> {
        let stored = crd.spec.versions.iter().find(|version| version.storage && version.served)?;
        let resource = portolan_core::outline::api_resource(&crd.spec.group, &crd.spec.names, &stored.name);
        Some(Self { crd: crd.name_any(), uid: crd.uid(), resource, former })
    }
}

/// Progress of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationState {
    Running { former: Vec<String>, target: String, written: usize },
    Failed { former: Vec<String>, target: String, why: String },
}

struct Migration {
    job: MigrationJob,
    written: AtomicUsize,
    failed: Mutex<Option<(String, Instant)>>,
}

impl Migration {
    fn state(&self) -> MigrationState {
        let (former, target) = (self.job.former.clone(), self.job.resource.version.clone());
        match &*self.failed.lock() {
            Some((why, _)) => MigrationState::Failed { former, target, why: why.clone() },
            None => MigrationState::Running { former, target, written: self.written.load(Ordering::Relaxed) },
        }
    }

    fn is_due_again(&self) -> bool {
        self.failed.lock().as_ref().is_some_and(|(_, at)| at.elapsed() >= AGAIN)
    }
}

/// The migrations that run or have failed, by CRD.
pub struct Migrations {
    tasks: Tasks,
    client: Client,
    all: Mutex<HashMap<String, Arc<Migration>>>,
}

impl Migrations {
    pub fn new(tasks: &Tasks, client: Client) -> Self {
        Self { tasks: tasks.clone(), client, all: Mutex::default() }
    }

    /// Makes sure that a job runs, and returns its state. `on_state` is called when it has ended.
    pub fn ensure(&self, job: &MigrationJob, on_state: Arc<dyn Fn() + Send + Sync>) -> MigrationState {
        let mut all = self.all.lock();
        if let Some(known) = all.get(&job.crd).filter(|known| known.job == *job && !known.is_due_again()) {
            return known.state();
        }
        let migration =
            Arc::new(Migration { written: AtomicUsize::new(0), failed: Mutex::default(), job: job.clone() });
        all.insert(job.crd.clone(), Arc::clone(&migration));
        let (client, state) = (self.client.clone(), migration.state());
        self.tasks.spawn("migration of stored versions", async move {
            info!(crd = migration.job.crd, former = ?migration.job.former, "rewriting stored objects");
            if let Err(why) = run(&client, &migration).await {
                *migration.failed.lock() = Some((why, Instant::now()));
            }
            on_state();
        });
        state
    }

    /// Nothing has to be rewritten any more.
    pub fn forget(&self, crd: &str) {
        self.all.lock().remove(crd);
    }
}

/// The error is for people.
async fn run(client: &Client, migration: &Migration) -> Result<(), String> {
    sleep(SETTLE).await;
    let job = &migration.job;
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &job.resource);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = everywhere.list_metadata(&params).await;
        let page = page.map_err(|error| format!("cannot list the objects: {}", ErrorChain(&error)))?;
        let objects = page.items.into_iter();
        stream::iter(objects.map(|object| write_anew(client.clone(), job.clone(), object)))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|()| {
                migration.written.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .await?;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let crds: Api<CrdOutline> = Api::all(client.clone());
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": job.uid},
        {"op": "add", "path": "/status/storedVersions", "value": [job.resource.version]},
    ]);
    let lowered: Result<CrdOutline, _> = apply::json_patch(&crds, &job.crd, Some("status"), operations).await;
    lowered
        .map(|_| ())
        .map_err(|error| format!("cannot write status.storedVersions: {}", ErrorChain(error.cause())))
}

/// Managed fields of a version that goes would keep everybody from applying to the object.
fn change(job: &MigrationJob, object: &PartialObjectMeta<DynamicObject>) -> serde_json::Value {
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": object.metadata.uid})];
    let leaves = |version: &str| {
        let name = version.strip_prefix(&job.resource.group).and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| job.former.iter().any(|former| former == name))
    };
    let entries = object.metadata.managed_fields.as_deref().unwrap_or_default();
    if let Some(entries) = apply::renamed(entries, leaves, &job.resource.api_version) {
        let version = &object.metadata.resource_version;
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
        operations.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": entries}));
    }
    operations.into()
}

async fn write_anew(
    client: Client,
    job: MigrationJob,
    mut object: PartialObjectMeta<DynamicObject>,
) -> Result<(), String> {
    let resource = &job.resource;
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client, &namespace, resource),
        None => Api::all_with(client, resource),
    };
    let name = object.name_any();
    let failed = |error: &kube::Error| {
        let namespace = api.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("cannot write {namespace}{name} in {}: {}", resource.version, ErrorChain(error))
    };
    loop {
        match apply::json_patch::<DynamicObject>(&api, &name, None, change(&job, &object)).await {
            Ok(_) => return Ok(()),
            // It is gone, or somebody has written it meanwhile.
            Err(WriteError::Conflict(_)) => match api.get_metadata(&name).await {
                Ok(found) => object = found,
                Err(error) if apply::is_absent(&error, &name) => return Ok(()),
                Err(error) => return Err(failed(&error)),
            },
            Err(error) => return Err(failed(error.cause())),
        }
    }
}
