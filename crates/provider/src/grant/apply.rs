//! Writes the rights of a consumer, where they are not what they should be.

use std::fmt::Debug;

use k8s_openapi::{
    ClusterResourceScope,
    api::{
        core::v1::{Namespace, ObjectReference},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
};
use kube::{Api, Resource, ResourceExt as _};
use portolan_runtime::{
    apply::{self},
    cache::Cache,
    controller::ReconcileError,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{exported_in, read_across, resources, shared};
use crate::{
    FIELD_MANAGER, cluster_rights, cluster_rights::Shared, context::ProviderContext, is_ours,
    queues::QueueKey, rights, tenancy::CopyPlace,
};

const FOREIGN: &str = "It was not made by this provider (label kube-bind.io/managed-by=provider is missing), so a consumer \
 cannot be given its rights. Delete it.";

/// Rights on kinds whose copies stand in the contract namespace.
pub(super) async fn in_contract(context: &ProviderContext, contract: &str) -> Result<(), ReconcileError> {
    let kinds = exported_in(context, contract, CopyPlace::Contract);
    let key = QueueKey::new(contract, rights::NAME);
    let role = context.roles.get_in(&key.namespace, &key.name);
    if kinds.is_empty() && role.is_none() {
        return Ok(());
    }
    let desired = rights::role(kinds.iter().map(|(group, plural)| (group.as_str(), plural.as_str())));
    let is_right = role.as_deref().is_some_and(|role| rights::grants(role, &desired));
    let api: Api<Role> = Api::namespaced(context.client.clone(), contract);
    write(context, &api, &context.roles, (&desired, is_right), role.as_deref()).await?;
    let binding = context.role_bindings.get_in(&key.namespace, &key.name);
    let desired = rights::binding(contract);
    let is_right = binding.as_deref().is_some_and(|binding| rights::binds(binding, &desired));
    let api: Api<RoleBinding> = Api::namespaced(context.client.clone(), contract);
    write(context, &api, &context.role_bindings, (&desired, is_right), binding.as_deref()).await
}

/// Rights on kinds that the consumer shares with others.
pub(super) async fn in_cluster(
    context: &ProviderContext,
    known: &Shared,
    contract: &Namespace,
) -> Result<(), ReconcileError> {
    let namespace = contract.name_any();
    let name = cluster_rights::name(&namespace);
    let (role, binding) = (known.roles.get(&name), known.role_bindings.get(&name));
    let all = context.exports.all();
    let here = || all.iter().filter(|export| export.namespace().as_deref() == Some(&namespace));
    let read = here().flat_map(|export| resources(context, export, read_across)).collect();
    let write_to = exported_in(context, &namespace, CopyPlace::Cluster);
    let roles: Api<ClusterRole> = Api::all(context.client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(context.client.clone());
    let desired = shared::role(contract, &read, &write_to);
    if desired.rules.as_ref().is_none_or(Vec::is_empty) {
        remove(&bindings, binding.as_deref()).await?;
        return remove(&roles, role.as_deref()).await;
    }
    let is_right = role.as_deref().is_some_and(|role| role.rules == desired.rules);
    write(context, &roles, &known.roles, (&desired, is_right), role.as_deref()).await?;
    let desired = shared::binding(contract);
    let same =
        |seen: &ClusterRoleBinding| seen.role_ref == desired.role_ref && seen.subjects == desired.subjects;
    let is_right = binding.as_deref().is_some_and(same);
    write(context, &bindings, &known.role_bindings, (&desired, is_right), binding.as_deref()).await
}

/// Writes an object unless it is right; one that is somebody else's is not in the store, and stays.
async fn write<K>(
    context: &ProviderContext,
    api: &Api<K>,
    kind: &Cache<K>,
    (desired, is_right): (&K, bool),
    observed: Option<&K>,
) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static,
{
    let on = ObjectReference { namespace: api.namespace().map(str::to_owned), ..desired.object_ref(&()) };
    if is_right {
        context.notices.clear(&on);
        return Ok(());
    }
    match apply::apply_over(api, FIELD_MANAGER, desired, observed).await {
        Ok(written) => {
            context.notices.clear(&on);
            kind.wrote(written);
            Ok(())
        }
        Err(error) => {
            if error.is_conflict() && observed.is_none() {
                context.notices.lasts(&on, "NotOurs", FOREIGN).await;
            }
            Err(ReconcileError::new("write the rights", desired.name_any(), error))
        }
    }
}

async fn remove<K>(api: &Api<K>, observed: Option<&K>) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + DeserializeOwned,
{
    let Some(rights) = observed.filter(|seen| is_ours(*seen)) else { return Ok(()) };
    let uid = rights.uid().unwrap_or_default();
    let deleted = apply::delete(api, &rights.name_any(), &uid).await;
    deleted.map_err(|error| ReconcileError::new("delete the rights", rights.name_any(), error))
}
