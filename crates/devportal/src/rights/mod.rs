//! Lets requesters read their keys: one Role and one RoleBinding per requester and namespace.
//!
//! One pair per key would be thousands of bindings in a namespace, and the authorizer walks all of them at each request.

mod build;
mod fresh;

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::rbac::v1::Role};
use kube::{Api, Resource, ResourceExt as _, api::ListParams};
use portolan_core::api::devportal::{KeyPhase, secret_name};
use portolan_runtime::{
    apply::{WriteError, apply_over, delete, json_patch_as},
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use self::fresh::GATHER;
use crate::{
    changes::KeyGroup,
    context::Context,
    key::{SecretOwnership, ownership},
    names::{ObjectName, RequesterAt},
    scope::ScopedCache,
};

pub use self::{build::ANNOTATION_REQUESTER, fresh::FreshRights};

const FIELD_MANAGER: &str = "portolan-devportal";
const WORKERS: usize = 8;

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile = |context: Arc<Context>, at: RequesterAt| async move { reconcile(&context, &at).await };
    let queue = &context.queues.rights;
    Controller { name: "rights", workers: WORKERS, queue, metrics: &context.controllers }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, at: &RequesterAt) -> Result<Action, ReconcileError> {
    let names = secrets_of(context, at);
    let name = build::name(&at.user);
    let role = context.roles.get(&at.namespace, &name);
    let binding = context.bindings.get(&at.namespace, &name);
    // An empty list of names would mean every Secret. So the binding goes first, and the Role is never emptied.
    let Some(wanted) = build::role(at, &names) else {
        remove(context, binding.as_deref()).await?;
        remove(context, role.as_deref()).await?;
        return Ok(Action::AwaitChange);
    };
    if role
        .as_ref()
        .is_none_or(|role| role.rules != wanted.rules || role.annotations() != wanted.annotations())
    {
        let waiting = context.queues.keys.depth();
        let only_adds = role.as_deref().is_none_or(|role| build::only_adds(role, &wanted));
        if only_adds && context.fresh_rights.gathers(at, waiting) {
            return Ok(Action::RequeueAfter(GATHER));
        }
        write_role(context, &at.namespace, &wanted, role.as_deref()).await?;
        context.fresh_rights.note(at);
    }
    let wanted = build::binding(at);
    match binding.as_deref() {
        // What a binding refers to cannot change: only a new one can be right.
        Some(binding) if binding.role_ref != wanted.role_ref => {
            remove(context, Some(binding)).await?;
            return Ok(Action::RequeueAfter(Duration::from_millis(200)));
        }
        Some(binding) if binding.subjects == wanted.subjects => {}
        binding => write(context, &context.bindings, &at.namespace, &wanted, binding).await?,
    }
    Ok(Action::AwaitChange)
}

/// The Secrets that a requester may read: those that are there, are of a key's own, and were approved.
fn secrets_of(context: &Context, at: &RequesterAt) -> Vec<String> {
    let keys = context.indexes.keys.of(&KeyGroup::Requester(at.clone()));
    let readable = |name: &ObjectName| {
        let key = context.keys.get(&name.namespace, &name.name)?;
        let is_given = key.phase() == KeyPhase::Approved
            && key.metadata.deletion_timestamp.is_none()
            && key.status.as_ref().is_some_and(|status| status.secret_ref.is_some());
        let secret = context.secrets.get(&name.namespace, &secret_name(&name.name)).filter(|_| is_given)?;
        (ownership(&secret.metadata, &key) == SecretOwnership::Ours).then(|| secret.name_any())
    };
    keys.iter().filter_map(readable).collect()
}

async fn remove<K>(context: &Context, object: Option<&K>) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let Some(object) = object else { return Ok(()) };
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
    let deleted = delete(&api, &name, &uid).await;
    deleted.map_err(|error| ReconcileError::new("take back the rights of", &name, error))
}

/// Writes a Role. Of one that is there, and that differs in nothing else, the rules alone: that costs the API server less.
async fn write_role(
    context: &Context,
    namespace: &str,
    wanted: &Role,
    seen: Option<&Role>,
) -> Result<(), ReconcileError> {
    let is_ours =
        |seen: &&Role| seen.annotations() == wanted.annotations() && seen.labels() == wanted.labels();
    let Some(seen) = seen.filter(is_ours) else {
        return write(context, &context.roles, namespace, wanted, seen).await;
    };
    let api: Api<Role> = Api::namespaced(context.client.clone(), namespace);
    let name = wanted.name_any();
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": seen.metadata.uid},
        {"op": "add", "path": "/rules", "value": wanted.rules},
    ]);
    let written = json_patch_as(&api, Some(FIELD_MANAGER), &name, None, operations).await;
    let written = written.map_err(|error| ReconcileError::new("give the rights", &name, error))?;
    context.roles.wrote(written);
    Ok(())
}

async fn write<K>(
    context: &Context,
    kind: &ScopedCache<K>,
    namespace: &str,
    wanted: &K,
    seen: Option<&K>,
) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let written = match apply_over(&api, FIELD_MANAGER, wanted, seen).await {
        Err(refused) if seen.is_none() && refused.is_conflict() => retake(&api, wanted, refused).await,
        written => written,
    };
    let written =
        written.map_err(|error| ReconcileError::new("give the rights", wanted.name_any(), error))?;
    kind.wrote(written);
    Ok(())
}

/// Writes over one that is there already, if it says that it is ours: without its label it is in no store.
async fn retake<K>(api: &Api<K>, wanted: &K, refused: WriteError) -> Result<K, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let params = ListParams::default().fields(&format!("metadata.name={}", wanted.name_any()));
    let found = api.list(&params).await?.items.into_iter().next();
    let requester = |object: &K| object.annotations().get(ANNOTATION_REQUESTER).cloned();
    match found.filter(|found| requester(found) == requester(wanted)) {
        Some(found) => apply_over(api, FIELD_MANAGER, wanted, Some(&found)).await,
        None => Err(refused),
    }
}
