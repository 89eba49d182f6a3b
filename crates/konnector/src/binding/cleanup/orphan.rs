//! Ends of a binding at which the copies stay: nothing of it needs the provider.

use std::sync::Arc;

use kube::{Api, ResourceExt as _};
use portolan_core::{
    api::kubebind::{ANNOTATION_DELETION_POLICY, APIServiceBinding, DELETION_POLICY_ORPHAN},
    names,
    outline::CrdOutline,
};
use portolan_runtime::apply::{self, WriteError};
use serde_json::json;
use tracing::info;

use super::served::served;
use crate::{context::KonnectorContext, crd, finalizers, leftover, policy};

/// Takes finalizers off the objects and deletes the CRDs; where the provider has ended the binding, only those
/// without objects. False while objects of some cannot be read.
pub(super) async fn leave_copies(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    owned: &[&Arc<CrdOutline>],
    keeps_objects: bool,
) -> Result<bool, WriteError> {
    context.sync.stop(&binding.name_any(), &[]);
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let mut all_read = true;
    for crd in owned {
        if !strip(context, crd).await? {
            all_read = false;
            continue;
        }
        // Since it was seen, it may have been orphaned with `--cascade=orphan`.
        let found = api.get_opt(&crd.name_any()).await?;
        let Some(found) = found.filter(|found| crd::is_owned_by(found, binding)) else { continue };
        if let Some(resource) = found.stored_resource().filter(|_| keeps_objects) {
            leftover::leave(context, binding, &found, &resource).await?;
        } else if found.metadata.deletion_timestamp.is_none() && !keeps_objects {
            info!(binding = binding.name_any(), crd = crd.name_any(), "the copies stay: deleting the CRD");
            apply::delete(&api, &found.name_any(), &found.uid().unwrap_or_default()).await?;
        }
    }
    Ok(all_read)
}

/// With `--cascade=orphan`, CRDs and objects stay on the consumer, and nobody works on them any more. The
/// binding is marked, because later nothing tells how it was deleted. False while objects cannot be read.
pub(super) async fn let_go(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    owned: &[&Arc<CrdOutline>],
) -> Result<bool, WriteError> {
    for crd in owned {
        if !strip(context, crd).await? {
            return Ok(false);
        }
    }
    if !policy::orphans(binding) {
        let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
        let operation = if binding.metadata.annotations.is_none() {
            let annotations = json!({ANNOTATION_DELETION_POLICY: DELETION_POLICY_ORPHAN});
            json!({"op": "add", "path": "/metadata/annotations", "value": annotations})
        } else {
            let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_DELETION_POLICY));
            json!({"op": "add", "path": path, "value": DELETION_POLICY_ORPHAN})
        };
        let uid = json!({"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid});
        let written = apply::json_patch(&api, &binding.name_any(), None, json!([uid, operation])).await?;
        context.bindings.wrote(written);
    }
    Ok(true)
}

/// Takes finalizers off the objects of CRDs that were the binding's and belong to nobody now. False while objects cannot
/// be read.
pub(super) async fn release_orphans(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
) -> Result<bool, WriteError> {
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    for bound in binding.status.iter().flat_map(|status| &status.bound_schemas) {
        let found = api.get_opt(&names::crd(&bound.resource, &bound.group)).await?;
        if let Some(crd) = found.filter(crd::is_orphan)
            && !strip(context, &crd).await?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// More than once: an engine that was just stopped may have had a write under way. False while the objects cannot be
/// read.
async fn strip(context: &KonnectorContext, crd: &CrdOutline) -> Result<bool, WriteError> {
    let Some(resource) = served(context, crd).await? else { return Ok(false) };
    loop {
        match finalizers::strip(&context.consumer, &resource).await? {
            Some(0) => return Ok(true),
            Some(_) => {}
            // One that never was served has no objects.
            None => return Ok(!crd.is_established()),
        }
    }
}
