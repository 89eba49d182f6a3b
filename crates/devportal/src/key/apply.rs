//! Carries out the plan for a key: first its Secrets, then its status, and then people are told.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::api::devportal::{APIKey, APIProduct, secret_name};
use portolan_runtime::{
    apply::{json_patch, replace_status},
    controller::{Action, ReconcileError},
};
use serde_json::{Value, json};

use super::{
    state::{KeyPlan, ObservedKey, RESYNC, SecretStep},
    status::is_product,
    steps::{StepOutcome, run},
};
use crate::{context::Context, names::ObjectName, token};

/// Time until the next look when a store is behind.
const LAG: Duration = Duration::from_millis(100);

pub(super) async fn apply(
    context: &Context,
    name: &ObjectName,
    observed: &ObservedKey,
    plan: KeyPlan,
) -> Result<Action, ReconcileError> {
    let mut key = std::sync::Arc::clone(&observed.key);
    if let Some((product, uid)) = &plan.adopt {
        key = std::sync::Arc::new(adopt(context, &key, product, uid).await?);
    }
    if let Some(instead) = carry_out(context, &key, plan.steps).await? {
        return Ok(instead);
    }
    if key.status.as_ref() != Some(&plan.status) {
        let api: Api<APIKey> = Api::namespaced(context.client.clone(), &name.namespace);
        let written = replace_status(&api, &key.metadata, true, &plan.status).await;
        let written =
            written.map_err(|error| ReconcileError::new("write the status of APIKey", name, error))?;
        context.keys.wrote(written);
    }
    let on = key.object_ref(&());
    for told in plan.told {
        if told.warns {
            context.reporter.warn(&on, told.reason, "Reconcile", &token::masked(&told.note)).await;
        } else {
            context.reporter.inform(&on, told.reason, "Reconcile", &token::masked(&told.note)).await;
        }
    }
    for fact in plan.facts {
        context.publish(&key, &fact);
    }
    Ok(plan.again.map_or(Action::AwaitChange, Action::RequeueAfter))
}

/// Deletes the Secrets of a key that is being deleted.
pub(super) async fn farewell(context: &Context, observed: &ObservedKey) -> Result<Action, ReconcileError> {
    let instead = carry_out(context, &observed.key, super::plan::farewell(observed)).await?;
    Ok(instead.unwrap_or(Action::AwaitChange))
}

/// Carries out steps on Secrets. Returns what comes instead of all else if one cannot be carried out.
async fn carry_out(
    context: &Context,
    key: &APIKey,
    steps: Vec<SecretStep>,
) -> Result<Option<Action>, ReconcileError> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace().unwrap_or_default());
    for step in steps {
        let action = action(&step);
        match run(&secrets, key, step).await? {
            StepOutcome::Done => context.metrics.wrote_secret(action),
            StepOutcome::AlreadyThere => return Ok(Some(Action::RequeueAfter(LAG))),
            // The store shows only Secrets of ours, so this one comes as a surprise. The next look sees it no better.
            StepOutcome::Conflict(secret) => return conflict(context, key, &secret).await.map(Some),
        }
    }
    Ok(None)
}

/// Makes the product the owner of the key, so that the key goes with it.
async fn adopt(context: &Context, key: &APIKey, product: &str, uid: &str) -> Result<APIKey, ReconcileError> {
    // A former product is not its owner any more: as long as it is there, the garbage collector would keep the key.
    let owners = key.owner_references().iter().filter(|owner| !is_product(owner));
    let (kind, version) = (APIProduct::kind(&()), APIProduct::api_version(&()));
    let mut owners: Vec<Value> = owners.map(|owner| json!(owner)).collect();
    owners.push(json!({"apiVersion": version, "kind": kind, "name": product, "uid": uid}));
    let api: Api<APIKey> = Api::namespaced(context.client.clone(), &key.namespace().unwrap_or_default());
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": key.metadata.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": key.metadata.resource_version},
        {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
    ]);
    let written: Result<APIKey, _> = json_patch(&api, &key.name_any(), None, operations).await;
    let written = written.map_err(|error| ReconcileError::new("own APIKey", ObjectName::of(key), error))?;
    context.keys.wrote(written.clone());
    Ok(written)
}

async fn conflict(context: &Context, key: &APIKey, secret: &str) -> Result<Action, ReconcileError> {
    let mut observed = super::observe::observe(context, &ObjectName::of(key));
    let observed = observed.as_mut().filter(|observed| observed.key.metadata.deletion_timestamp.is_none());
    let Some(observed) = observed else { return Ok(Action::AwaitChange) };
    if secret == secret_name(&key.name_any()) {
        observed.secret = super::state::SecretState::Foreign;
    } else {
        observed.previous = super::state::SecretState::Foreign;
    }
    let plan = super::plan::plan(observed);
    if observed.key.status.as_ref() != Some(&plan.status) {
        let api: Api<APIKey> = Api::namespaced(context.client.clone(), &key.namespace().unwrap_or_default());
        let written = replace_status(&api, &observed.key.metadata, true, &plan.status).await;
        let failed = |error| ReconcileError::new("write the status of APIKey", ObjectName::of(key), error);
        context.keys.wrote(written.map_err(failed)?);
        for told in plan.told {
            context.reporter.warn(&key.object_ref(&()), told.reason, "Reconcile", &told.note).await;
        }
    }
    Ok(Action::RequeueAfter(RESYNC))
}

/// The word for a step in the metrics.
fn action(step: &SecretStep) -> &'static str {
    match step {
        SecretStep::Create(_) | SecretStep::Keep(_) => "create",
        SecretStep::Renew { .. } => "renew",
        SecretStep::Delete { .. } => "delete",
        SecretStep::Mark { .. } => "label",
    }
}
