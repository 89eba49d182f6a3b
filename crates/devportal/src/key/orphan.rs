//! Whether a key has outlived its product.
//!
//! The garbage collector keeps a key that has another owner, and a requester may add one. But a store may be empty for a
//! moment, and no key may be lost for that: only the API server's own answer is a proof.

use kube::{Api, ResourceExt as _};
use portolan_core::api::devportal::APIProduct;
use portolan_runtime::{apply::is_absent, controller::ReconcileError};

use super::{
    is_granted,
    state::ObservedKey,
    status::{is_product, snapshot},
};
use crate::{context::Context, names::ObjectName};

/// Returns `true` if the product that a key was granted for is gone.
pub(super) async fn is_orphan(context: &Context, observed: &ObservedKey) -> Result<bool, ReconcileError> {
    let key = &observed.key;
    if observed.product.is_some() || !is_granted(key) {
        return Ok(false);
    }
    // The garbage collector takes a key that has no other owner.
    let product_uid = key.status.as_ref().and_then(|status| status.product_uid.as_ref());
    if let [owner] = key.owner_references()
        && is_product(owner)
        && Some(&owner.uid) == product_uid
    {
        return Ok(false);
    }
    let product =
        ObjectName::new(key.namespace().unwrap_or_default(), key.spec.api_product_ref.name.as_str());
    let api: Api<APIProduct> = Api::namespaced(context.client.clone(), &product.namespace);
    match api.get_metadata(&product.name).await {
        Ok(found) => {
            let approved = key.status.as_ref().and_then(|status| status.approved_snapshot.as_ref());
            Ok(found.uid().is_some_and(|uid| Some(&snapshot(key, &uid)) != approved))
        }
        Err(error) if is_absent(&error, &product.name) => Ok(true),
        Err(error) => Err(ReconcileError::new("look for APIProduct", product, error)),
    }
}
