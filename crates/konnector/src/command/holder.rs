//! The guard of commands that touch what stands under a contract: not while another consumer cluster works with it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, ObjectList},
};
use portolan_core::api::kubebind::{APIServiceBindingBundle, APIServiceExport, ClusterBinding};
use portolan_runtime::{
    apply::{self, code},
    clock,
    process::ProcessFailure,
};
use serde::de::DeserializeOwned;

use crate::provider::{self, Holder};

/// Copies under another contract than the one that a bundle is bound to, or of another cluster, have objects that
/// nobody here can see.
pub(super) async fn refuse_another(
    own: &Client,
    provider: &Client,
    namespace: &str,
    bundle: &APIServiceBindingBundle,
) -> Result<(), ProcessFailure> {
    let recorded = bundle.status.as_ref().and_then(|status| status.contract_namespace_uid.clone());
    let found = match Api::<Namespace>::all(provider.clone()).get_opt(namespace).await {
        Ok(found) => found.and_then(|namespace| namespace.uid()),
        // What the provider does not show is known by its name.
        Err(error) if code(&error) == 403 => None,
        Err(error) => return Err(error.into()),
    };
    if let Some((recorded, found)) = recorded.zip(found).filter(|(recorded, found)| recorded != found) {
        return Err(format!(
            "its kubeconfig leads to another contract ({found}) than the one that is bound ({recorded})"
        )
        .into());
    }
    refuse_anothers(own, provider, namespace).await
}

/// Refuses a contract that another cluster works with: its objects are not ours to delete.
pub(super) async fn refuse_anothers(
    own: &Client,
    provider: &Client,
    namespace: &str,
) -> Result<(), ProcessFailure> {
    let us = Api::<Namespace>::all(own.clone()).get("kube-system").await?.uid();
    let bindings = seen(Api::<ClusterBinding>::namespaced(provider.clone(), namespace)).await?;
    // Where a provider keeps no ClusterBinding, its exports say it.
    let exports = seen(Api::<APIServiceExport>::namespaced(provider.clone(), namespace)).await?;
    let bindings = bindings.into_iter().filter_map(|binding| Some(binding.status?.conditions));
    let exports = exports.into_iter().filter_map(|export| Some(export.status?.conditions));
    let mut holders = bindings.chain(exports).filter_map(|conditions| Holder::of(&conditions));
    match holders.find(|holder| Some(&holder.cluster) != us.as_ref()) {
        Some(holder) => {
            let cluster = holder.cluster;
            Err(format!("the contract is used by another consumer cluster ({cluster}) now").into())
        }
        None => Ok(()),
    }
}

/// Takes back what says that the contract is this cluster's. False where nothing does.
pub(super) async fn give_back(
    own: &Client,
    provider: &Client,
    namespace: &str,
) -> Result<bool, ProcessFailure> {
    let us = Api::<Namespace>::all(own.clone()).get("kube-system").await?.uid().unwrap_or_default();
    let (mut given, now) = (false, clock::now());
    let api: Api<ClusterBinding> = Api::namespaced(provider.clone(), namespace);
    for binding in seen(api.clone()).await? {
        let mut status = binding.status.unwrap_or_default();
        if provider::give_back(&mut status.conditions, &us, now) {
            apply::replace_status(&api, &binding.metadata, true, &status).await?;
            given = true;
        }
    }
    let api: Api<APIServiceExport> = Api::namespaced(provider.clone(), namespace);
    for export in seen(api.clone()).await? {
        let mut status = export.status.unwrap_or_default();
        if provider::give_back(&mut status.conditions, &us, now) {
            apply::replace_status(&api, &export.metadata, true, &status).await?;
            given = true;
        }
    }
    Ok(given)
}

/// Lists the objects of a kind on a provider; empty where it has none of it, or hides it.
async fn seen<K>(api: Api<K>) -> kube::Result<Vec<K>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.list(&ListParams::default()).await {
        Ok(ObjectList { items, .. }) => Ok(items),
        Err(error) if [403, 404].contains(&code(&error)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
