//! Annotations by which people decide what happens at the end of a binding.

use kube::{Resource, ResourceExt as _};
use portolan_core::api::kubebind::{
    ANNOTATION_DELETION_POLICY, ANNOTATION_ON_WITHDRAW, ANNOTATION_RELEASED, ANNOTATION_WITHDRAWN,
    APIServiceBinding, APIServiceBindingBundle, DELETION_POLICY_ORPHAN,
};

use crate::args::OnWithdraw;

/// Finalizer with which the API server marks what is deleted with `--cascade=orphan`, until its dependents
/// have been let go.
const ORPHAN_FINALIZER: &str = "orphan";

/// Returns `true` if the copies are to stay when this object is deleted.
pub fn orphans<K: Resource>(object: &K) -> bool {
    object
        .annotations()
        .get(ANNOTATION_DELETION_POLICY)
        .is_some_and(|policy| policy == DELETION_POLICY_ORPHAN)
}

/// Returns `true` if `konnector release` has taken this object over.
pub fn is_released<K: Resource>(object: &K) -> bool {
    object.annotations().get(ANNOTATION_RELEASED).is_some_and(|value| value == "true")
}

/// Returns `true` if the garbage collector is still letting go of the dependents.
pub fn is_being_orphaned<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER)
}

/// Returns `true` if a binding belongs to this bundle, and not to a former one of the same name.
pub fn is_owned(binding: &APIServiceBinding, bundle: &APIServiceBindingBundle) -> bool {
    binding.owner_references().iter().any(|owner| {
        owner.kind == "APIServiceBindingBundle"
            && owner.name == bundle.name_any()
            && Some(&owner.uid) == bundle.metadata.uid.as_ref()
    })
}

/// The name of the bundle that a binding belongs to.
pub fn bundle_of(binding: &APIServiceBinding) -> Option<&str> {
    let owner = binding.owner_references().iter().find(|owner| owner.kind == "APIServiceBindingBundle")?;
    Some(&owner.name)
}

/// Returns `true` if a binding names a bundle, and this one, if there is one of the name, is another: a backup tool has
/// brought it back, and the garbage collector deletes it unless it gets an owner that exists.
pub fn is_stray(binding: &APIServiceBinding, bundle: Option<&APIServiceBindingBundle>) -> bool {
    bundle_of(binding).is_some() && !bundle.is_some_and(|bundle| is_owned(binding, bundle))
}

/// A binding, with the bundle that it belongs to, for people.
pub fn described(binding: &APIServiceBinding) -> String {
    let name = binding.name_any();
    match bundle_of(binding) {
        Some(bundle) => format!("APIServiceBinding {name} of bundle {bundle}"),
        None => format!("APIServiceBinding {name}"),
    }
}

/// Returns `true` if the copies of a binding are to stay: its own annotation decides, or that of the bundle that it
/// belongs to.
pub fn keeps_copies(binding: &APIServiceBinding, bundle: Option<&APIServiceBindingBundle>) -> bool {
    orphans(binding) || bundle.is_some_and(orphans)
}

/// Treatment of objects and copies when the provider withdraws the export of a binding: its own annotation decides,
/// or that of the bundle that it belongs to, or a flag.
pub fn on_withdraw(
    binding: &APIServiceBinding,
    bundle: Option<&APIServiceBindingBundle>,
    flag: OnWithdraw,
) -> OnWithdraw {
    said_on_withdraw(binding).or_else(|| said_on_withdraw(bundle?)).unwrap_or(flag)
}

/// An unknown value never deletes.
pub fn said_on_withdraw<K: Resource>(object: &K) -> Option<OnWithdraw> {
    object.annotations().get(ANNOTATION_ON_WITHDRAW).map(|value| match value.as_str() {
        "delete" => OnWithdraw::Delete,
        _ => OnWithdraw::Keep,
    })
}

/// Returns `true` if a binding is deleted because its export was withdrawn.
pub fn is_withdrawn(binding: &APIServiceBinding) -> bool {
    binding.annotations().contains_key(ANNOTATION_WITHDRAWN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_is_a_stray_where_its_bundle_does_not_exist() {
        let bundle = |uid: &str| -> APIServiceBindingBundle {
            serde_json::from_value(json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
                "metadata": {"name": "b", "uid": uid},
                "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
            }))
            .unwrap()
        };
        let binding = |owners: serde_json::Value| -> APIServiceBinding {
            serde_json::from_value(json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
                "metadata": {"name": "a", "ownerReferences": owners},
                "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
            }))
            .unwrap()
        };
        let owner = json!({"apiVersion": "a/v1", "kind": "APIServiceBindingBundle", "name": "b", "uid": "1"});
        let (of_bundle, by_hand) = (binding(json!([owner])), binding(json!([])));
        assert!(is_stray(&of_bundle, None));
        assert!(is_stray(&of_bundle, Some(&bundle("2"))));
        assert!(!is_stray(&of_bundle, Some(&bundle("1"))));
        assert!(!is_stray(&by_hand, None));
    }

    #[test]
    fn only_the_word_delete_deletes() {
        let said = |annotations: serde_json::Value| {
            let binding: APIServiceBinding = serde_json::from_value(json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
                "metadata": {"name": "a", "annotations": annotations},
                "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
            }))
            .unwrap();
            said_on_withdraw(&binding)
        };
        assert_eq!(said(json!({})), None);
        assert_eq!(said(json!({ANNOTATION_ON_WITHDRAW: "delete"})), Some(OnWithdraw::Delete));
        for other in ["keep", "", "Delete", "true"] {
            assert_eq!(said(json!({ANNOTATION_ON_WITHDRAW: other})), Some(OnWithdraw::Keep), "{other}");
        }
    }
}
