//! Carries out the plan for a key: first its Secrets, then its status, and then people are told.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource as _, ResourceExt as _, api::PostParams};
use portolan_core::api::devportal::{
    APIKey, APIProduct, LABEL_PRODUCT, SECRET_KEY, previous_secret_name, secret_name,
};
use portolan_runtime::{
    apply::{WriteError, delete, escaped, json_patch, replace_status},
    controller::{Action, ReconcileError},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{
    rotation::ANNOTATION_REQUEST,
    secret::{Ownership, ownership, secret},
    state::{KeyPlan, Marks, ObservedKey, RESYNC, SecretStep, Which},
    status::is_product,
};
use crate::{context::Context, names::ObjectName, token};

/// Time until the next look when a store is behind.
const LAG: Duration = Duration::from_millis(100);

/// What a step led to.
enum Outcome {
    Done,
    /// The Secret is there already: the store is behind.
    AlreadyThere,
    /// A Secret of that name is somebody else's.
    Conflict(String),
}

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
            Outcome::Done => context.metrics.wrote_secret(action),
            Outcome::AlreadyThere => return Ok(Some(Action::RequeueAfter(LAG))),
            // The store shows only Secrets of ours, so this one comes as a surprise. The next look sees it no better.
            Outcome::Conflict(secret) => return conflict(context, key, &secret).await.map(Some),
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

fn name_of(key: &APIKey, which: Which) -> String {
    match which {
        Which::Current => secret_name(&key.name_any()),
        Which::Previous => previous_secret_name(&key.name_any()),
    }
}

async fn run(secrets: &Api<Secret>, key: &APIKey, step: SecretStep) -> Result<Outcome, ReconcileError> {
    let failed = |action: &'static str, name: &str, error: WriteError| {
        ReconcileError::new(action, format!("Secret {}/{name}", key.namespace().unwrap_or_default()), error)
    };
    match step {
        SecretStep::Delete { which, uid } => {
            let name = name_of(key, which);
            let uid = match uid {
                Some(uid) => Some(uid),
                None => of_ours(secrets, key, &name)
                    .await
                    .map_err(|error| failed("look at", &name, error.into()))?,
            };
            let Some(uid) = uid else { return Ok(Outcome::Done) };
            delete(secrets, &name, &uid).await.map_err(|error| failed("delete", &name, error))?;
            Ok(Outcome::Done)
        }
        SecretStep::Create(marks) => {
            let value =
                token::fresh().map_err(|error| failed("make a key for", &key.name_any(), random(error)))?;
            create(secrets, key, Which::Current, marks, &value).await
        }
        SecretStep::Mark { which, uid, labels, annotations } => {
            let name = name_of(key, which);
            let body = json!({"metadata": {"uid": uid, "labels": labels, "annotations": annotations}});
            let params = kube::api::PatchParams::default();
            let patched = secrets.patch_metadata(&name, &params, &kube::api::Patch::Merge(body)).await;
            patched.map_err(|error| failed("label", &name, error.into()))?;
            Ok(Outcome::Done)
        }
        SecretStep::Keep(marks) => keep(secrets, key, marks).await,
        SecretStep::Renew { uid, request } => renew(secrets, key, &uid, &request).await,
    }
}

fn random(error: token::NoRandomness) -> WriteError {
    WriteError::Failed(kube::Error::Service(Box::new(error)))
}

/// The UID of a Secret if it is this key's.
async fn of_ours(secrets: &Api<Secret>, key: &APIKey, name: &str) -> kube::Result<Option<String>> {
    let found = secrets.get_metadata_opt(name).await?;
    Ok(found.filter(|found| ownership(&found.metadata, key) == Ownership::Ours).and_then(|found| found.uid()))
}

/// Makes a Secret. One that is there already is never overwritten: ours will do, and any other is a conflict.
async fn create(
    secrets: &Api<Secret>,
    key: &APIKey,
    which: Which,
    marks: Marks,
    value: &SecretString,
) -> Result<Outcome, ReconcileError> {
    let name = name_of(key, which);
    let failed = |error: kube::Error| ReconcileError::new("create Secret", &name, error);
    let labels = marks.labels.clone();
    let made = secrets.create(&PostParams::default(), &secret(key, name.clone(), marks, value)).await;
    match made {
        Ok(_) => Ok(Outcome::Done),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            match secrets.get_metadata_opt(&name).await.map_err(failed)? {
                Some(found) if ownership(&found.metadata, key) == Ownership::Foreign => {
                    Ok(Outcome::Conflict(name))
                }
                Some(found) if ownership(&found.metadata, key) == Ownership::Ours => {
                    // Without its label, the store would never show it.
                    if !found.labels().contains_key(LABEL_PRODUCT) {
                        let body = json!({"metadata": {"uid": found.uid(), "labels": labels}});
                        let patch = kube::api::Patch::Merge(body);
                        secrets
                            .patch_metadata(&name, &kube::api::PatchParams::default(), &patch)
                            .await
                            .map_err(failed)?;
                    }
                    Ok(if which == Which::Previous { Outcome::Done } else { Outcome::AlreadyThere })
                }
                // It belongs to a former key: the store will show that in a moment.
                _ => Err(failed(kube::Error::Api(status))),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// Keeps the value that is in use under the other name.
async fn keep(secrets: &Api<Secret>, key: &APIKey, marks: Marks) -> Result<Outcome, ReconcileError> {
    let name = name_of(key, Which::Current);
    let failed = |error: kube::Error| ReconcileError::new("read Secret", &name, error);
    let found = secrets.get(&name).await.map_err(failed)?;
    let request = marks.annotations.get(ANNOTATION_REQUEST);
    if found.annotations().get(ANNOTATION_REQUEST) == request {
        // It is renewed already: what it holds is the new value.
        return Ok(Outcome::Done);
    }
    let value = found.data.unwrap_or_default().remove(SECRET_KEY).map(|value| value.0).unwrap_or_default();
    let value = SecretString::from(String::from_utf8_lossy(&value).into_owned());
    create(secrets, key, Which::Previous, marks, &value).await
}

/// Replaces the value that is in use.
async fn renew(
    secrets: &Api<Secret>,
    key: &APIKey,
    uid: &str,
    request: &str,
) -> Result<Outcome, ReconcileError> {
    let name = name_of(key, Which::Current);
    let failed = |error: WriteError| ReconcileError::new("renew Secret", &name, error);
    let found = secrets.get_metadata(&name).await.map_err(|error| failed(error.into()))?;
    if found.annotations().get(ANNOTATION_REQUEST).is_some_and(|known| known == request) {
        return Ok(Outcome::Done);
    }
    let value = token::fresh().map_err(|error| failed(random(error)))?;
    let encoded = json!(k8s_openapi::ByteString(value.expose_secret().as_bytes().to_vec()));
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version},
        {"op": "add", "path": format!("/data/{SECRET_KEY}"), "value": encoded},
        {"op": "add", "path": format!("/metadata/annotations/{}", escaped(ANNOTATION_REQUEST)), "value": request},
    ]);
    let _: Secret = json_patch(secrets, &name, None, operations).await.map_err(failed)?;
    Ok(Outcome::Done)
}
