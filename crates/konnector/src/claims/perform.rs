//! Takes the steps that the plan names, one object at a time. Each answer goes into the index.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use portolan_core::{
    api::kubebind::{ANNOTATION_ORIGIN_VERSION, FIELD_MANAGER, LABEL_OWNER, ORIGIN_LOST},
    digest::Digest,
};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    controller::{AFTER_CONFLICT, Action, ReconcileFailure},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    body::forget_version, engine::ClaimEngine, plan::ClaimStep, side::ClaimSide, trouble::ClaimTrouble,
};
use crate::sync::{EngineMode, ObjectKey, comparable, holds_updates, owned};

/// Limit for one step.
const STEP_LIMIT: Duration = Duration::from_secs(15);
/// More steps in a row than any object needs: read, delete, create, stamp, and some spare.
const MAX_STEPS: usize = 12;

/// A step failed. What it says repeats nothing of the object but its place.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {plural} {}/{}: {why}", key.namespace, key.name)]
pub(super) struct ClaimError {
    action: &'static str,
    plural: &'static str,
    key: ObjectKey,
    why: String,
}

impl ReconcileFailure for ClaimError {}

impl ClaimEngine {
    /// Takes steps until there is nothing to do, or something else has to happen first.
    pub(super) async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Action, ClaimError> {
        for _ in 0..MAX_STEPS {
            let (step, written, wait) = self.next_step(&key);
            let action = match step {
                ClaimStep::Nothing | ClaimStep::Wait => {
                    return Ok(wait.map_or_else(|| self.rest(), Action::RequeueAfter));
                }
                ClaimStep::Conflict | ClaimStep::OwnerUnknown => {
                    return Ok(self.report_once(&key, step).await);
                }
                ClaimStep::AwaitNamespace => return Ok(self.report_waiting(&key).await),
                ClaimStep::Read => "read",
                ClaimStep::RequestNamespace => "request a namespace for",
                ClaimStep::CreateCopy(_) => "create the copy of",
                ClaimStep::UpdateCopy(_) => "update the copy of",
                ClaimStep::DeleteCopy(_) => "delete the copy of",
                ClaimStep::AskForOriginal(_) => "look up",
                ClaimStep::MarkLost(_) => "mark the copy of",
                ClaimStep::Stamp(_) => "add the owner label to",
                ClaimStep::Unstamp(_) => "remove the owner label from",
            };
            let contest = self.contest(step, &key, written).await;
            let taken = timeout(STEP_LIMIT, self.take(step, &key)).await;
            let trouble =
                match taken.unwrap_or_else(|_| Err(ClaimTrouble::Failed("no answer in time".to_owned()))) {
                    Ok(()) => {
                        self.went_well(step, &key, (written, contest)).await;
                        continue;
                    }
                    Err(trouble) => trouble,
                };
            return self.failed(step, key, (action, written), &trouble).await;
        }
        Ok(Action::RequeueAfter(AFTER_CONFLICT))
    }

    async fn went_well(
        &self,
        step: ClaimStep,
        key: &ObjectKey,
        (written, contest): (Digest, Option<String>),
    ) {
        self.context.engine.metrics.step(step.label());
        if let ClaimStep::MarkLost(_) = step {
            (self.context.engine.on_state)();
        }
        if !matches!(step, ClaimStep::Read | ClaimStep::AskForOriginal(_)) {
            self.pace.lock().wrote((key, step.label()), written, contest.is_some(), Instant::now());
        }
        if let ClaimStep::CreateCopy(ClaimSide::Provider) = step {
            self.unplaced.lock().remove(&key.namespace);
        }
        if let Some(note) = contest {
            self.warn(key, "Contested", &note).await;
        }
    }

    async fn failed(
        &self,
        step: ClaimStep,
        key: ObjectKey,
        (action, written): (&'static str, Digest),
        trouble: &ClaimTrouble,
    ) -> Result<Action, ClaimError> {
        let cause = (trouble.code(), trouble.tolerated());
        let failed = self.pace.lock().failed((&key, step.label()), written, cause, Instant::now());
        if failed.tell {
            self.report_trouble(&key, action, (trouble, failed.in_a_row)).await;
        }
        if *trouble == ClaimTrouble::Conflict {
            // What is known of it may not be so any more.
            self.index.lock().lost_sight(&key);
            return Ok(Action::RequeueAfter(failed.pause.max(AFTER_CONFLICT)));
        }
        let (why, plural) = (trouble.why().to_owned(), self.spec.claim.resource.plural());
        Err(ClaimError { action, plural, key, why })
    }

    fn next_step(&self, key: &ObjectKey) -> (ClaimStep, Digest, Option<Duration>) {
        let mut index = self.index.lock();
        let (step, written, wait) = self.due(&index, key);
        if step == ClaimStep::Nothing {
            index.forget_idle(key);
        }
        if !matches!(step, ClaimStep::Read | ClaimStep::Conflict | ClaimStep::OwnerUnknown) {
            self.told.lock().remove(key);
        }
        (step, written, wait)
    }

    /// Returns the action at rest: a draining engine reports that it is done.
    fn rest(&self) -> Action {
        if self.mode != EngineMode::Sync && self.is_idle() && self.is_drained() {
            (self.context.engine.on_state)();
        }
        Action::AwaitChange
    }

    async fn take(&self, step: ClaimStep, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        match step {
            ClaimStep::Read => self.read(key).await,
            ClaimStep::RequestNamespace => {
                let asked = self.spec.session.namespaces.request(&key.namespace).await;
                asked.map_err(|error| ClaimTrouble::of(ClaimSide::Provider, &error))
            }
            ClaimStep::CreateCopy(side) => self.create(side, key).await,
            ClaimStep::UpdateCopy(side) => self.update(side, key).await,
            ClaimStep::DeleteCopy(side) => self.delete(side, key).await,
            ClaimStep::AskForOriginal(side) => self.ask_for_original(side.other(), key).await,
            ClaimStep::MarkLost(side) => self.mark_lost(side, key).await,
            ClaimStep::Stamp(side) => self.label(side, key, Some(side)).await,
            ClaimStep::Unstamp(side) => self.label(side, key, None).await,
            ClaimStep::Nothing
            | ClaimStep::Wait
            | ClaimStep::AwaitNamespace
            | ClaimStep::Conflict
            | ClaimStep::OwnerUnknown => Ok(()),
        }
    }

    async fn read(&self, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        if self.mode != EngineMode::Withdraw && self.spec.session.namespaces.mapped(&key.namespace).is_some()
        {
            self.look_up(ClaimSide::Provider, key).await?;
        }
        self.look_up(ClaimSide::Consumer, key).await?;
        self.index.lock().was_read(key);
        Ok(())
    }

    /// Reads an object into the index, and gives it.
    async fn look_up(&self, side: ClaimSide, key: &ObjectKey) -> Result<Option<DynamicObject>, ClaimTrouble> {
        let before = self.index.lock().version(side, key);
        let found = apply::find(&self.api(side, key), &key.name).await;
        let found = found.map_err(|error| ClaimTrouble::of(side, &WriteError::from(error)))?;
        let mut index = self.index.lock();
        match &found {
            Some(object) => {
                index.saw(side, key, object);
            }
            None => index.found_none(side, key, before),
        }
        Ok(found)
    }

    /// The body of the copy on `side`, from the original as it is now; `None` where the step does not fit any
    /// more.
    async fn body(
        &self,
        step: ClaimStep,
        side: ClaimSide,
        key: &ObjectKey,
    ) -> Result<Option<Value>, ClaimTrouble> {
        let Some(original) = self.look_up(side.other(), key).await? else { return Ok(None) };
        let index = self.index.lock();
        if self.step(&index, key) != step {
            return Ok(None);
        }
        let mut body = index.copy_of(side.other(), &original);
        body["metadata"]["name"] = key.name.as_str().into();
        body["metadata"]["namespace"] = self.namespace(side, key).into();
        let version = original.resource_version().unwrap_or_default();
        body["metadata"]["annotations"][ANNOTATION_ORIGIN_VERSION] = version.into();
        Ok(Some(body))
    }

    async fn create(&self, side: ClaimSide, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        let Some(body) = self.body(ClaimStep::CreateCopy(side), side, key).await? else { return Ok(()) };
        let created = apply::apply(&self.api(side, key), FIELD_MANAGER, &body, &Precondition::Absent).await;
        self.heard(side, &created);
        match created {
            Ok(created) => self.settle(side, key, &created, &body),
            // Something has the name that no watch has shown. What it is decides what to do.
            Err(WriteError::Conflict(_)) => {
                if self.look_up(side, key).await?.is_none() {
                    let namespace = self.namespace(side, key);
                    let why = format!("there may be no namespace {namespace} on the {}", side.owner());
                    return Err(ClaimTrouble::Unplaced(why));
                }
            }
            Err(error) => return Err(ClaimTrouble::of(side, &error)),
        }
        Ok(())
    }

    async fn update(&self, side: ClaimSide, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        let Some(body) = self.body(ClaimStep::UpdateCopy(side), side, key).await? else { return Ok(()) };
        let Some(uid) = self.uid(side, key) else { return Ok(()) };
        let api = self.api(side, key);
        let observed = Precondition::Present { uid, managed_fields: None };
        let mut written = apply::apply::<DynamicObject>(&api, FIELD_MANAGER, &body, &observed).await;
        // A field that we set by POST is not removed by apply. Only then is the extra write worth it.
        if let Ok(copy) = &written
            && holds_updates(copy)
            && owned(copy) != comparable(&body)
        {
            let observed = Precondition::of(Some(&copy.metadata), FIELD_MANAGER);
            written = apply::apply(&api, FIELD_MANAGER, &body, &observed).await;
        }
        self.heard(side, &written);
        let written = written.map_err(|error| ClaimTrouble::of(side, &error))?;
        self.settle(side, key, &written, &body);
        Ok(())
    }

    fn settle(&self, side: ClaimSide, key: &ObjectKey, written: &DynamicObject, body: &Value) {
        let mut desired = comparable(body);
        forget_version(&mut desired);
        let mut index = self.index.lock();
        index.saw(side, key, written);
        index.settle(side, key, Digest::of(&desired));
    }

    async fn delete(&self, side: ClaimSide, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        let Some(uid) = self.uid(side, key) else { return Ok(()) };
        let deleted = apply::delete(&self.api(side, key), &key.name, &uid).await;
        self.heard(side, &deleted);
        deleted.map_err(|error| ClaimTrouble::of(side, &error))?;
        // Finalizers may hold it; then the watch tells when it is gone.
        self.look_up(side, key).await.map(|_| ())
    }

    /// Asks which version the side of an original has, now that it does not have the original.
    async fn ask_for_original(&self, side: ClaimSide, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        let one = self.api(side, key).list_metadata(&ListParams::default().limit(1)).await;
        let one = one.map_err(|error| ClaimTrouble::of(side, &WriteError::from(error)))?;
        let version = one.metadata.resource_version.and_then(|version| version.parse().ok());
        self.index.lock().asked(side, key, version);
        Ok(())
    }

    /// Keeps on a copy what is known only now: later, the versions of a restored cluster tell nothing any more.
    async fn mark_lost(&self, side: ClaimSide, key: &ObjectKey) -> Result<(), ClaimTrouble> {
        let Some(uid) = self.uid(side, key) else { return Ok(()) };
        let patch =
            json!({"metadata": {"uid": uid, "annotations": {ANNOTATION_ORIGIN_VERSION: ORIGIN_LOST}}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let marked = self.api(side, key).patch(&key.name, &params, &Patch::Merge(patch)).await;
        let marked = marked.map_err(WriteError::from);
        self.heard(side, &marked);
        let marked = marked.map_err(|error| ClaimTrouble::of(side, &error))?;
        self.index.lock().saw(side, key, &marked);
        Ok(())
    }

    /// Applies this binding's marks to an original: its owner label, or nothing any more. A label that
    /// another binding or a person has set too stays.
    async fn label(
        &self,
        side: ClaimSide,
        key: &ObjectKey,
        owner: Option<ClaimSide>,
    ) -> Result<(), ClaimTrouble> {
        let Some(uid) = self.uid(side, key) else { return Ok(()) };
        let mut body = json!({
            "apiVersion": "v1", "kind": self.spec.claim.resource.kind(),
            "metadata": {"name": key.name, "namespace": self.namespace(side, key)},
        });
        if let Some(owner) = owner {
            body["metadata"]["labels"] = json!({LABEL_OWNER: owner.owner()});
        }
        let observed = Precondition::Present { uid, managed_fields: None };
        let written =
            apply::apply::<DynamicObject>(&self.api(side, key), &self.stamper, &body, &observed).await;
        self.heard(side, &written);
        let written = written.map_err(|error| ClaimTrouble::of(side, &error))?;
        self.index.lock().saw(side, key, &written);
        Ok(())
    }

    /// Notes whether the consumer's API server lets us write.
    fn heard<T>(&self, side: ClaimSide, outcome: &Result<T, WriteError>) {
        if side == ClaimSide::Provider {
            return;
        }
        match outcome {
            Ok(_) => self.note(|health| health.wrote(true)),
            Err(error) if matches!(ClaimTrouble::of(side, error), ClaimTrouble::Denied(..)) => {
                self.note(|health| health.wrote(false));
            }
            Err(_) => {}
        }
    }

    pub(super) fn uid(&self, side: ClaimSide, key: &ObjectKey) -> Option<String> {
        self.index.lock().uid(side, key)
    }

    pub(super) fn api(&self, side: ClaimSide, key: &ObjectKey) -> Api<DynamicObject> {
        let client = match side {
            ClaimSide::Consumer => &self.context.engine.consumer,
            ClaimSide::Provider => &self.spec.session.client,
        };
        Api::namespaced_with(client.clone(), &self.namespace(side, key), &self.resource())
    }

    /// Steps that need the provider are planned only for namespaces that it has answered for.
    fn namespace(&self, side: ClaimSide, key: &ObjectKey) -> String {
        match side {
            ClaimSide::Consumer => key.namespace.clone(),
            ClaimSide::Provider => self.spec.session.namespaces.mapped(&key.namespace).unwrap_or_default(),
        }
    }
}
