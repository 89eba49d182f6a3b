//! Secrets of keys that are gone. The garbage collector takes them later, or never where whoever deleted the key has
//! asked for that; and as long as they are there, they work.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use portolan_core::api::devportal::{APIKey, previous_secret_name, secret_name};
use portolan_runtime::{
    apply::delete,
    controller::{Action, ReconcileError},
};

use super::secret::made_for;
use crate::{context::Context, names::ObjectName};

/// Deletes what a key of this name has left behind.
pub(super) async fn collect(context: &Context, name: &ObjectName) -> Result<Action, ReconcileError> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &name.namespace);
    for secret in [secret_name(&name.name), previous_secret_name(&name.name)] {
        let Some(found) = context.secrets.get(&name.namespace, &secret) else { continue };
        let Some(key) = made_for(&found.metadata, &name.name) else { continue };
        if found.metadata.deletion_timestamp.is_some() || is_there(context, name, key).await? {
            continue;
        }
        let deleted = delete(&secrets, &secret, &found.uid().unwrap_or_default()).await;
        deleted.map_err(|error| {
            ReconcileError::new("delete the Secret of a key that is gone:", &secret, error)
        })?;
        context.metrics.wrote_secret("delete");
    }
    Ok(Action::AwaitChange)
}

/// Returns `true` if there is a key with this UID. A store may be empty for a moment, and no key may be lost for that:
/// only the API server's own answer is a proof.
async fn is_there(context: &Context, name: &ObjectName, uid: &str) -> Result<bool, ReconcileError> {
    let keys: Api<APIKey> = Api::namespaced(context.client.clone(), &name.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={}", name.name));
    let found = keys.list_metadata(&params).await;
    let found = found.map_err(|error| ReconcileError::new("look for APIKey", name, error))?;
    Ok(found.items.iter().any(|key| key.metadata.uid.as_deref() == Some(uid)))
}
