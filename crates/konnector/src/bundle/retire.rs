//! The end of a bundle: its bindings first, each in its own order, then the bundle.

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};
use portolan_core::api::kubebind::{ANNOTATION_WITHDRAWN, APIServiceBinding, APIServiceBindingBundle};
use portolan_runtime::{
    apply::{self, WriteError},
    controller::Action,
};
use serde_json::json;
use tracing::info;

use super::failures::BindingFailures;
use crate::{binding::FINALIZER, context::KonnectorContext, policy};

/// Makes sure that a bundle does not go before its bindings.
pub(super) async fn hold(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
) -> Result<Option<APIServiceBindingBundle>, WriteError> {
    if bundle.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(None);
    }
    let add = match bundle.metadata.finalizers {
        None => json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}),
        Some(_) => json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}),
    };
    let uid = json!({"op": "test", "path": "/metadata/uid", "value": bundle.metadata.uid});
    let api: Api<APIServiceBindingBundle> = Api::all(context.consumer.clone());
    let written: APIServiceBindingBundle =
        apply::json_patch(&api, &bundle.name_any(), None, json!([uid, add])).await?;
    context.bundles.wrote(written.clone());
    Ok(Some(written))
}

/// Deletes the bindings of a bundle that is terminating, and lets it go when they are gone.
pub(super) async fn retire(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
) -> Result<Action, WriteError> {
    let Some(place) = bundle.finalizers().iter().position(|finalizer| finalizer == FINALIZER) else {
        return Ok(Action::AwaitChange);
    };
    // The garbage collector makes the bindings independent; `konnector release` does our work.
    if policy::is_being_orphaned(bundle) || policy::is_released(bundle) {
        return Ok(Action::AwaitChange);
    }
    let owned = context.bindings.filter(|binding| policy::is_owned(binding, bundle));
    if owned.is_empty() {
        release(context, bundle, place).await?;
        return Ok(Action::AwaitChange);
    }
    let mut failures = BindingFailures::default();
    for binding in owned.iter().filter(|binding| binding.metadata.deletion_timestamp.is_none()) {
        let (bundle, binding_name) = (bundle.name_any(), binding.name_any());
        match delete_as_seen(context, binding).await {
            Ok(()) => info!(bundle, binding = binding_name, "the bundle is terminating: unbinding"),
            // Perhaps it is not the bundle's any more.
            Err(error) if error.is_conflict() => return Err(error),
            Err(error) => failures.take_in("delete", &binding_name, error),
        }
    }
    failures.tell(context, bundle).await?;
    Ok(Action::AwaitChange)
}

/// Deletes a binding whose export is withdrawn. It is marked before, because later nothing tells who has ended it.
pub(super) async fn withdraw_as_seen(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
) -> Result<(), WriteError> {
    if policy::is_withdrawn(binding) {
        return delete_as_seen(context, binding).await;
    }
    let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_WITHDRAWN));
    let mark = match binding.metadata.annotations {
        None => {
            json!({"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_WITHDRAWN: "true"}})
        }
        Some(_) => json!({"op": "add", "path": path, "value": "true"}),
    };
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": binding.metadata.resource_version},
        mark,
    ]);
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let marked: APIServiceBinding = apply::json_patch(&api, &binding.name_any(), None, operations).await?;
    delete_as_seen(context, &marked).await
}

/// Deletes a binding in the version that was seen: in a later one, it may have no owner any more, or be bound
/// to another export.
pub(super) async fn delete_as_seen(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
) -> Result<(), WriteError> {
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let preconditions = Preconditions { uid: binding.uid(), resource_version: binding.resource_version() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    api.delete(&binding.name_any(), &params).await?;
    Ok(())
}

async fn release(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    place: usize,
) -> Result<(), WriteError> {
    let api: Api<APIServiceBindingBundle> = Api::all(context.consumer.clone());
    apply::take_finalizer(&api, None, &bundle.metadata, (place, FINALIZER)).await?;
    info!(bundle = bundle.name_any(), "unbound");
    Ok(())
}
