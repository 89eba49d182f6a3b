//! Everything that bears on a request: from the stores first, and from the API server what they do not hold.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{Api, Resource};
use portolan_core::{api::kubebind::APIServiceNamespace, names::is_dns_label};
use serde::de::DeserializeOwned;

use super::plan::{self, Candidates, Look, ObservedRequest};
use portolan_runtime::{cache::Cache, clock, controller::ReconcileError};

use crate::{
    claims,
    context::{ProviderContext, RESYNC},
    contract::{ConsumerContract, CrdChoice},
    grant::{claimed_in, exported_in},
    queues::QueueKey,
    rights,
    standing::contract_for,
    tenancy::CopyPlace,
};

/// `None` where there is nothing to answer.
pub(super) async fn observe(
    context: &ProviderContext,
    key: &QueueKey,
) -> Result<Option<ObservedRequest>, ReconcileError> {
    let Some(request) = context.requests.get_in(&key.namespace, &key.name) else {
        context.notices.clear(&key.reference::<APIServiceNamespace>());
        return Ok(None);
    };
    if request.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let Some(contract) = contract_for(context, &request.object_ref(&())).await? else { return Ok(None) };
    if !is_dns_label(&key.name) {
        let note = "This is not a valid name for a namespace, so none is created.";
        context.notices.warn(&request.object_ref(&()), "InvalidName", note).await;
        return Ok(None);
    }
    let answer = request.status.as_ref().and_then(|status| status.namespace.clone());
    let answered = match answer.filter(|name| !name.is_empty()) {
        Some(name) => Some((name.clone(), look(context, &name, key).await?)),
        None => None,
    };
    let candidates = candidates(context, key, answered.as_ref()).await?;
    let ours =
        answered.iter().chain([&candidates.plain, &candidates.hashed]).find(|(_, look)| *look == Look::Ours);
    let names =
        [&candidates.plain.0, &candidates.hashed.0].into_iter().chain(answered.iter().map(|(name, _)| name));
    let end_lasts = names.into_iter().any(|name| end_lasts(context, name));
    let place = ours.map(|(name, _)| QueueKey::new(name, rights::NAME));
    Ok(Some(ObservedRequest {
        role: find(context, &context.roles, place.as_ref()).await?,
        binding: find(context, &context.role_bindings, place.as_ref()).await?,
        desired_role: desired_role(context, key, &contract),
        desired_binding: rights::binding(&key.namespace),
        request,
        answered,
        candidates,
        end_lasts,
    }))
}

/// Returns `true` if a namespace that we have made has been terminating for longer than it should take.
fn end_lasts(context: &ProviderContext, name: &str) -> bool {
    let deleted = context.mapped.get(name).and_then(|mapped| mapped.metadata.deletion_timestamp.clone());
    let age = deleted.map(|deleted| clock::now().duration_since(deleted.0));
    age.and_then(|age| Duration::try_from(age).ok()).is_some_and(|age| age >= RESYNC)
}

/// The API server is asked only as far as it matters: an answer that stands needs no candidates, and the
/// second name is needed only where the first is taken.
async fn candidates(
    context: &ProviderContext,
    key: &QueueKey,
    answered: Option<&(String, Look)>,
) -> Result<Candidates, ReconcileError> {
    let (plain, hashed) = plan::names(key);
    if answered.is_some_and(|(_, look)| *look == Look::Ours) {
        return Ok(Candidates { plain: (plain, Look::Foreign), hashed: (hashed, Look::Foreign) });
    }
    let seen_hashed = context.mapped.get(&hashed);
    let plain_look = look(context, &plain, key).await?;
    let hashed_look = match plain_look {
        Look::Foreign => look(context, &hashed, key).await?,
        _ => plan::look(seen_hashed.as_deref(), key),
    };
    Ok(Candidates { plain: (plain, plain_look), hashed: (hashed, hashed_look) })
}

async fn look(context: &ProviderContext, name: &str, key: &QueueKey) -> Result<Look, ReconcileError> {
    if let Some(namespace) = context.mapped.get(name) {
        return Ok(plan::look(Some(&namespace), key));
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let namespace =
        api.get_opt(name).await.map_err(|error| ReconcileError::new("read namespace", name, error))?;
    Ok(plan::look(namespace.as_ref(), key))
}

/// Finds an object. Those with our label are in the store; the API server knows the rest.
async fn find<K>(
    context: &ProviderContext,
    kind: &Cache<K>,
    key: Option<&QueueKey>,
) -> Result<Option<Arc<K>>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let Some(key) = key else { return Ok(None) };
    if let Some(seen) = kind.get_in(&key.namespace, &key.name) {
        return Ok(Some(seen));
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await;
    Ok(found.map_err(|error| ReconcileError::new("read the rights", key, error))?.map(Arc::new))
}

fn desired_role(
    context: &ProviderContext,
    key: &QueueKey,
    contract: &ConsumerContract,
) -> Option<k8s_openapi::api::rbac::v1::Role> {
    if !contract.is_clear() {
        return None;
    }
    let crds = context.crds.all();
    // What is claimed stands in mapped namespaces, wherever the copies of the kind stand.
    let chosen = crds.iter().filter(|crd| contract.choice(crd) == CrdChoice::Chosen);
    let offered = chosen.filter_map(|crd| crd.offer(context.tenancy).ok()).map(|offer| offer.claims);
    let agreed = claimed_in(context, &key.namespace);
    let claims: Vec<_> = offered.chain(agreed).flatten().collect();
    let exported = crds.iter().filter(|crd| {
        let terms = crd.terms(context.tenancy);
        terms.is_ok_and(|terms| terms.place == CopyPlace::Mapped) && contract.choice(crd) == CrdChoice::Chosen
    });
    // Until a withdrawn export is gone, the konnector needs its rights to clean up.
    let there = exported_in(context, &key.namespace, CopyPlace::Mapped);
    let there = there.iter().map(|(group, resource)| (group.as_str(), resource.as_str()));
    let exported = exported.map(|crd| crd.group_resource());
    Some(rights::role(exported.chain(there).chain(claims::resources(&claims))))
}
