//! Whether a command may touch what stands under a contract: not while another consumer cluster works with it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource,
    api::{ListParams, ObjectList},
};
use portolan_core::api::kubebind::{APIServiceExport, ClusterBinding};
use portolan_runtime::{apply::code, process::Failure};
use serde::de::DeserializeOwned;

use crate::provider::Holder;

/// What another cluster works with is not ours to delete.
pub(super) async fn refuse_anothers(own: &Client, provider: &Client, namespace: &str) -> Result<(), Failure> {
    use kube::ResourceExt as _;

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

/// What a provider shows of a kind; nothing where it has none of it, or hides it.
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
