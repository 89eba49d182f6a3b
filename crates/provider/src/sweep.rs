//! Deletes the namespaces that stood for those of consumers, once nobody asks for them and nothing is left in them.
//!
//! All objects of a namespace are inspected, of every kind. The provider has no right to that; it gives
//! itself one, for this namespace and this look. The consumer's rights go before the second look, so that nothing can
//! come after it.

mod content;
mod rights;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{Api, Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};
use portolan_core::api::kubebind::{APIServiceNamespace, LABEL_CONTRACT};
use portolan_runtime::{
    apply,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use tracing::info;

use self::content::Content;
use crate::{
    context::ProviderContext,
    queues::{QueueKey, answered_by},
};

const WORKERS: usize = 2;
/// Time until rights that were given or taken away take effect.
const SETTLE: Duration = Duration::from_secs(2);

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile = |context: Arc<ProviderContext>, namespace: String| async move {
        reconcile(&context, &namespace).await
    };
    Controller { name: "sweep", workers: WORKERS, queue: &context.queues.sweeps, metrics: &context.metrics }
        .run(tasks, context, reconcile);
}

/// The outcome for a namespace that nobody asks for.
enum Swept {
    Deleted,
    /// Somebody asks for it after all.
    Wanted,
    /// This is in it.
    Holds(String),
}

async fn reconcile(context: &ProviderContext, name: &str) -> Result<Action, ReconcileError> {
    let leftovers = &context.sweeping.leftovers;
    let namespace = context.mapped.get(name);
    let found = namespace.as_deref().and_then(|namespace| Some((namespace, ours(namespace)?)));
    let Some((namespace, key)) = found else {
        leftovers.forget(name);
        context.notices.clear(&ObjectRef::<Namespace>::new(name).into());
        return Ok(Action::AwaitChange);
    };
    if context.requests.get_in(&key.namespace, &key.name).is_some() {
        leftovers.forget(name);
        context.notices.clear(&namespace.object_ref(&()));
        return Ok(Action::AwaitChange);
    }
    if let Some(left) = leftovers.left(name) {
        return Ok(Action::RequeueAfter(left));
    }
    if is_requested(context, &key).await? {
        return Ok(Action::AwaitChange);
    }
    let swept = look(context, namespace, &key).await;
    tell(context, namespace, swept).await
}

/// Looks into a namespace, and deletes it if it is empty.
async fn look(
    context: &ProviderContext,
    namespace: &Namespace,
    key: &QueueKey,
) -> Result<Swept, ReconcileError> {
    let name = namespace.name_any();
    rights::allow_look(context, &name).await?;
    tokio::time::sleep(SETTLE).await;
    let swept = sweep(context, namespace, key).await;
    if !matches!(swept, Ok(Swept::Deleted)) {
        // It stays, and what is in it is nobody's business.
        rights::end_look(context, &name).await?;
    }
    swept
}

async fn sweep(
    context: &ProviderContext,
    namespace: &Namespace,
    key: &QueueKey,
) -> Result<Swept, ReconcileError> {
    let name = namespace.name_any();
    if let Some(what) = Content::of(context, &name).await?.first_foreign(&context.ignored_content) {
        return Ok(Swept::Holds(what));
    }
    let _swept = context.sweeping.begin(key);
    revoke(context, &name).await?;
    tokio::time::sleep(SETTLE).await;
    if is_requested(context, key).await? {
        context.queues.requests.add(key.clone());
        return Ok(Swept::Wanted);
    }
    if let Some(what) = Content::of(context, &name).await?.first_foreign(&context.ignored_content) {
        return Ok(Swept::Holds(what));
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let deleted = apply::delete(&api, &name, &namespace.uid().unwrap_or_default()).await;
    deleted.map_err(|error| ReconcileError::new("delete namespace", &name, error))?;
    info!(namespace = name, request = %key, "no request for this namespace is left, and it is empty: deleted it");
    Ok(Swept::Deleted)
}

/// Says why a namespace stays, and when it is looked at again.
async fn tell(
    context: &ProviderContext,
    namespace: &Namespace,
    swept: Result<Swept, ReconcileError>,
) -> Result<Action, ReconcileError> {
    let (leftovers, name) = (&context.sweeping.leftovers, namespace.name_any());
    let (wait, reason, why) = match swept {
        Ok(Swept::Deleted) => return Ok(Action::AwaitChange),
        Ok(Swept::Wanted) => return Ok(Action::RequeueAfter(SETTLE)),
        Ok(Swept::Holds(what)) => (leftovers.keep(&name), "NamespaceNotEmpty", format!("it holds {what}")),
        Err(error) => {
            let why = format!("the provider cannot tell whether it is empty: {}", ErrorChain(&error));
            let Some(wait) = leftovers.fail(&name) else { return Err(error) };
            (wait, "NamespaceNotInspected", why)
        }
    };
    let note = format!(
        "No request for this namespace is left, but {why}. It stays, and the provider looks again at least once a day."
    );
    context.notices.warn(&namespace.object_ref(&()), reason, &note).await;
    Ok(Action::RequeueAfter(wait))
}

/// The request that a namespace of ours answered. One that people have annotated is theirs, and one that goes is gone.
fn ours(namespace: &Namespace) -> Option<QueueKey> {
    let key = answered_by(namespace)?;
    let by_us = namespace.labels().get(LABEL_CONTRACT) == Some(&key.namespace);
    (by_us && namespace.metadata.deletion_timestamp.is_none()).then_some(key)
}

/// The store may be behind; whoever asks now needs the namespace.
async fn is_requested(context: &ProviderContext, key: &QueueKey) -> Result<bool, ReconcileError> {
    let api: Api<APIServiceNamespace> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await;
    Ok(found.map_err(|error| ReconcileError::new("read the request", key, error))?.is_some())
}

/// Takes the consumer's rights away. A request that comes later brings them back.
async fn revoke(context: &ProviderContext, namespace: &str) -> Result<(), ReconcileError> {
    let api: Api<RoleBinding> = Api::namespaced(context.client.clone(), namespace);
    let Some(binding) = context.role_bindings.get_in(namespace, crate::rights::NAME) else {
        return Ok(());
    };
    let deleted = apply::delete(&api, crate::rights::NAME, &binding.uid().unwrap_or_default()).await;
    deleted.map_err(|error| ReconcileError::new("remove the rights in namespace", namespace, error))
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
        assert_eq!(swept(&made), Some(QueueKey::new("c", "n")));
        let mut terminating = made.clone();
        terminating["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let adopted = json!({"name": "c-n", "annotations": {annotation: "c/n"}});
        let of_another = json!({"name": "c-n", "labels": {label: "d"}, "annotations": {annotation: "c/n"}});
        let unnamed = json!({"name": "c-n", "labels": {label: "c"}});
        for other in [terminating, adopted, of_another, unnamed] {
            assert_eq!(swept(&other), None, "{other}");
        }
    }
}
