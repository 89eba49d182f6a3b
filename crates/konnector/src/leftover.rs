//! CRDs whose export was withdrawn while objects of people were there.
//!
//! Nothing that happens on a provider deletes an object of a consumer: such a CRD stays, without an owner, and says
//! since when and why. It goes once it is empty, and a later binding takes it over.

use std::{collections::HashMap, sync::Arc};

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
use tracing::info;

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
    if is_empty(context, resource).await? {
        info!(binding = binding.name_any(), crd = name, "withdrawn, and without objects: deleting the CRD");
        let api: Api<CrdOutline> = Api::all(context.consumer.clone());
        return apply::delete(&api, &name, &crd.uid().unwrap_or_default()).await;
    }
    info!(binding = binding.name_any(), crd = name, "withdrawn: the CRD stays, because it has objects");
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let left: CrdOutline = apply::json_patch(&api, &name, None, letting_go(crd, binding)).await?;
    context.crds.wrote(left.clone());
    context.bodies.forget(&name);
    let note = format!(
        "APIServiceExport {} was withdrawn. CustomResourceDefinition {name} and its objects stay on this cluster, but \
         are no longer synced.",
        binding.name_any()
    );
    context.reporter.warn(&left.object_ref(&()), "Withdrawn", "Unbind", &note).await;
    Ok(())
}

/// Takes the owner off and says why, in the version that was seen: nobody else may have become its owner.
fn letting_go(crd: &CrdOutline, binding: &APIServiceBinding) -> serde_json::Value {
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": crd.metadata.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": crd.metadata.resource_version}),
    ];
    let owners = crd.owner_references().iter();
    if let Some(place) = owners.clone().position(|owner| Some(&owner.uid) == binding.metadata.uid.as_ref()) {
        operations.push(json!({"op": "remove", "path": format!("/metadata/ownerReferences/{place}")}));
    }
    let note = format!("{}: APIServiceExport of {} was withdrawn", clock::now(), policy::described(binding));
    operations.push(if crd.metadata.annotations.is_none() {
        json!({"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_WITHDRAWN: note}})
    } else {
        let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_WITHDRAWN));
        json!({"op": "add", "path": path, "value": note})
    });
    operations.into()
}

async fn is_empty(context: &KonnectorContext, resource: &ApiResource) -> Result<bool, WriteError> {
    let api: Api<DynamicObject> = Api::all_with(context.consumer.clone(), resource);
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Ok(found) => Ok(found.items.is_empty()),
        // The kind itself is gone.
        Err(error) if code(&error) == 404 => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Returns `true` if a CRD was left without a binding, but with objects.
fn is_left(crd: &CrdOutline) -> bool {
    crd::is_orphan(crd)
        && crd.annotations().contains_key(ANNOTATION_WITHDRAWN)
        && crd.metadata.deletion_timestamp.is_none()
}

/// The watches on the objects of CRDs that were left to themselves.
#[derive(Default)]
struct Followed(Mutex<HashMap<String, (Option<String>, Tasks)>>);

pub fn run(tasks: &Tasks, context: &Arc<KonnectorContext>) {
    let (followed, all) = (Arc::new(Followed::default()), tasks.clone());
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
    followed: &Followed,
    tasks: &Tasks,
    name: &str,
) -> Result<Action, ReconcileError> {
    let crd = context.crds.get(name);
    let left = crd.filter(|crd| is_left(crd));
    let resource = left.as_ref().and_then(|crd| crd.stored_resource());
    let (Some(crd), Some(resource)) = (left, resource) else {
        if let Some((_, watch)) = followed.0.lock().remove(name) {
            watch.cancel();
        }
        return Ok(Action::AwaitChange);
    };
    let failed = |error| ReconcileError::new("clean up CRD", name, error);
    if is_empty(context, &resource).await.map_err(failed)? {
        info!(crd = name, "the last object is deleted: deleting the withdrawn CRD");
        let api: Api<CrdOutline> = Api::all(context.consumer.clone());
        apply::delete(&api, name, &crd.uid().unwrap_or_default()).await.map_err(failed)?;
        return Ok(Action::AwaitChange);
    }
    follow(context, followed, tasks, &crd, &resource);
    Ok(Action::AwaitChange)
}

/// Triggers a look with every object that goes.
fn follow(
    context: &Arc<KonnectorContext>,
    followed: &Followed,
    tasks: &Tasks,
    crd: &CrdOutline,
    resource: &ApiResource,
) {
    let name = crd.name_any();
    let mut followed = followed.0.lock();
    if followed.get(&name).is_some_and(|(uid, _)| *uid == crd.uid()) {
        return;
    }
    let watch_tasks = tasks.child();
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(context.consumer.clone(), resource);
    let (queue, key) = (Arc::clone(&context.triggers().leftovers), name.clone());
    watch_tasks.spawn("objects of a withdrawn kind", async move {
        let on = |event: watcher::Result<Event<PartialObjectMeta<DynamicObject>>>| {
            if matches!(event, Ok(Event::Delete(_) | Event::InitDone)) {
                queue.add(key.clone());
            }
        };
        watch::follow(api, watcher::Config::default(), on).await;
    });
    if let Some((_, former)) = followed.insert(name, (crd.uid(), watch_tasks)) {
        former.cancel();
    }
}
