//! The steps that write to the consumer's object: its marks, its status, and our finalizer.

use std::sync::Arc;

use portolan_core::api::kubebind::{
    ANNOTATION_PROVIDER_NAMESPACE, ANNOTATION_PROVIDER_UID, FIELD_MANAGER, FORMER_MANAGER, SYNCER_FINALIZER,
};
use portolan_runtime::apply::{self, Precondition, WriteError};
use serde_json::json;

use crate::sync::{
    agenda::SyncAgenda, desired::status, generations::StatusDigest, key::ObjectKey, known::KeptStatus,
};

/// Writes our part of objects on the consumer.
pub(super) struct OriginWriter {
    pub(super) agenda: Arc<SyncAgenda>,
}

impl OriginWriter {
    /// Applies everything that is ours on the consumer object: the finalizer and the place of the copy.
    pub(super) async fn mark_origin(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let (uid, has_former, copy_uid) = {
            let index = self.agenda.index.lock();
            let sides = index.sides(key);
            let Some(origin) = sides.origin else { return Ok(()) };
            (origin.uid.clone(), origin.has_former, sides.copy.map(|copy| copy.uid.clone()))
        };
        let mut annotations = json!({});
        let namespace = self.agenda.places.provider_namespace(key);
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
            "apiVersion": self.agenda.places.spec.resource.api_version, "kind": self.agenda.places.spec.resource.kind, "metadata": metadata,
        });
        let api = self.agenda.places.consumer(key);
        let mut observed = Precondition::Present { uid, managed_fields: None };
        if has_former && let Some(origin) = api.get_opt(&key.name).await? {
            observed = Precondition::dismissing(&origin.metadata, &[FORMER_MANAGER]);
        }
        let written = apply::apply(&api, FIELD_MANAGER, &body, &observed).await?;
        self.agenda.index.lock().saw_origin(key, &written);
        Ok(())
    }

    pub(super) async fn write_status(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let kept = self.agenda.index.lock().status_body(key);
        let new = match kept {
            KeptStatus::Body(body) => Some((*body).clone()),
            KeptStatus::Empty => None,
            KeptStatus::NotKept => {
                match self.agenda.places.provider(key).get_opt(&self.agenda.places.copy_name(key)).await? {
                    Some(copy) => status(&copy).cloned(),
                    None => return Ok(()),
                }
            }
        };
        let (uid, generations) = {
            let index = self.agenda.index.lock();
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
        let subresource = self.agenda.places.spec.has_status_subresource.then_some("status");
        let api = self.agenda.places.consumer(key);
        let written =
            apply::json_patch_as(&api, Some(FIELD_MANAGER), &key.name, subresource, operations).await?;
        let mut index = self.agenda.index.lock();
        index.saw_origin(key, &written);
        index.settle_status(key, source);
        Ok(())
    }

    pub(super) async fn release(&self, key: &ObjectKey) -> Result<(), WriteError> {
        let api = self.agenda.places.consumer(key);
        let Some(origin) = apply::find(&api, &key.name).await? else {
            self.agenda.index.lock().lost_origin(key);
            return Ok(());
        };
        let finalizers = origin.metadata.finalizers.as_deref().unwrap_or_default();
        let Some(place) = finalizers.iter().position(|f| f == SYNCER_FINALIZER) else {
            self.agenda.index.lock().saw_origin(key, &origin);
            return Ok(());
        };
        let held = (place, SYNCER_FINALIZER);
        let written = apply::take_finalizer(&api, Some(FIELD_MANAGER), &origin.metadata, held).await?;
        self.agenda.index.lock().saw_origin(key, &written);
        Ok(())
    }
}
