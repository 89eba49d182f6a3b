//! Carries out the plan for a request: the namespace, the rights in it, and only then the answer.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Namespace, rbac::v1::RoleBinding},
};
use kube::{Api, Resource};
use portolan_core::api::kubebind::{APIServiceNamespace, APIServiceNamespaceStatus};
use portolan_runtime::{
    apply::{self, Precondition},
    cache::Cache,
    controller::{Action, ReconcileError},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tracing::info;

use super::plan::{self, ObservedRequest, RequestPlan, RequestStep};
use crate::{FIELD_MANAGER, context::ProviderContext, context::RESYNC, queues::QueueKey};

pub(super) async fn apply(
    context: &ProviderContext,
    key: &QueueKey,
    observed: &ObservedRequest,
    plan: RequestPlan,
) -> Result<Action, ReconcileError> {
    let on = observed.request.object_ref(&());
    match plan {
        // What lasts is told then.
        RequestPlan::Wait => {
            context.notices.worked(&on);
            Ok(Action::RequeueAfter(RESYNC))
        }
        RequestPlan::Blocked(why) => {
            context.notices.worked(&on);
            context.notices.warn(&on, "NamespaceNotUsable", &why).await;
            // What stands in the way is not watched.
            Ok(Action::RequeueAfter(RESYNC))
        }
        RequestPlan::Answer { namespace, create, role, binding } => {
            let given = give(context, key, observed, (namespace, create), (role, binding)).await;
            match &given {
                Ok(_) => context.notices.clear(&on),
                Err(error) => context.notices.failed(&on, "NamespaceFailed", error).await,
            }
            given
        }
    }
}

/// The namespace, the rights in it, and only then the answer.
async fn give(
    context: &ProviderContext,
    key: &QueueKey,
    observed: &ObservedRequest,
    (namespace, create): (String, bool),
    (role, binding): (RequestStep, RequestStep),
) -> Result<Action, ReconcileError> {
    if create {
        make_namespace(context, key, &namespace).await?;
    }
    if let (RequestStep::Write, Some(desired)) = (role, &observed.desired_role) {
        write(context, &context.roles, &namespace, desired, observed.role.as_deref()).await?;
    }
    if binding == RequestStep::Write {
        let seen = observed.binding.as_deref();
        write::<RoleBinding>(context, &context.role_bindings, &namespace, &observed.desired_binding, seen)
            .await?;
    }
    answer(context, key, &observed.request, namespace).await?;
    Ok(Action::AwaitChange)
}

async fn make_namespace(context: &ProviderContext, key: &QueueKey, name: &str) -> Result<(), ReconcileError> {
    let api: Api<Namespace> = Api::all(context.client.clone());
    let desired = json!(plan::namespace(name, key));
    let made = apply::apply::<Namespace>(&api, FIELD_MANAGER, &desired, &Precondition::Absent).await;
    made.map_err(|error| ReconcileError::new("create namespace", name, error))?;
    info!(request = %key, namespace = name, "made a namespace");
    Ok(())
}

async fn write<K>(
    context: &ProviderContext,
    kind: &Cache<K>,
    namespace: &str,
    desired: &K,
    observed: Option<&K>,
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
    let written = apply::apply_over(&api, FIELD_MANAGER, desired, observed).await;
    let written =
        written.map_err(|error| ReconcileError::new("write the rights in namespace", namespace, error))?;
    kind.wrote(written);
    Ok(())
}

async fn answer(
    context: &ProviderContext,
    key: &QueueKey,
    request: &APIServiceNamespace,
    namespace: String,
) -> Result<(), ReconcileError> {
    let status = APIServiceNamespaceStatus { namespace: Some(namespace) };
    if request.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<APIServiceNamespace> = Api::namespaced(context.client.clone(), &key.namespace);
    let written = apply::replace_status(&api, &request.metadata, false, &status).await;
    context.requests.wrote(written.map_err(|error| ReconcileError::new("answer", key, error))?);
    info!(request = %key, namespace = status.namespace, "answered");
    Ok(())
}
