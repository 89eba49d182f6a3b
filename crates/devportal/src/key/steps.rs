//! Carries out one step on the Secrets of a key.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use portolan_core::api::devportal::{APIKey, LABEL_PRODUCT, SECRET_KEY, previous_secret_name, secret_name};
use portolan_runtime::{
    apply::{WriteError, delete, escaped, json_patch},
    controller::ReconcileError,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{
    rotation::ANNOTATION_REQUEST,
    secret::{SecretOwnership, ownership, secret},
    state::{SecretMarks, SecretStep, WhichSecret},
};
use crate::token;

/// What a step led to.
pub(super) enum StepOutcome {
    Done,
    /// The Secret is there already: the store is behind.
    AlreadyThere,
    /// A Secret of that name is somebody else's.
    Conflict(String),
}

fn name_of(key: &APIKey, which: WhichSecret) -> String {
    match which {
        WhichSecret::Current => secret_name(&key.name_any()),
        WhichSecret::Previous => previous_secret_name(&key.name_any()),
    }
}

/// Carries out a step.
pub(super) async fn run(
    secrets: &Api<Secret>,
    key: &APIKey,
    step: SecretStep,
) -> Result<StepOutcome, ReconcileError> {
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
            let Some(uid) = uid else { return Ok(StepOutcome::Done) };
            delete(secrets, &name, &uid).await.map_err(|error| failed("delete", &name, error))?;
            Ok(StepOutcome::Done)
        }
        SecretStep::Create(marks) => {
            let value =
                token::fresh().map_err(|error| failed("make a key for", &key.name_any(), random(error)))?;
            create(secrets, key, WhichSecret::Current, marks, &value).await
        }
        SecretStep::Mark { which, uid, labels, annotations, owners } => {
            let name = name_of(key, which);
            let mut body = json!({"metadata": {"uid": uid, "labels": labels, "annotations": annotations}});
            if let Some(owners) = owners {
                body["metadata"]["ownerReferences"] = owners;
            }
            let params = kube::api::PatchParams::default();
            let patched = secrets.patch_metadata(&name, &params, &kube::api::Patch::Merge(body)).await;
            patched.map_err(|error| failed("label", &name, error.into()))?;
            Ok(StepOutcome::Done)
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
    Ok(found
        .filter(|found| ownership(&found.metadata, key) == SecretOwnership::Ours)
        .and_then(|found| found.uid()))
}

/// Makes a Secret. One that is there already is never overwritten: ours will do, and any other is a conflict.
async fn create(
    secrets: &Api<Secret>,
    key: &APIKey,
    which: WhichSecret,
    marks: SecretMarks,
    value: &SecretString,
) -> Result<StepOutcome, ReconcileError> {
    let name = name_of(key, which);
    let failed = |error: kube::Error| ReconcileError::new("create Secret", &name, error);
    let (labels, request) = (marks.labels.clone(), marks.annotations.get(ANNOTATION_REQUEST).cloned());
    let made = secrets.create(&PostParams::default(), &secret(key, name.clone(), marks, value)).await;
    match made {
        Ok(_) => Ok(StepOutcome::Done),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            match secrets.get_metadata_opt(&name).await.map_err(failed)? {
                Some(found) if ownership(&found.metadata, key) == SecretOwnership::Foreign => {
                    Ok(StepOutcome::Conflict(name))
                }
                Some(found) if is_ours_to_stay(&found.metadata, key) => {
                    // Without its label, the store would never show it.
                    if !found.labels().contains_key(LABEL_PRODUCT) {
                        let body = json!({"metadata": {"uid": found.uid(), "labels": labels}});
                        let patch = kube::api::Patch::Merge(body);
                        secrets
                            .patch_metadata(&name, &kube::api::PatchParams::default(), &patch)
                            .await
                            .map_err(failed)?;
                    }
                    let is_kept =
                        which == WhichSecret::Previous && is_for(&found.metadata, request.as_deref());
                    Ok(if is_kept { StepOutcome::Done } else { StepOutcome::AlreadyThere })
                }
                // A former key's, which the store shows in time if it has its label.
                Some(found) if found.metadata.deletion_timestamp.is_none() => {
                    let deleted = delete(secrets, &name, &found.uid().unwrap_or_default()).await;
                    deleted.map_err(|error| ReconcileError::new("delete Secret", &name, error))?;
                    Ok(StepOutcome::AlreadyThere)
                }
                // It goes.
                _ => Err(failed(kube::Error::Api(status))),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns `true` if a Secret is of this key and is not being deleted.
fn is_ours_to_stay(secret: &ObjectMeta, key: &APIKey) -> bool {
    secret.deletion_timestamp.is_none() && ownership(secret, key) == SecretOwnership::Ours
}

/// Returns `true` if a Secret was written for this request. One that was written for a former one holds an older value.
fn is_for(secret: &ObjectMeta, request: Option<&str>) -> bool {
    let annotations = secret.annotations.as_ref();
    let known = annotations.and_then(|annotations| annotations.get(ANNOTATION_REQUEST));
    known.map(String::as_str) == request
}

/// Keeps the value that is in use under the other name.
async fn keep(
    secrets: &Api<Secret>,
    key: &APIKey,
    marks: SecretMarks,
) -> Result<StepOutcome, ReconcileError> {
    let name = name_of(key, WhichSecret::Current);
    let failed = |error: kube::Error| ReconcileError::new("read Secret", &name, error);
    let found = secrets.get(&name).await.map_err(failed)?;
    let request = marks.annotations.get(ANNOTATION_REQUEST);
    if found.annotations().get(ANNOTATION_REQUEST) == request {
        // It is renewed already: what it holds is the new value.
        return Ok(StepOutcome::Done);
    }
    let value = found.data.unwrap_or_default().remove(SECRET_KEY).map(|value| value.0).unwrap_or_default();
    if value.is_empty() {
        // Somebody has taken it out: there is none that could still work, and nothing may work without one.
        return Ok(StepOutcome::Done);
    }
    let value = SecretString::from(String::from_utf8_lossy(&value).into_owned());
    create(secrets, key, WhichSecret::Previous, marks, &value).await
}

/// Replaces the value that is in use.
async fn renew(
    secrets: &Api<Secret>,
    key: &APIKey,
    uid: &str,
    request: &str,
) -> Result<StepOutcome, ReconcileError> {
    let name = name_of(key, WhichSecret::Current);
    let failed = |error: WriteError| ReconcileError::new("renew Secret", &name, error);
    let found = secrets.get(&name).await.map_err(|error| failed(error.into()))?;
    if is_for(&found.metadata, Some(request)) {
        return Ok(StepOutcome::Done);
    }
    let value = token::fresh().map_err(|error| failed(random(error)))?;
    if found.immutable == Some(true) {
        return remake(secrets, key, (&found, uid), request, &value).await.map_err(failed);
    }
    let encoded = json!(k8s_openapi::ByteString(value.expose_secret().as_bytes().to_vec()));
    let data = if found.data.is_some() {
        json!({"op": "add", "path": format!("/data/{SECRET_KEY}"), "value": encoded})
    } else {
        json!({"op": "add", "path": "/data", "value": {SECRET_KEY: encoded}})
    };
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version},
        data,
        {"op": "add", "path": format!("/metadata/annotations/{}", escaped(ANNOTATION_REQUEST)), "value": request},
    ]);
    let _: Secret = json_patch(secrets, &name, None, operations).await.map_err(failed)?;
    Ok(StepOutcome::Done)
}

/// Replaces a Secret that somebody has made immutable: its value can change in no other way.
async fn remake(
    secrets: &Api<Secret>,
    key: &APIKey,
    (found, uid): (&Secret, &str),
    request: &str,
    value: &SecretString,
) -> Result<StepOutcome, WriteError> {
    let mut marks = SecretMarks { labels: found.labels().clone(), annotations: found.annotations().clone() };
    marks.annotations.insert(ANNOTATION_REQUEST.to_owned(), request.to_owned());
    let name = found.name_any();
    delete(secrets, &name, uid).await?;
    secrets.create(&PostParams::default(), &secret(key, name, marks, value)).await?;
    Ok(StepOutcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_for_the_request_that_it_was_kept_for() {
        let kept_for = |request: Option<&str>| {
            let annotations = request.map(|request| [(ANNOTATION_REQUEST.to_owned(), request.to_owned())]);
            ObjectMeta { annotations: annotations.map(Into::into), ..ObjectMeta::default() }
        };
        for (known, request, expected) in
            [(Some("two"), "two", true), (Some("one"), "two", false), (None, "two", false)]
        {
            assert_eq!(is_for(&kept_for(known), Some(request)), expected, "{known:?} {request}");
        }
    }
}
