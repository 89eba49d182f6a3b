//! Contract namespaces: which consumer one is for, which CRDs it gets, and the ClusterBinding in it.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::{
    Api, Resource as _, ResourceExt as _,
    core::{Selector, SelectorExt as _},
};
use portolan_core::api::kubebind::{
    ANNOTATION_EXPORTS, ClusterBinding, ClusterBindingSpec, LocalSecretKeyRef, PROVIDER_KUBECONFIG,
};
use portolan_runtime::{
    apply::{self, Observed, WriteError},
    controller,
    controller::Next,
    tasks::Tasks,
};
use serde_json::json;
use tracing::info;

use crate::{
    CLUSTER_BINDING, FIELD_MANAGER,
    context::Context,
    error::ReconcileError,
    selector::{self, InvalidSelector},
    source::SourceCrd,
    wake::Key,
};

const WORKERS: usize = 2;

/// What is agreed with a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Contract {
    /// Which CRDs the consumer gets.
    selector: Result<Selector, InvalidSelector>,
    terminating: bool,
}

/// Whether a consumer gets a CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It does.
    Chosen,
    /// It does not.
    NotChosen,
    /// Nobody can tell: what is there stays as it is.
    Unclear,
}

impl Contract {
    pub(crate) fn of(namespace: &Namespace) -> Self {
        let selector = namespace.annotations().get(ANNOTATION_EXPORTS).map_or("", String::as_str);
        Self {
            selector: selector::parse(selector),
            terminating: namespace.metadata.deletion_timestamp.is_some(),
        }
    }

    pub(crate) fn choice(&self, crd: &SourceCrd) -> Choice {
        match &self.selector {
            _ if self.terminating => Choice::Unclear,
            Err(_) => Choice::Unclear,
            Ok(selector) if selector.matches(crd.labels()) => Choice::Chosen,
            Ok(_) => Choice::NotChosen,
        }
    }

    /// Whether the contract namespace is going.
    pub(crate) const fn ends(&self) -> bool {
        self.terminating
    }

    /// Whether what the consumer gets is known, and may be changed.
    pub(crate) fn is_clear(&self) -> bool {
        self.selector.is_ok() && !self.terminating
    }
}

impl Context {
    /// The contract of a namespace, if it is a contract namespace.
    pub(crate) fn contract(&self, namespace: &str) -> Option<Contract> {
        self.contracts.get_cluster_scoped(namespace).map(|namespace| Contract::of(&namespace))
    }
}

/// Says on each contract namespace what is wrong with it, and makes its ClusterBinding.
pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    let reconcile = move |namespace: String| {
        let context = Arc::clone(&shared);
        async move { reconcile(&context, &namespace).await }
    };
    controller::run(tasks, "contract", WORKERS, &context.queues.contracts, &context.metrics, reconcile);
}

async fn reconcile(context: &Context, name: &str) -> Result<Next, ReconcileError> {
    let Some(namespace) = context.contracts.get_cluster_scoped(name) else { return Ok(Next::OnChange) };
    let (contract, on) = (Contract::of(&namespace), namespace.object_ref(&()));
    match &contract.selector {
        Err(error) => {
            let note = format!(
                "Annotation {ANNOTATION_EXPORTS} is not a label selector: {error}. Exports stay as they are."
            );
            context.notices.warn(&on, "InvalidSelector", &note).await;
        }
        Ok(_) => context.notices.clear(&on),
    }
    match context.cluster_bindings.get(&Key::new(name, CLUSTER_BINDING)) {
        None if !contract.terminating => introduce(context, name).await?,
        Some(binding) if is_outdated(&binding, &context.pretty_name) => rename(context, &binding).await?,
        _ => {}
    }
    Ok(Next::OnChange)
}

/// Whether a ClusterBinding of ours has another name for people than we have now. What somebody else has written stays.
fn is_outdated(binding: &ClusterBinding, pretty_name: &str) -> bool {
    let by_us = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(FIELD_MANAGER);
    binding.spec.provider_pretty_name != pretty_name && binding.managed_fields().iter().any(by_us)
}

async fn rename(context: &Context, binding: &ClusterBinding) -> Result<(), ReconcileError> {
    let (namespace, former) = (binding.namespace().unwrap_or_default(), &binding.spec.provider_pretty_name);
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid},
        {"op": "test", "path": "/spec/providerPrettyName", "value": former},
        {"op": "replace", "path": "/spec/providerPrettyName", "value": context.pretty_name},
    ]);
    let api: Api<ClusterBinding> = Api::namespaced(context.client.clone(), &namespace);
    let written = apply::json_patch_as(&api, Some(FIELD_MANAGER), CLUSTER_BINDING, None, operations).await;
    match written {
        Ok(written) => context.cluster_bindings.wrote(written),
        // It has changed, and its watch event brings us back.
        Err(WriteError::Raced(_)) => {}
        Err(error) => return Err(ReconcileError::new("rename the ClusterBinding in", namespace, error)),
    }
    Ok(())
}

async fn introduce(context: &Context, namespace: &str) -> Result<(), ReconcileError> {
    let kubeconfig = PROVIDER_KUBECONFIG.to_owned();
    let spec = ClusterBindingSpec {
        kubeconfig_secret_ref: LocalSecretKeyRef { name: kubeconfig.clone(), key: kubeconfig },
        provider_pretty_name: context.pretty_name.clone(),
        service_provider_spec: None,
    };
    let binding = ClusterBinding::new(CLUSTER_BINDING, spec);
    let api: Api<ClusterBinding> = Api::namespaced(context.client.clone(), namespace);
    match apply::apply::<ClusterBinding>(&api, FIELD_MANAGER, &json!(binding), &Observed::Absent).await {
        Ok(_) => info!(namespace, "introduced ourselves with a ClusterBinding"),
        // Somebody else has made one.
        Err(WriteError::Raced(_)) => {}
        Err(error) => return Err(ReconcileError::new("create the ClusterBinding in", namespace, error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn contract(metadata: &Value) -> Contract {
        Contract::of(&serde_json::from_value(json!({"metadata": metadata})).unwrap())
    }

    #[test]
    fn the_annotation_chooses_what_a_consumer_gets() {
        let crd: SourceCrd = serde_json::from_value(json!({
            "metadata": {"name": "cowboys.wildwest.dev", "labels": {"tier": "gold"}},
            "spec": {
                "group": "wildwest.dev", "scope": "Namespaced", "versions": [],
                "names": {"plural": "cowboys", "kind": "Cowboy"},
            },
        }))
        .unwrap();
        let table = [
            (json!({"name": "n"}), Choice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: ""}}), Choice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=gold"}}), Choice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=silver"}}), Choice::NotChosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=="}}), Choice::NotChosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier gold"}}), Choice::Unclear),
            (json!({"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}), Choice::Unclear),
        ];
        for (metadata, expected) in table {
            assert_eq!(contract(&metadata).choice(&crd), expected, "{metadata}");
            assert_eq!(contract(&metadata).is_clear(), expected != Choice::Unclear, "{metadata}");
        }
    }
}
