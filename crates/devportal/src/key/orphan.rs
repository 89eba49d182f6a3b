//! Whether a key has outlived its product.
//!
//! The garbage collector keeps a key that has another owner, and a requester may add one. But a store may be empty for a
//! moment, and no key may be lost for that: only the API server's own answer is a proof.

use kube::{Api, ResourceExt as _, core::Status};
use portolan_core::api::devportal::APIProduct;
use portolan_runtime::controller::ReconcileError;

use super::{is_granted, state::ObservedKey, status::snapshot};
use crate::{context::Context, names::ObjectName};

/// Returns `true` if the product that a key was granted for is gone.
pub(super) async fn is_orphan(context: &Context, observed: &ObservedKey) -> Result<bool, ReconcileError> {
    let key = &observed.key;
    if observed.product.is_some() || !is_granted(key) {
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
        Err(kube::Error::Api(said)) if is_about(&said, &product.name) => Ok(true),
        Err(error) => Err(ReconcileError::new("look for APIProduct", product, error)),
    }
}

/// Returns `true` if an answer says that this object is not there. Without a name, it says that the kind is not.
fn is_about(said: &Status, name: &str) -> bool {
    said.code == 404 && said.details.as_ref().is_some_and(|details| details.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_about_the_object_is_a_proof() {
        for (code, details, proves) in [
            (404, json!({"name": "p", "kind": "apiproducts"}), true),
            (404, json!({"name": "q", "kind": "apiproducts"}), false),
            (404, json!({}), false),
            (404, json!(null), false),
            (403, json!({"name": "p"}), false),
            (503, json!({"name": "p"}), false),
        ] {
            let said: Status = serde_json::from_value(json!({"code": code, "details": details})).unwrap();
            assert_eq!(is_about(&said, "p"), proves, "{said:?}");
        }
    }
}
