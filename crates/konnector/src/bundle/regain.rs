//! Bindings that a backup tool has brought back: with the uid of a former bundle of their bundle's name, or without an
//! owner.
//!
//! To the garbage collector, the former belong to nobody, and it deletes what belongs to nobody. So they become the
//! bundle's at once, whatever is known of the provider.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, FIELD_MANAGER};
use portolan_runtime::{apply, telemetry::ErrorChain};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::plan;
use crate::{binding::ANNOTATION_BUNDLE, context::KonnectorContext, policy};

const KIND: &str = "APIServiceBindingBundle";

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
                info!(
                    bundle = bundle.name_any(),
                    binding = name,
                    "it was restored: it belongs to the bundle again"
                );
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

/// The change by which a restored binding belongs to the bundle of the name that it gives. `None` where it is none.
fn regaining(binding: &APIServiceBinding, bundle: &APIServiceBindingBundle) -> Option<Value> {
    let is_other = binding.metadata.deletion_timestamp.is_some()
        || binding.spec.kubeconfig_secret_ref != bundle.spec.kubeconfig_secret_ref
        || policy::is_released(binding)
        || policy::is_owned(binding, bundle);
    if is_other {
        return None;
    }
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid})];
    let (name, owners) = (bundle.name_any(), binding.owner_references());
    let is_former = |owner: &OwnerReference| owner.kind == KIND && owner.name == name;
    if let Some((place, former)) = owners.iter().enumerate().find(|(_, owner)| is_former(owner)) {
        let path = format!("/metadata/ownerReferences/{place}/uid");
        operations.push(json!({"op": "test", "path": path, "value": former.uid}));
        operations.push(json!({"op": "replace", "path": path, "value": bundle.metadata.uid}));
    } else if owners.is_empty() && is_restored(binding, &name) {
        let owner = plan::owner(bundle)?;
        operations.push(json!({"op": "add", "path": "/metadata/ownerReferences", "value": [owner]}));
    } else {
        return None;
    }
    Some(operations.into())
}

/// Returns `true` if a binding says that this bundle has made it, and somebody else has written that: a backup tool. One
/// that we have written and that has no owner was let go of, with `--cascade=orphan`.
fn is_restored(binding: &APIServiceBinding, bundle: &str) -> bool {
    let path = format!("/f:metadata/f:annotations/f:{}", apply::escaped(ANNOTATION_BUNDLE));
    let by_us = binding.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&path).is_some())
    });
    !by_us && binding.annotations().get(ANNOTATION_BUNDLE).is_some_and(|name| name == bundle)
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
    fn one_without_an_owner_belongs_to_the_bundle_unless_it_was_let_go_of() {
        let alone = |name: &str, manager: &str| {
            let mut alone = json!(binding(&[], "s"));
            alone["metadata"]["annotations"] = json!({ANNOTATION_BUNDLE: name});
            let field = format!("f:{ANNOTATION_BUNDLE}");
            let fields = json!({"f:metadata": {"f:annotations": {(field): {}}}});
            alone["metadata"]["managedFields"] =
                json!([{"manager": manager, "operation": "Update", "fieldsV1": fields}]);
            let alone: APIServiceBinding = serde_json::from_value(alone).unwrap();
            regaining(&alone, &bundle())
        };
        let operations = alone("prod", "velero-server").unwrap();
        assert_eq!(operations[1]["path"], "/metadata/ownerReferences");
        let owner = &operations[1]["value"][0];
        assert_eq!((&owner["name"], &owner["uid"]), (&json!("prod"), &json!("now")));
        assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&json!(true), &json!(true)));
        assert_eq!(alone("prod", FIELD_MANAGER), None, "with --cascade=orphan");
        assert_eq!(alone("other", "velero-server"), None);
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
