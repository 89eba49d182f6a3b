//! `konnector release --bundle NAME`: gives up a bundle whose provider is gone for good.
//!
//! The provider is not asked, and no object is deleted: only our finalizers, the bundle and its bindings go.
//! A running konnector keeps off what is marked as released.

use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
};
use portolan_core::{
    api::kubebind::{ANNOTATION_RELEASED, APIServiceBinding, APIServiceBindingBundle},
    outline::CrdOutline,
};
use portolan_runtime::{
    apply::{self, WriteError},
    client,
    process::ProcessFailure,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    inventory::{BroughtCrd, bindings_of, brought},
    say,
};
use crate::{args::KonnectorArgs, binding::FINALIZER, finalizers};

/// Releases a bundle and says what is left.
pub(super) async fn release(args: &KonnectorArgs, name: &str) -> Result<(), ProcessFailure> {
    let client = client::connect(&args.client).await?;
    let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let bindings: Api<APIServiceBinding> = Api::all(client.clone());
    let bundle = bundles.get_opt(name).await?;
    let owned = bindings_of(&client, name).await?;
    if bundle.is_none() && owned.is_empty() {
        return Err(format!(
            "there is no APIServiceBindingBundle {name}, and no binding that belonged to one"
        )
        .into());
    }
    if bundle.is_some() {
        mark(&bundles, name).await?;
    }
    for binding in &owned {
        mark(&bindings, &binding.name_any()).await?;
    }
    for binding in &owned {
        for kind in brought(&client, binding).await? {
            let stripped = let_go(&client, binding, &kind).await?;
            for line in describe(&kind, stripped) {
                say(&line);
            }
        }
        remove(&bindings, &binding.name_any()).await?;
    }
    if bundle.is_some() {
        remove(&bundles, name).await?;
    }
    say(&format!("released: bundle {name} and {} bindings are deleted", owned.len()));
    Ok(())
}

async fn mark<K>(api: &Api<K>, name: &str) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION_RELEASED: "true"}}}));
    api.patch(name, &PatchParams::default(), &patch).await.map(|_| ())
}

/// Frees objects and CRD of the binding, so that the garbage collector leaves them alone. Gives how many
/// objects had our finalizer.
async fn let_go(
    client: &Client,
    binding: &APIServiceBinding,
    kind: &BroughtCrd,
) -> Result<usize, WriteError> {
    let mut stripped = 0;
    // An engine of a running konnector may have had a write under way.
    loop {
        match finalizers::strip(client, &kind.resource).await? {
            None | Some(0) => break,
            Some(more) => stripped += more,
        }
    }
    let owners = kind.crd.owner_references().iter();
    let Some(place) = owners.clone().position(|owner| Some(&owner.uid) == binding.metadata.uid.as_ref())
    else {
        return Ok(stripped);
    };
    let path = format!("/metadata/ownerReferences/{place}");
    let operations = json!([
        {"op": "test", "path": format!("{path}/uid"), "value": binding.metadata.uid},
        {"op": "remove", "path": path},
    ]);
    let api: Api<CrdOutline> = Api::all(client.clone());
    match apply::json_patch::<CrdOutline>(&api, &kind.crd.name_any(), None, operations).await {
        Ok(_) | Err(WriteError::Conflict(_)) => Ok(stripped),
        Err(error) => Err(error),
    }
}

/// Deletes an object and takes our finalizer off.
async fn remove<K>(api: &Api<K>, name: &str) -> Result<(), WriteError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let Some(found) = api.get_opt(name).await? else { return Ok(()) };
    let uid = found.meta().uid.clone().unwrap_or_default();
    if let Some(place) = found.finalizers().iter().position(|finalizer| finalizer == FINALIZER) {
        match apply::take_finalizer(api, None, found.meta(), (place, FINALIZER)).await {
            Ok(_) | Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    apply::delete(api, name, &uid).await
}

fn describe(kind: &BroughtCrd, stripped: usize) -> Vec<String> {
    let name = kind.crd.name_any();
    let mut lines = vec![format!("{name}: removed the finalizer from {stripped} objects")];
    lines.push(if kind.crd.metadata.deletion_timestamp.is_some() {
        format!("  the CustomResourceDefinition was terminating: it and its {} objects are deleted now", kind.objects)
    } else {
        format!(
            "  left on this cluster: the CustomResourceDefinition with {} objects; `kubectl delete crd {name}` \
             removes them",
            kind.objects
        )
    });
    if !kind.copies.is_empty() {
        lines.push(format!("  left on the provider, if it still exists: copies, {}", kind.places()));
    }
    lines
}
