//! What people say about the end of things, by annotations on them.

use kube::{Resource, ResourceExt as _};
use portolan_core::api::kubebind::{
    ANNOTATION_DELETION_POLICY, ANNOTATION_RELEASED, APIServiceBinding, APIServiceBindingBundle,
    DELETION_POLICY_ORPHAN,
};

use crate::context::Context;

/// Finalizer with which the API server marks what is deleted with `--cascade=orphan`, until its dependents
/// have been let go.
const ORPHAN_FINALIZER: &str = "orphan";

/// Whether the copies are to stay when this object goes.
pub(crate) fn orphans<K: Resource>(object: &K) -> bool {
    object
        .annotations()
        .get(ANNOTATION_DELETION_POLICY)
        .is_some_and(|policy| policy == DELETION_POLICY_ORPHAN)
}

/// Whether `konnector release` has taken this object over.
pub(crate) fn is_released<K: Resource>(object: &K) -> bool {
    object.annotations().get(ANNOTATION_RELEASED).is_some_and(|value| value == "true")
}

/// Whether the garbage collector is still letting go of the dependents.
pub(crate) fn is_being_orphaned<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == ORPHAN_FINALIZER)
}

/// Whether a binding belongs to this bundle, and not to a former one of the same name.
pub(crate) fn is_owned(binding: &APIServiceBinding, bundle: &APIServiceBindingBundle) -> bool {
    binding.owner_references().iter().any(|owner| {
        owner.kind == "APIServiceBindingBundle"
            && owner.name == bundle.name_any()
            && Some(&owner.uid) == bundle.metadata.uid.as_ref()
    })
}

/// The name of the bundle that a binding belongs to.
pub(crate) fn bundle_of(binding: &APIServiceBinding) -> Option<&str> {
    let owner = binding.owner_references().iter().find(|owner| owner.kind == "APIServiceBindingBundle")?;
    Some(&owner.name)
}

/// A binding, with the bundle that it belongs to, for people.
pub(crate) fn described(binding: &APIServiceBinding) -> String {
    let name = binding.name_any();
    match bundle_of(binding) {
        Some(bundle) => format!("APIServiceBinding {name} of bundle {bundle}"),
        None => format!("APIServiceBinding {name}"),
    }
}

/// Whether the copies of a binding are to stay: it says so itself, or its bundle does.
pub(crate) fn keeps_copies(context: &Context, binding: &APIServiceBinding) -> bool {
    let bundle = bundle_of(binding).and_then(|name| context.bundle(name));
    orphans(binding) || bundle.is_some_and(|bundle| is_owned(binding, &bundle) && orphans(&*bundle))
}
