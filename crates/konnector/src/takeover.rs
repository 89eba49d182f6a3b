//! The annotation with which people take a contract over is used once.

use std::fmt::Debug;

use kube::{Api, Resource, ResourceExt as _};
use portolan_core::api::kubebind::ANNOTATION_TAKE_OVER;
use portolan_runtime::apply::{self, WriteError};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Removes the annotation: while it stayed, two clusters could take a contract from each other again and again.
pub async fn was_used<K>(api: &Api<K>, object: &K) -> Result<Option<K>, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let Some(said) = object.annotations().get(ANNOTATION_TAKE_OVER) else { return Ok(None) };
    let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_TAKE_OVER));
    match apply::remove(api, None, object.meta(), &path, &json!(said)).await {
        Ok(written) => Ok(Some(written)),
        // It is gone, or says something else by now.
        Err(WriteError::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
