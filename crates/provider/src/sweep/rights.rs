//! The provider's own right to see what is in one namespace, for as long as it looks.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authentication::v1::SelfSubjectReview,
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{Api, Resource, ResourceExt as _, api::PostParams};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    controller::ReconcileError,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{FIELD_MANAGER, context::ProviderContext};

/// Name of the Role and of its binding.
pub(super) const NAME: &str = "kube-bind-sweep";
const GROUP: &str = "rbac.authorization.k8s.io";

/// Gives ourselves the right to list whatever is in a namespace.
pub(super) async fn allow_look(context: &ProviderContext, namespace: &str) -> Result<(), ReconcileError> {
    let failed =
        |error: WriteError| ReconcileError::new("get the rights to inspect namespace", namespace, error);
    let reviews: Api<SelfSubjectReview> = Api::all(context.client.clone());
    let asked = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let ourselves = asked.map_err(|error| failed(error.into()))?;
    let name = ourselves.status.and_then(|status| status.user_info?.username).unwrap_or_default();
    let role = json!({
        "metadata": {"name": NAME},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}],
    });
    let binding = json!({
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": NAME},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": name}],
    });
    create::<Role>(context, namespace, role).await.map_err(failed)?;
    create::<RoleBinding>(context, namespace, binding).await.map_err(failed)
}

/// Takes the right back.
pub(super) async fn end_look(context: &ProviderContext, namespace: &str) -> Result<(), ReconcileError> {
    let failed =
        |error: WriteError| ReconcileError::new("give up the rights to inspect namespace", namespace, error);
    remove::<RoleBinding>(context, namespace).await.map_err(failed)?;
    remove::<Role>(context, namespace).await.map_err(failed)
}

async fn create<K>(context: &ProviderContext, namespace: &str, mut desired: Value) -> Result<(), WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    desired["apiVersion"] = K::api_version(&()).into();
    desired["kind"] = K::kind(&()).into();
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match apply::apply::<K>(&api, FIELD_MANAGER, &desired, &Precondition::Absent).await {
        // It is left from a look that was interrupted.
        Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn remove<K>(context: &ProviderContext, namespace: &str) -> Result<(), WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match api.get_opt(NAME).await? {
        Some(found) => apply::delete(&api, NAME, &found.uid().unwrap_or_default()).await,
        None => Ok(()),
    }
}
