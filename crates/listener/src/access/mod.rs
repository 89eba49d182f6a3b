//! The controller of ClusterAccesses: turns each object into a document, and reports in its status.

mod keys;
mod observe;
mod paths;
mod pem;
pub mod spec;
mod status;
pub mod target;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::{
    api::gateway::{
        CONDITION_READY, ClusterAccess, ClusterAccessStatus, REASON_PATH_CONFLICT, REASON_SUCCEEDED,
    },
    standard_condition::find,
};
use portolan_runtime::{
    apply::{WriteError, replace_status},
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};
use tokio::time::sleep;

use self::{
    paths::{PathOwners, is_there},
    status::{StatusFacts, status},
};
use crate::{cluster::KnownCluster, context::ReconcileContext, problem::Problem};

/// Number of ClusterAccesses that are reconciled at a time. Slow work is left to the workers of the clusters.
const WORKERS: usize = 4;
/// Interval at which metrics report the age of documents.
const AGES_EVERY: Duration = Duration::from_secs(5);
/// Requeue interval, since client certificates expire without an event.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Starts the controller.
pub fn run(tasks: &Tasks, context: &Arc<ReconcileContext>) {
    let controller = Controller {
        name: "clusteraccess",
        workers: WORKERS,
        queue: &context.queue,
        metrics: &context.controllers,
    };
    controller.run(tasks, context, |context, name| async move { reconcile(&context, &name).await });
    let aging = Arc::clone(context);
    tasks.spawn_critical("ages", async move {
        loop {
            for (path, age) in aging.clusters.ages() {
                aging.metrics.age(&path, age);
            }
            sleep(AGES_EVERY).await;
        }
    });
}

async fn reconcile(context: &ReconcileContext, name: &str) -> Result<Action, ReconcileError> {
    let accesses = context.accesses.all();
    let owners = PathOwners::of(&accesses);
    if name.is_empty() {
        retain_references(context, &accesses);
        take_stock(context, &accesses, &owners);
        return Ok(Action::AwaitChange);
    }
    let Some(access) = context.accesses.get(name).filter(|access| is_there(access)) else {
        context.clusters.forget(name);
        context.documents.remove(name);
        context.tried.lock().remove(name);
        take_stock(context, &accesses, &owners);
        return Ok(Action::AwaitChange);
    };
    let judged = judge(context, &access, &owners);
    if judged.is_decided() {
        context.tried.lock().insert(name.to_owned());
    }
    renew_refused(context, &access, &judged);
    take_stock(context, &accesses, &owners);
    if context.leads() {
        tell(context, &access, &judged).await.map_err(|source| {
            ReconcileError::new("write the status", format_args!("of ClusterAccess {name:?}"), source)
        })?;
    }
    Ok(Action::RequeueAfter(LOOK_AGAIN))
}

/// Everything that is known of one ClusterAccess.
struct JudgedAccess {
    path: String,
    served: bool,
    known: Option<KnownCluster>,
    problem: Option<Problem>,
    looked: bool,
}

impl JudgedAccess {
    fn is_decided(&self) -> bool {
        self.looked || self.problem.is_some()
    }
}

/// Makes sure that the cluster is looked at, and that its document has what was found.
fn judge(context: &ReconcileContext, access: &ClusterAccess, owners: &PathOwners) -> JudgedAccess {
    let (name, path) = (access.name_any(), access.path().into_owned());
    let labels = access.labels().clone();
    if let Some(owner) = owners.owner(&path).filter(|owner| *owner != name) {
        let message = format!(
            "path {path:?} is served for the older ClusterAccess {owner:?}: give one of them another path"
        );
        context.clusters.forget(&name);
        context.documents.remove(&name);
        let problem = Some(Problem::lasting(REASON_PATH_CONFLICT, message));
        return JudgedAccess { path, served: false, known: None, problem, looked: false };
    }
    let wanted = spec::validate(access).and_then(|wanted| observe::target(context, &wanted, clock::now()));
    let (known, problem, looked) = match wanted {
        Ok(Some(target)) => {
            let known = context.clusters.look_at(&name, &path, &target, access.spec.schema_filter.as_ref());
            let outcome = known.outcome.as_ref().filter(|outcome| {
                outcome.assignment.fingerprint == target.fingerprint
                    && outcome.assignment.filter == access.spec.schema_filter
            });
            let result = outcome.map(|outcome| outcome.result.clone());
            match result {
                Some(Ok(())) => {
                    context.documents.put(&name, target.metadata(&path, labels.clone()), &known.discovered);
                    (Some(known), None, true)
                }
                Some(Err(problem)) => (Some(known), Some(problem), false),
                None => (Some(known), None, false),
            }
        }
        // The last result stands until the references have been read.
        Ok(None) => (None, None, false),
        Err(problem) => (context.clusters.pause(&name), Some(problem), false),
    };
    if problem.as_ref().is_some_and(|problem| problem.reason == "PathInvalid") {
        context.documents.remove(&name);
    } else {
        context.documents.rename(&name, &path, &labels);
    }
    let documents = context.documents.snapshot().documents;
    let document = documents.get(&path).filter(|document| *document.access == *name);
    let is_written = document.is_none_or(|document| !context.file_states.awaits(document));
    JudgedAccess {
        served: document.is_some(),
        looked: looked && (is_written || !context.leads()),
        path,
        known,
        problem,
    }
}

/// Requests another token of the service account whose token the cluster refuses.
fn renew_refused(context: &ReconcileContext, access: &ClusterAccess, judged: &JudgedAccess) {
    let is_refused = judged.problem.as_ref().is_some_and(|problem| problem.reason == "Unauthorized");
    let account = access.spec.auth.as_ref().and_then(|auth| auth.service_account_ref.as_ref());
    if let Some(account) = account.filter(|_| is_refused) {
        context.accounts.refused(account);
    }
}

/// Updates paths, metrics and readiness.
fn take_stock(context: &ReconcileContext, accesses: &[Arc<ClusterAccess>], owners: &PathOwners) {
    let names: BTreeSet<_> =
        accesses.iter().filter(|access| is_there(access)).map(|a| a.name_any()).collect();
    let missing = {
        let mut tried = context.tried.lock();
        tried.retain(|name| names.contains(name));
        names.difference(&tried).cloned().collect::<Vec<_>>()
    };
    context.documents.set_paths(owners.by_access(), missing.is_empty());
    context.metrics.documents(&context.documents.snapshot());
    match missing.first() {
        None => context.ready.ready(),
        Some(first) => {
            let count = missing.len();
            context
                .ready
                .not_ready(&format!("{count} ClusterAccesses were not tried yet, such as {first:?}"));
        }
    }
}

/// Ends the watches of objects that nobody refers to any more.
fn retain_references(context: &ReconcileContext, accesses: &[Arc<ClusterAccess>]) {
    let wanted: Vec<_> = accesses.iter().filter_map(|access| spec::validate(access).ok()).collect();
    let (mut secrets, mut config_maps, mut accounts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for wanted in wanted {
        let (of_secrets, of_config_maps) = observe::referred(&wanted);
        secrets.extend(of_secrets);
        config_maps.extend(of_config_maps);
        if let spec::CredentialSource::ServiceAccount(reference) = wanted.credential {
            accounts.insert(reference);
        }
    }
    context.secrets.retain(|key| secrets.contains(key));
    context.config_maps.retain(|key| config_maps.contains(key));
    context.accounts.retain(|reference| accounts.contains(reference));
}

/// Writes the status if it has changed, and an Event if the reason has.
async fn tell(
    context: &ReconcileContext,
    access: &ClusterAccess,
    judged: &JudgedAccess,
) -> Result<(), WriteError> {
    let before = access.status.as_ref().and_then(|status| find(&status.conditions, CONDITION_READY));
    if !judged.is_decided() && before.is_some() {
        // The last report stands until more is known.
        return Ok(());
    }
    let trouble = context.file_states.trouble(&judged.path);
    let view = StatusFacts {
        served: judged.served.then_some(judged.path.as_str()),
        known: judged.known.as_ref(),
        problem: judged.problem.as_ref(),
        trouble: trouble.as_ref(),
        looked: judged.looked,
    };
    let told = status(access, &view, clock::now());
    if access.status.as_ref() == Some(&told) {
        return Ok(());
    }
    let api: Api<ClusterAccess> = Api::all(context.client.clone());
    let written = replace_status(&api, &access.metadata, false, &told).await?;
    context.accesses.wrote(written);
    announce(context, access, &told).await;
    Ok(())
}

async fn announce(context: &ReconcileContext, access: &ClusterAccess, told: &ClusterAccessStatus) {
    let before = access.status.as_ref().and_then(|status| find(&status.conditions, CONDITION_READY));
    let Some(now) = find(&told.conditions, CONDITION_READY) else { return };
    if before.is_some_and(|before| before.reason == now.reason && before.message == now.message) {
        return;
    }
    let on = access.object_ref(&());
    match now.reason.as_str() {
        "Discovering" => {}
        REASON_SUCCEEDED => context.reporter.inform(&on, REASON_SUCCEEDED, "Discover", &now.message).await,
        reason => context.reporter.warn(&on, reason, "Discover", &now.message).await,
    }
}
