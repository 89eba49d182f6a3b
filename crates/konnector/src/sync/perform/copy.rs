//! The steps that write to the provider's copy.

use std::sync::Arc;

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::{
    api::kubebind::{FIELD_MANAGER, FORMER_MANAGER},
    digest::Digest,
};
use portolan_runtime::apply::{self, Precondition, WriteError};
use serde_json::{Value, json};

use crate::sync::{
    agenda::SyncAgenda,
    emptied::{has_empty, removals},
    key::ObjectKey,
    owned::{both_fields, comparable, holds_updates, owned, owned_and_hollow},
    turned::{OwnedWholes, left_over},
};

/// Writes copies on the provider.
pub(super) struct CopyWriter {
    pub(super) agenda: Arc<SyncAgenda>,
}

impl CopyWriter {
    pub(super) async fn create_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let Some(body) = self.body(key).await? else { return Ok(()) };
        let api = self.agenda.places.provider(key);
        let is_first = self.agenda.index.lock().asks_for_copy(key);
        match apply::apply(&api, FIELD_MANAGER, &body, &Precondition::Absent).await {
            Ok(created) => self.settle(key, &created, &body, None),
            // Something has the name that no watch has shown. What it is decides what to do.
            Err(WriteError::Conflict(cause)) => {
                let found = api.get_opt(&self.agenda.places.copy_name(key)).await?;
                let mut index = self.agenda.index.lock();
                index.answered(key);
                let Some(found) = found else { return Err(WriteError::Conflict(cause)) };
                index.saw_copy(key, &found);
            }
            Err(error) => {
                if is_first && !matches!(error, WriteError::Failed(_)) {
                    self.agenda.index.lock().answered(key);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) async fn update_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let known = self.agenda.index.lock().sides(key).copy.cloned();
        let (Some(known), Some(body)) = (known, self.body(key).await?) else { return Ok(()) };
        let api = self.agenda.places.provider(key);
        let mut observed = Precondition::Present { uid: known.uid, managed_fields: None };
        if known.has_former
            && let Some(copy) = api.get_opt(&self.agenda.places.copy_name(key)).await?
        {
            observed = Precondition::succeeding(&copy.metadata, FIELD_MANAGER, &[FORMER_MANAGER]);
        }
        let mut written = match apply::apply(&api, FIELD_MANAGER, &body, &observed).await {
            // Other objections stay: nothing is half written for them.
            Err(WriteError::Invalid(cause))
                if has_empty(&body)
                    && cause.to_string().contains("null")
                    && self.empty_out(key, &body).await? =>
            {
                apply::apply(&api, FIELD_MANAGER, &body, &observed).await?
            }
            written => written?,
        };
        // A field that we set by POST is not removed by apply, and what was emptied may have become another thing.
        // Only then is the extra write worth it.
        if (holds_updates(&written) || has_empty(&body)) && !self.says(&written, &said(&body)) {
            let observed = Precondition::of(Some(&written.metadata), FIELD_MANAGER);
            written = apply::apply(&api, FIELD_MANAGER, &body, &observed).await?;
        }
        if let Some(cleared) =
            self.take_out_left_overs(key, &written, (&known.wholes, known.is_exact)).await?
        {
            written = cleared;
        }
        self.settle(key, &written, &body, Some(known.generation));
        Ok(())
    }

    /// Takes out what is left of maps and lists that were ours as a whole, where their schema has turned since.
    async fn take_out_left_overs(
        &self,
        key: &ObjectKey,
        written: &DynamicObject,
        (wholes, is_exact): (&OwnedWholes, bool),
    ) -> Result<Option<DynamicObject>, WriteError> {
        if *wholes == OwnedWholes::default() {
            return Ok(None);
        }
        let (api, name) = (self.agenda.places.provider(key), self.agenda.places.copy_name(key));
        let mut live = written.clone();
        for last in [false, true] {
            let [ours, others] = both_fields(&live);
            let removals = left_over(&live.data, [&ours, &others], wholes, is_exact);
            if removals.is_empty() {
                return Ok(None);
            }
            let version = live.resource_version();
            let mut operations =
                vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
            operations.extend(removals);
            match apply::json_patch_as(&api, Some(FIELD_MANAGER), &name, None, operations.into()).await {
                // Once it is known as it is now, nothing tells any more what was left over.
                Err(WriteError::Conflict(cause)) if !last => match api.get_opt(&name).await? {
                    Some(now) if now.uid() == live.uid() => live = now,
                    _ => return Err(WriteError::Conflict(cause)),
                },
                cleared => return cleared.map(Some),
            }
        }
        Ok(None)
    }

    /// Takes our items out of the maps and lists that are to be empty. False where there are none.
    async fn empty_out(&self, key: &ObjectKey, body: &Value) -> Result<bool, WriteError> {
        let (api, name) = (self.agenda.places.provider(key), self.agenda.places.copy_name(key));
        let Some(live) = api.get_opt(&name).await? else { return Ok(false) };
        let removals = removals(&live.data, &owned(&live), body);
        if removals.is_empty()
            || self.agenda.index.lock().sides(key).copy.map(|copy| &copy.uid) != live.uid().as_ref()
        {
            return Ok(false);
        }
        let mut operations = vec![
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version()}),
        ];
        operations.extend(removals);
        apply::json_patch_as::<DynamicObject>(&api, Some(FIELD_MANAGER), &name, None, operations.into())
            .await?;
        Ok(true)
    }

    fn settle(&self, key: &ObjectKey, written: &DynamicObject, body: &Value, before: Option<i64>) {
        let mut index = self.agenda.index.lock();
        index.saw_copy(key, written);
        index.settle(key, Digest::of(&said(body)), before);
    }

    pub(super) async fn delete_copy(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let Some(uid) = self.agenda.index.lock().sides(key).copy.map(|copy| copy.uid.clone()) else {
            return Ok(());
        };
        let api = self.agenda.places.provider(key);
        let name = self.agenda.places.copy_name(key);
        apply::delete(&api, &name, &uid).await?;
        // Finalizers on the provider may hold it; then the watch tells when it is gone.
        let left = apply::find(&api, &name).await?;
        let mut index = self.agenda.index.lock();
        match left {
            Some(copy) => {
                index.saw_copy(key, &copy);
            }
            None => index.copy_went(key, &uid),
        }
        Ok(())
    }

    /// Looks for a copy that was asked for without an answer: it has to be deleted before the finalizer is removed.
    pub(super) async fn finds_unseen_copy(&self, key: &ObjectKey) -> Result<bool, WriteError> {
        if !self.agenda.index.lock().may_have_copy(key) {
            return Ok(false);
        }
        let (api, name) = (self.agenda.places.provider(key), self.agenda.places.copy_name(key));
        let found = apply::find(&api, &name).await?;
        let mut index = self.agenda.index.lock();
        index.answered(key);
        Ok(found.is_some_and(|copy| index.saw_copy(key, &copy)))
    }

    /// The body to write, with its place on the provider. Read again where it was not kept.
    async fn body(&self, key: &ObjectKey) -> Result<Option<Value>, WriteError> {
        let kept = self.agenda.index.lock().body(key);
        let mut body = match kept {
            Some(body) => (*body).clone(),
            None => match self.agenda.places.consumer(key).get_opt(&key.name).await? {
                Some(origin) => {
                    let mut index = self.agenda.index.lock();
                    index.saw_origin(key, &origin);
                    index.desired(&origin)
                }
                None => return Ok(None),
            },
        };
        body["apiVersion"] = self.agenda.places.spec.remote.api_version.as_str().into();
        body["metadata"]["name"] = self.agenda.places.copy_name(key).into();
        if self.agenda.places.spec.placement.is_cluster_scoped() {
            // The garbage collector removes what a consumer has left when its contract namespace goes.
            if let Some(uid) = self.agenda.places.spec.session.contract_uid().await? {
                let contract = &self.agenda.places.spec.session.namespace;
                let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": contract, "uid": uid});
                body["metadata"]["ownerReferences"] = json!([owner]);
            }
        } else {
            body["metadata"]["namespace"] = self.agenda.places.provider_namespace(key).into();
        }
        Ok(Some(body))
    }

    /// Returns `true` if an answer has the desired content. What others have put into a map that is ours as a whole
    /// is theirs.
    fn says(&self, written: &DynamicObject, desired: &Value) -> bool {
        let (ours, hollow) = owned_and_hollow(written);
        let bare = self.agenda.places.spec.defaults.without(&ours, written);
        ours == *desired
            || hollow.is_some_and(|hollow| hollow == *desired)
            || bare.is_some_and(|b| b == *desired)
    }
}

/// The content of a body, in the shape in which it is compared: without its place and its version.
fn said(body: &Value) -> Value {
    let mut said = comparable(body);
    if let Some(said) = said.as_object_mut() {
        said.remove("apiVersion");
    }
    said
}
