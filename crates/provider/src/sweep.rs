//! Deletes the namespaces that stood for those of consumers, once nobody asks for them and nothing is left in them.
//!
//! What is in a namespace is looked at whole, whatever kinds there are. The provider has no right to that; it gives
//! itself one, for this namespace and this look. The consumer's rights go before the second look, so that nothing can
//! come after it.

mod content;
mod rights;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceNamespace, LABEL_CONTRACT};
use portolan_runtime::{
    apply,
    controller::{Action, Controller},
    tasks::Tasks,
};
use tracing::info;

use self::content::Content;
use crate::{
    context::Context,
    error::ReconcileError,
    queues::{Key, answered_by},
};

const WORKERS: usize = 2;
/// When to look again at a namespace with something in it: what goes from there is not watched.
const AGAIN: Duration = Duration::from_secs(600);
/// How long rights that were given or taken away may take to count.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile =
        |context: Arc<Context>, namespace: String| async move { reconcile(&context, &namespace).await };
    Controller { name: "sweep", workers: WORKERS, queue: &context.queues.sweeps, metrics: &context.metrics }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, name: &str) -> Result<Action, ReconcileError> {
    let Some(namespace) = context.mapped.get_cluster_scoped(name) else { return Ok(Action::AwaitChange) };
    let Some(key) = ours(&namespace) else { return Ok(Action::AwaitChange) };
    if context.requests.get(&key).is_some() || is_requested(context, &key).await? {
        return Ok(Action::AwaitChange);
    }
    rights::allow_look(context, name).await?;
    tokio::time::sleep(SETTLE).await;
    let next = sweep(context, &namespace, &key).await;
    if !matches!(next, Ok(Action::AwaitChange)) {
        // It stays, and what is in it is nobody's business.
        rights::end_look(context, name).await?;
    }
    next
}

async fn sweep(context: &Context, namespace: &Namespace, key: &Key) -> Result<Action, ReconcileError> {
    let name = namespace.name_any();
    if let Some(what) = Content::of(context, &name).await?.first_foreign() {
        info!(
            namespace = name,
            what, "nobody asks for this namespace any more; it is kept for what is in it"
        );
        return Ok(Action::RequeueAfter(AGAIN));
    }
    let _swept = context.sweeping.begin(key);
    revoke(context, &name).await?;
    tokio::time::sleep(SETTLE).await;
    if is_requested(context, key).await? {
        context.queues.requests.add(key.clone());
        return Ok(Action::RequeueAfter(SETTLE));
    }
    if Content::of(context, &name).await?.first_foreign().is_some() {
        return Ok(Action::RequeueAfter(AGAIN));
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let deleted = apply::delete(&api, &name, &namespace.uid().unwrap_or_default()).await;
    deleted.map_err(|error| ReconcileError::new("delete namespace", &name, error))?;
    info!(namespace = name, request = %key, "nobody asks for this namespace any more, and it is empty: deleted");
    Ok(Action::AwaitChange)
}

/// The request that a namespace of ours answered. One that people have annotated is theirs, and one that goes is gone.
fn ours(namespace: &Namespace) -> Option<Key> {
    let key = answered_by(namespace)?;
    let by_us = namespace.labels().get(LABEL_CONTRACT) == Some(&key.namespace);
    (by_us && namespace.metadata.deletion_timestamp.is_none()).then_some(key)
}

/// The store may be behind; whoever asks now needs the namespace.
async fn is_requested(context: &Context, key: &Key) -> Result<bool, ReconcileError> {
    let api: Api<APIServiceNamespace> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await;
    Ok(found.map_err(|error| ReconcileError::new("read the request", key, error))?.is_some())
}

/// Takes the consumer's rights away. A request that comes later brings them back.
async fn revoke(context: &Context, namespace: &str) -> Result<(), ReconcileError> {
    let api: Api<RoleBinding> = Api::namespaced(context.client.clone(), namespace);
    let Some(binding) = context.role_bindings.get(&Key::new(namespace, crate::rights::NAME)) else {
        return Ok(());
    };
    let deleted = apply::delete(&api, crate::rights::NAME, &binding.uid().unwrap_or_default()).await;
    deleted.map_err(|error| ReconcileError::new("take away the rights in namespace", namespace, error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_what_the_provider_has_made_is_ever_swept() {
        let swept = |metadata: &Value| ours(&serde_json::from_value(json!({"metadata": metadata})).unwrap());
        let (label, annotation) = ("kube-bind.io/contract", "kube-bind.io/api-service-namespace");
        let made = json!({"name": "c-n", "labels": {label: "c"}, "annotations": {annotation: "c/n"}});
        assert_eq!(swept(&made), Some(Key::new("c", "n")));
        let mut going = made.clone();
        going["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let adopted = json!({"name": "c-n", "annotations": {annotation: "c/n"}});
        let of_another = json!({"name": "c-n", "labels": {label: "d"}, "annotations": {annotation: "c/n"}});
        let unnamed = json!({"name": "c-n", "labels": {label: "c"}});
        for other in [going, adopted, of_another, unnamed] {
            assert_eq!(swept(&other), None, "{other}");
        }
    }
}
