//! CRDs that have lost their binding by no word of people, and have objects: mostly, their export was withdrawn.
//!
//! Nothing that happens on a provider deletes an object of a consumer: such a CRD stays, without an owner, and says
//! since when and why. It goes once it is empty, and a later binding takes it over. A backup tool restores a CRD before
//! its objects, so one that this process has never seen with objects is given time.

mod fate;
mod stray;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
    runtime::{watcher, watcher::Event},
};
use parking_lot::Mutex;
use portolan_core::{
    api::kubebind::{ANNOTATION_WITHDRAWN, APIServiceBinding},
    outline::CrdOutline,
};
use portolan_runtime::{
    apply::{self, WriteError, code},
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
    watch,
};
use serde_json::json;
use tokio::time::Instant;
use tracing::info;

use self::fate::{CrdContent, CrdFate, fate};
use crate::{context::KonnectorContext, crd, policy};

const WORKERS: usize = 2;

/// Lets go of a CRD with objects; deletes one without.
pub async fn leave(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    crd: &CrdOutline,
    resource: &ApiResource,
) -> Result<(), WriteError> {
    let name = crd.name_any();
    if content(context, resource).await? == CrdContent::Empty {
        info!(binding = binding.name_any(), crd = name, "unbound, and without objects: deleting the CRD");
        let api: Api<CrdOutline> = Api::all(context.consumer.clone());
        return apply::delete(&api, &name, &crd.uid().unwrap_or_default()).await;
    }
    info!(binding = binding.name_any(), crd = name, "unbound: the CRD stays, because it has objects");
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let cause = cause(binding, context.is_stray(binding));
    let left: CrdOutline = apply::json_patch(&api, &name, None, letting_go(crd, binding, &cause)).await?;
    context.crds.wrote(left.clone());
    context.bodies.forget(&name);
    let note = format!(
        "{cause}. CustomResourceDefinition {name} and its objects stay on this cluster, but are no longer synced."
    );
    context.reporter.warn(&left.object_ref(&()), "Withdrawn", "Unbind", &note).await;
    Ok(())
}

/// Why a CRD is left to itself, for people.
fn cause(binding: &APIServiceBinding, is_stray: bool) -> String {
    let described = policy::described(binding);
    if is_stray {
        format!("{described} was deleted, because the bundle does not exist")
    } else {
        format!("APIServiceExport of {described} was withdrawn")
    }
}

/// Takes the owner off and says why, in the version that was seen: nobody else may have become its owner.
fn letting_go(crd: &CrdOutline, binding: &APIServiceBinding, cause: &str) -> serde_json::Value {
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": crd.metadata.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": crd.metadata.resource_version}),
    ];
    let owners = crd.owner_references().iter();
    if let Some(place) = owners.clone().position(|owner| Some(&owner.uid) == binding.metadata.uid.as_ref()) {
        operations.push(json!({"op": "remove", "path": format!("/metadata/ownerReferences/{place}")}));
    }
    let note = format!("{}: {cause}", clock::now());
    operations.push(if crd.metadata.annotations.is_none() {
        json!({"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_WITHDRAWN: note}})
    } else {
        let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_WITHDRAWN));
        json!({"op": "add", "path": path, "value": note})
    });
    operations.into()
}

async fn content(context: &KonnectorContext, resource: &ApiResource) -> Result<CrdContent, WriteError> {
    let api: Api<DynamicObject> = Api::all_with(context.consumer.clone(), resource);
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Ok(found) if found.items.is_empty() => Ok(CrdContent::Empty),
        Ok(_) => Ok(CrdContent::Objects),
        Err(error) if code(&error) == 404 => Ok(CrdContent::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Returns `true` if a CRD was left without a binding, but with objects.
fn is_left(crd: &CrdOutline) -> bool {
    crd::is_orphan(crd)
        && crd.annotations().contains_key(ANNOTATION_WITHDRAWN)
        && crd.metadata.deletion_timestamp.is_none()
}

/// The state of CRDs that have lost their binding.
#[derive(Default)]
struct FollowedCrds(Mutex<HashMap<String, LeftoverCrd>>);

struct LeftoverCrd {
    uid: Option<String>,
    had_objects: bool,
    empty_since: Option<Instant>,
    /// The watch on its objects.
    watch: Tasks,
}

impl FollowedCrds {
    fn forget(&self, crd: &str) {
        if let Some(left) = self.0.lock().remove(crd) {
            left.watch.cancel();
        }
    }

    /// Takes in what a CRD holds, and gives what becomes of it.
    fn judge(&self, crd: &str, content: CrdContent, poll: Duration) -> CrdFate {
        let mut all = self.0.lock();
        let Some(left) = all.get_mut(crd) else { return CrdFate::LookAgain(poll) };
        left.had_objects |= content == CrdContent::Objects;
        if content != CrdContent::Empty {
            left.empty_since = None;
            return fate(content, left.had_objects, Duration::ZERO, poll);
        }
        let since = *left.empty_since.get_or_insert_with(Instant::now);
        fate(content, left.had_objects, since.elapsed(), poll)
    }
}

pub fn run(tasks: &Tasks, context: &Arc<KonnectorContext>) {
    let (followed, all) = (Arc::new(FollowedCrds::default()), tasks.clone());
    let reconcile = move |context: Arc<KonnectorContext>, name: String| {
        let (followed, tasks) = (Arc::clone(&followed), all.clone());
        async move { reconcile(&context, &followed, &tasks, &name).await }
    };
    let queue = &context.triggers().leftovers;
    Controller { name: "leftover", workers: WORKERS, queue, metrics: &context.metrics.controllers }
        .run(tasks, context, reconcile);
    context.crds.all().iter().for_each(|crd| queue.add(crd.name_any()));
}

async fn reconcile(
    context: &Arc<KonnectorContext>,
    followed: &FollowedCrds,
    tasks: &Tasks,
    name: &str,
) -> Result<Action, ReconcileError> {
    let failed = |error| ReconcileError::new("clean up CRD", name, error);
    let crd = context.crds.get(name);
    if let Some(crd) = &crd
        && let Some(next) = stray::look_after(context, crd).await.map_err(failed)?
    {
        followed.forget(name);
        return Ok(next);
    }
    let left = crd.filter(|crd| is_left(crd));
    let resource = left.as_ref().and_then(|crd| crd.stored_resource());
    let (Some(crd), Some(resource)) = (left, resource) else {
        followed.forget(name);
        return Ok(Action::AwaitChange);
    };
    follow(context, followed, tasks, &crd, &resource);
    let found = content(context, &resource).await.map_err(failed)?;
    match followed.judge(name, found, context.poll_interval) {
        CrdFate::Stays => Ok(Action::AwaitChange),
        CrdFate::LookAgain(after) => Ok(Action::RequeueAfter(after)),
        CrdFate::Goes => {
            info!(crd = name, "the last object is deleted: deleting the withdrawn CRD");
            let api: Api<CrdOutline> = Api::all(context.consumer.clone());
            apply::delete(&api, name, &crd.uid().unwrap_or_default()).await.map_err(failed)?;
            Ok(Action::AwaitChange)
        }
    }
}

/// Triggers a look with the first object that comes, and with every object that goes.
fn follow(
    context: &Arc<KonnectorContext>,
    followed: &FollowedCrds,
    tasks: &Tasks,
    crd: &CrdOutline,
    resource: &ApiResource,
) {
    let name = crd.name_any();
    let mut followed = followed.0.lock();
    if followed.get(&name).is_some_and(|left| left.uid == crd.uid()) {
        return;
    }
    let watch_tasks = tasks.child();
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(context.consumer.clone(), resource);
    let (queue, key) = (Arc::clone(&context.triggers().leftovers), name.clone());
    watch_tasks.spawn("objects of a withdrawn kind", async move {
        let mut has_some = false;
        let on = |event: watcher::Result<Event<PartialObjectMeta<DynamicObject>>>| {
            let is_first = matches!(event, Ok(Event::Apply(_))) && !std::mem::replace(&mut has_some, true);
            if is_first || matches!(event, Ok(Event::Delete(_) | Event::InitDone)) {
                queue.add(key.clone());
            }
        };
        watch::follow(api, watcher::Config::default(), on).await;
    });
    let left = LeftoverCrd { uid: crd.uid(), had_objects: false, empty_since: None, watch: watch_tasks };
    if let Some(former) = followed.insert(name, left) {
        former.watch.cancel();
    }
}
