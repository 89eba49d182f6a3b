//! Takes the steps that the plan names, one object at a time. Each answer goes into the index.

use std::{sync::Arc, time::Duration};

use kube::api::DynamicObject;
use portolan_core::{
    api::kubebind::{
        ANNOTATION_PROVIDER_NAMESPACE, ANNOTATION_PROVIDER_UID, FIELD_MANAGER, FORMER_MANAGER,
        SYNCER_FINALIZER,
    },
    digest::Digest,
};
use portolan_runtime::{
    apply::{self, Observed, WriteError},
    controller::Next,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    desired::status,
    engine::Engine,
    generations::StatusDigest,
    index::{KeptStatus, ObjectKey},
    owned::{holds_updates, owned},
    plan::{Mode, Step},
    report::is_refusal,
};

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// When to look again after a lost race, if no watch event comes first.
const AFTER_RACE: Duration = Duration::from_millis(250);
/// More steps in a row than any object needs: finalizer, create, annotate, status, and some spare.
const MAX_STEPS: usize = 12;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error("failed to {action} {key:?}")]
    Write {
        action: &'static str,
        key: ObjectKey,
        #[source]
        source: WriteError,
    },
    #[error("no answer within {} seconds to {action} {key:?}", REQUEST_LIMIT.as_secs())]
    TimedOut { action: &'static str, key: ObjectKey },
}

impl Engine {
    /// Takes steps until there is nothing to do, or something else has to happen first.
    pub(super) async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Next, SyncError> {
        for _ in 0..MAX_STEPS {
            let step = {
                let mut index = self.index.lock();
                let step = self.step(&index, &key);
                if step == Step::Nothing {
                    index.drop_all_bodies(&key);
                }
                step
            };
            // Where many wait, a copy for each comes before the word on where it is.
            if step == Step::Annotate && self.queue.depth() > 0 {
                self.index.lock().drop_all_bodies(&key);
                return Ok(Next::Last);
            }
            let action = match step {
                Step::Nothing | Step::Wait => {
                    self.note_rest(&key);
                    return Ok(Next::OnChange);
                }
                Step::Conflict => {
                    self.report_conflict(&key).await;
                    return Ok(Next::OnChange);
                }
                Step::RequestNamespace => "request a namespace for",
                Step::AddFinalizer => "put the finalizer on",
                Step::CreateCopy => "create the copy of",
                Step::UpdateCopy => "update the copy of",
                Step::Annotate => "annotate",
                Step::WriteStatus => "write the status of",
                Step::DeleteCopy => "delete the copy of",
                Step::Release => "take the finalizer off",
            };
            match timeout(REQUEST_LIMIT, self.take(&step, &key)).await {
                Ok(Ok(())) => {
                    self.context.metrics.step(step.label());
                    self.heard(&step, &key, None);
                }
                Ok(Err(WriteError::Raced(_))) => return Ok(Next::After(AFTER_RACE)),
                Ok(Err(source)) => {
                    self.heard(&step, &key, Some(&source));
                    match step {
                        Step::UpdateCopy if is_refusal(&source) => self.index.lock().refused(&key),
                        // It must not keep the next try of an update from coming.
                        Step::WriteStatus => self.index.lock().may_try_again(&key),
                        _ => {}
                    }
                    self.report_failure(&key, action, &source).await;
                    return Err(SyncError::Write { action, key, source });
                }
                Err(_) => return Err(SyncError::TimedOut { action, key }),
            }
        }
        Ok(Next::After(AFTER_RACE))
    }

    async fn take(&self, step: &Step, key: &ObjectKey) -> Result<(), WriteError> {
        match step {
            Step::RequestNamespace => self.spec.session.namespaces.request(&key.namespace).await,
            Step::AddFinalizer | Step::Annotate => self.mark_origin(key).await,
            Step::CreateCopy => self.create_copy(key).await,
            Step::UpdateCopy => self.update_copy(key).await,
            Step::WriteStatus => self.write_status(key).await,
            Step::DeleteCopy => self.delete_copy(key).await,
            Step::Release => self.release(key).await,
            Step::Nothing | Step::Wait | Step::Conflict => Ok(()),
        }
    }

    /// Applies everything that is ours on the consumer object: the finalizer and the place of the copy.
    async fn mark_origin(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let (uid, has_former, copy_uid) = {
            let index = self.index.lock();
            let sides = index.sides(key);
            let Some(origin) = sides.origin else { return Ok(()) };
            (origin.uid.clone(), origin.has_former, sides.copy.map(|copy| copy.uid.clone()))
        };
        let mut annotations = json!({});
        let namespace = self.provider_namespace(key);
        if !namespace.is_empty() {
            annotations[ANNOTATION_PROVIDER_NAMESPACE] = namespace.into();
        }
        if let Some(copy_uid) = copy_uid {
            annotations[ANNOTATION_PROVIDER_UID] = copy_uid.into();
        }
        let mut metadata =
            json!({"name": key.name, "finalizers": [SYNCER_FINALIZER], "annotations": annotations});
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.as_str().into();
        }
        let body = json!({
            "apiVersion": self.spec.resource.api_version, "kind": self.spec.resource.kind, "metadata": metadata,
        });
        let api = self.consumer(key);
        let mut observed = Observed::Present { uid, managed_fields: None };
        if has_former && let Some(origin) = api.get_opt(&key.name).await? {
            observed = Observed::dismissing(&origin.metadata, &[FORMER_MANAGER]);
        }
        let written = apply::apply(&api, FIELD_MANAGER, &body, &observed).await?;
        self.index.lock().saw_origin(key, &written);
        Ok(())
    }

    async fn create_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let Some(body) = self.body(key).await? else { return Ok(()) };
        let api = self.provider(key);
        let is_first = self.index.lock().asks_for_copy(key);
        match apply::apply(&api, FIELD_MANAGER, &body, &Observed::Absent).await {
            Ok(created) => self.settle(key, &created, &body, None),
            // Something has the name that no watch has shown. What it is decides what to do.
            Err(WriteError::Raced(cause)) => {
                let found = api.get_opt(&self.copy_name(key)).await?;
                let mut index = self.index.lock();
                index.answered(key);
                let Some(found) = found else { return Err(WriteError::Raced(cause)) };
                index.saw_copy(key, &found);
            }
            Err(error) => {
                if is_first && !matches!(error, WriteError::Failed(_)) {
                    self.index.lock().answered(key);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn update_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let known = self.index.lock().sides(key).copy.cloned();
        let (Some(known), Some(body)) = (known, self.body(key).await?) else { return Ok(()) };
        let api = self.provider(key);
        let mut observed = Observed::Present { uid: known.uid, managed_fields: None };
        if known.has_former
            && let Some(copy) = api.get_opt(&self.copy_name(key)).await?
        {
            observed = Observed::succeeding(&copy.metadata, FIELD_MANAGER, &[FORMER_MANAGER]);
        }
        let mut written: DynamicObject = apply::apply(&api, FIELD_MANAGER, &body, &observed).await?;
        // A field that we set by POST is not removed by apply. Only then is the extra write worth it.
        if holds_updates(&written) && owned(&written) != comparable(&body) {
            let observed = Observed::of(Some(&written.metadata), FIELD_MANAGER);
            written = apply::apply(&api, FIELD_MANAGER, &body, &observed).await?;
        }
        self.settle(key, &written, &body, Some(known.generation));
        Ok(())
    }

    fn settle(&self, key: &ObjectKey, written: &DynamicObject, body: &Value, before: Option<i64>) {
        let mut index = self.index.lock();
        index.saw_copy(key, written);
        index.settle(key, Digest::of(&comparable(body)), before);
    }

    async fn write_status(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let kept = self.index.lock().status_body(key);
        let new = match kept {
            KeptStatus::Body(body) => Some((*body).clone()),
            KeptStatus::Empty => None,
            KeptStatus::NotKept => match self.provider(key).get_opt(&self.copy_name(key)).await? {
                Some(copy) => status(&copy).cloned(),
                None => return Ok(()),
            },
        };
        let (uid, generations) = {
            let index = self.index.lock();
            let sides = index.sides(key);
            let Some(origin) = sides.origin else { return Ok(()) };
            (origin.uid.clone(), sides.generations())
        };
        let source = StatusDigest::of(new.as_ref());
        let change = match new {
            Some(status) => {
                json!({"op": "add", "path": "/status", "value": generations.translate(status)})
            }
            None => json!({"op": "remove", "path": "/status"}),
        };
        let operations = json!([{"op": "test", "path": "/metadata/uid", "value": uid}, change]);
        let subresource = self.spec.has_status_subresource.then_some("status");
        let api = self.consumer(key);
        let written =
            apply::json_patch_as(&api, Some(FIELD_MANAGER), &key.name, subresource, operations).await?;
        let mut index = self.index.lock();
        index.saw_origin(key, &written);
        index.settle_status(key, source);
        Ok(())
    }

    async fn delete_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let Some(uid) = self.index.lock().sides(key).copy.map(|copy| copy.uid.clone()) else { return Ok(()) };
        let api = self.provider(key);
        let name = self.copy_name(key);
        apply::delete(&api, &name, &uid).await?;
        // Finalizers on the provider may hold it; then the watch tells when it is gone.
        let left = api.get_opt(&name).await?;
        let mut index = self.index.lock();
        match left {
            Some(copy) => {
                index.saw_copy(key, &copy);
            }
            None => index.lost_copy(key),
        }
        Ok(())
    }

    async fn release(&self, key: &ObjectKey) -> Result<(), WriteError> {
        if self.mode != Mode::Withdraw && self.finds_unseen_copy(key).await? {
            return Ok(());
        }
        let api = self.consumer(key);
        let Some(origin) = api.get_opt(&key.name).await? else {
            self.index.lock().lost_origin(key);
            return Ok(());
        };
        let finalizers = origin.metadata.finalizers.as_deref().unwrap_or_default();
        let Some(place) = finalizers.iter().position(|f| f == SYNCER_FINALIZER) else {
            self.index.lock().saw_origin(key, &origin);
            return Ok(());
        };
        let held = (place, SYNCER_FINALIZER);
        let written = apply::take_finalizer(&api, Some(FIELD_MANAGER), &origin.metadata, held).await?;
        self.index.lock().saw_origin(key, &written);
        Ok(())
    }

    /// Looks for a copy that was asked for without an answer: it has to go before the finalizer does.
    async fn finds_unseen_copy(&self, key: &ObjectKey) -> Result<bool, WriteError> {
        if !self.index.lock().may_have_copy(key) {
            return Ok(false);
        }
        let found = self.provider(key).get_opt(&self.copy_name(key)).await?;
        let mut index = self.index.lock();
        index.answered(key);
        Ok(found.is_some_and(|copy| index.saw_copy(key, &copy)))
    }

    /// The body to write, with its place on the provider. Read anew where it was not kept.
    async fn body(&self, key: &ObjectKey) -> Result<Option<Value>, WriteError> {
        let kept = self.index.lock().body(key);
        let mut body = match kept {
            Some(body) => (*body).clone(),
            None => match self.consumer(key).get_opt(&key.name).await? {
                Some(origin) => {
                    let mut index = self.index.lock();
                    index.saw_origin(key, &origin);
                    index.desired(&origin)
                }
                None => return Ok(None),
            },
        };
        body["metadata"]["name"] = self.copy_name(key).into();
        if self.spec.placement.is_cluster_scoped() {
            // The garbage collector removes what a consumer has left when its contract namespace goes.
            if let Some(uid) = self.spec.session.contract_uid().await? {
                let contract = &self.spec.session.namespace;
                let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": contract, "uid": uid});
                body["metadata"]["ownerReferences"] = json!([owner]);
            }
        } else {
            body["metadata"]["namespace"] = self.provider_namespace(key).into();
        }
        Ok(Some(body))
    }
}

/// The body in the shape that [`owned`] gives: without its place.
fn comparable(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.retain(|field, _| field == "labels" || field == "annotations");
    }
    body
}
