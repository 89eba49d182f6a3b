//! Bindings that a backup tool has brought back with the uid of a former bundle of their bundle's name.
//!
//! To the garbage collector, they belong to nobody, and it deletes what belongs to nobody. So they become the bundle's
//! at once, whatever is known of the provider.

use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle};
use portolan_runtime::{apply, telemetry::ErrorChain};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{context::KonnectorContext, policy};

/// Gives the bundle its bindings back. True where the watch has yet to show some of them as its own: until then, they
/// would count as somebody else's.
pub(super) async fn regain(context: &KonnectorContext, bundle: &APIServiceBindingBundle) -> bool {
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let mut awaits = false;
    for binding in context.bindings.filter(|binding| regaining(binding, bundle).is_some()) {
        let name = binding.name_any();
        let Some(operations) = regaining(&binding, bundle) else {
            awaits = true;
            continue;
        };
        match apply::json_patch::<APIServiceBinding>(&api, &name, None, operations).await {
            Ok(written) => {
                info!(bundle = bundle.name_any(), binding = name, "it named a former bundle as its owner");
                context.bindings.wrote(written);
                awaits = true;
            }
            Err(error) if error.is_conflict() => awaits = true,
            // It stays somebody else's, and the bundle says so.
            Err(error) => warn!(binding = name, "cannot change its owner: {}", ErrorChain(&error)),
        }
    }
    awaits
}

/// The change by which a binding of a former bundle of this name belongs to the one that exists. `None` where it is none.
fn regaining(binding: &APIServiceBinding, bundle: &APIServiceBindingBundle) -> Option<Value> {
    let is_other = binding.metadata.deletion_timestamp.is_some()
        || binding.spec.kubeconfig_secret_ref != bundle.spec.kubeconfig_secret_ref
        || policy::is_released(binding)
        || policy::is_owned(binding, bundle);
    let name = bundle.name_any();
    let mut owners = binding.owner_references().iter().enumerate();
    let (place, former) =
        owners.find(|(_, owner)| owner.kind == "APIServiceBindingBundle" && owner.name == name)?;
    let path = format!("/metadata/ownerReferences/{place}/uid");
    (!is_other).then(|| {
        json!([
            {"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid},
            {"op": "test", "path": path, "value": former.uid},
            {"op": "replace", "path": path, "value": bundle.metadata.uid},
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> APIServiceBindingBundle {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
            "metadata": {"name": "prod", "uid": "now"},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap()
    }

    fn binding(owners: &[(&str, &str, &str)], secret: &str) -> APIServiceBinding {
        let owner = |(kind, name, uid): &(&str, &str, &str)| json!({"apiVersion": "a/v1", "kind": kind, "name": name, "uid": uid});
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "a", "uid": "u", "ownerReferences": owners.iter().map(owner).collect::<Vec<_>>()},
            "spec": {"kubeconfigSecretRef": {"name": secret, "namespace": "n", "key": "k"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_restored_binding_belongs_to_the_bundle_of_the_name_that_it_gives() {
        let kind = "APIServiceBindingBundle";
        let regained = binding(&[("Other", "prod", "former"), (kind, "prod", "former")], "s");
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/ownerReferences/1/uid", "value": "former"},
            {"op": "replace", "path": "/metadata/ownerReferences/1/uid", "value": "now"},
        ]);
        assert_eq!(regaining(&regained, &bundle()), Some(expected));
        let others = [
            binding(&[], "s"),
            binding(&[(kind, "prod", "now")], "s"),
            binding(&[(kind, "other", "former")], "s"),
            binding(&[("Other", "prod", "former")], "s"),
            binding(&[(kind, "prod", "former")], "another"),
        ];
        for other in others {
            assert_eq!(regaining(&other, &bundle()), None, "{:?}", other.metadata);
        }
    }

    #[test]
    fn one_that_ends_or_was_released_stays_as_it_is() {
        let former = || binding(&[("APIServiceBindingBundle", "prod", "former")], "s");
        let (mut ends, mut released) = (json!(former()), former());
        ends["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let ends: APIServiceBinding = serde_json::from_value(ends).unwrap();
        assert_eq!(regaining(&ends, &bundle()), None);
        let mark = portolan_core::api::kubebind::ANNOTATION_RELEASED.to_owned();
        released.annotations_mut().insert(mark, "true".to_owned());
        assert_eq!(regaining(&released, &bundle()), None);
    }
}
