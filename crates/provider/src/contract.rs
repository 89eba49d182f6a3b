//! Contract namespaces: which consumer one is for, which CRDs it gets, and the ClusterBinding in it.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Resource as _, ResourceExt as _,
    core::{Selector, SelectorExt as _},
    runtime::reflector::ObjectRef,
};
use portolan_core::api::kubebind::{
    ANNOTATION_EXPORTS, ClusterBinding, ClusterBindingSpec, ExportedResource, LocalSecretKeyRef,
    PROVIDER_KUBECONFIG,
};
use portolan_runtime::{
    apply::{self, WriteError},
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};
use tracing::info;

use crate::{
    CLUSTER_BINDING, FIELD_MANAGER,
    approval::is_granted,
    context::ProviderContext,
    selector::{self, InvalidSelector},
    source::SourceCrd,
};

const WORKERS: usize = 2;

/// The agreement with a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerContract {
    /// The selector of the CRDs that the consumer gets.
    selector: Result<Selector, InvalidSelector>,
    /// Group and plural of what it was granted by request besides.
    granted: BTreeSet<(String, String)>,
    terminating: bool,
}

/// The answers to whether a consumer gets a CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrdChoice {
    /// It does.
    Chosen,
    /// It does not.
    NotChosen,
    /// Nobody can tell: existing exports stay as they are.
    Unclear,
}

impl ConsumerContract {
    pub fn of(namespace: &Namespace) -> Self {
        let selector = namespace.annotations().get(ANNOTATION_EXPORTS).map_or("", String::as_str);
        Self {
            selector: selector::parse(selector),
            granted: BTreeSet::new(),
            terminating: namespace.metadata.deletion_timestamp.is_some(),
        }
    }

    fn granting(self, granted: BTreeSet<(String, String)>) -> Self {
        Self { granted, ..self }
    }

    fn grants(&self, crd: &SourceCrd) -> bool {
        let (group, plural) = crd.group_resource();
        self.granted.contains(&(group.to_owned(), plural.to_owned()))
    }

    pub fn choice(&self, crd: &SourceCrd) -> CrdChoice {
        match &self.selector {
            _ if self.terminating => CrdChoice::Unclear,
            Err(_) => CrdChoice::Unclear,
            Ok(selector) if selector.matches(crd.labels()) || self.grants(crd) => CrdChoice::Chosen,
            Ok(_) => CrdChoice::NotChosen,
        }
    }

    /// Returns `true` if the contract namespace is terminating.
    pub const fn is_terminating(&self) -> bool {
        self.terminating
    }

    /// Returns `true` if the consumer's choice is known, and may be changed.
    pub fn is_clear(&self) -> bool {
        self.selector.is_ok() && !self.terminating
    }
}

impl ProviderContext {
    /// The contract of a namespace, if it is a contract namespace.
    pub fn contract(&self, namespace: &str) -> Option<ConsumerContract> {
        let found = self.contracts.get(namespace)?;
        Some(ConsumerContract::of(&found).granting(self.granted_in(namespace)))
    }

    /// Group and plural of what requests in a contract namespace have been granted.
    fn granted_in(&self, namespace: &str) -> BTreeSet<(String, String)> {
        let here = self.export_requests.filter(|request| request.namespace().as_deref() == Some(namespace));
        let granted = here.iter().filter(|request| request.status.as_ref().is_some_and(is_granted));
        let pair = |resource: &ExportedResource| (resource.group.clone(), resource.resource.clone());
        granted.flat_map(|request| request.spec.resources.iter().map(pair).collect::<Vec<_>>()).collect()
    }
}

/// Says on each contract namespace what is wrong with it, and makes its ClusterBinding.
pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile = |context: Arc<ProviderContext>, namespace: String| async move {
        reconcile(&context, &namespace).await
    };
    Controller {
        name: "contract",
        workers: WORKERS,
        queue: &context.queues.contracts,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, name: &str) -> Result<Action, ReconcileError> {
    let Some(namespace) = context.contracts.get(name) else {
        context.notices.clear(&ObjectRef::<Namespace>::new(name).into());
        return Ok(Action::AwaitChange);
    };
    let (contract, on) = (ConsumerContract::of(&namespace), namespace.object_ref(&()));
    let known = context.cluster_bindings.get_in(name, CLUSTER_BINDING);
    let introduced = match known.as_deref() {
        _ if contract.terminating => Ok(()),
        None => introduce(context, name, None).await,
        Some(known) if known.spec.provider_pretty_name != context.pretty_name && names_us(known) => {
            introduce(context, name, Some(known)).await
        }
        Some(_) => Ok(()),
    };
    if introduced.is_ok() {
        context.notices.worked(&on);
    }
    match (&contract.selector, &introduced) {
        (Err(error), _) => {
            let note = format!(
                "Annotation {ANNOTATION_EXPORTS} is not a label selector: {error}. Exports stay as they are."
            );
            context.notices.warn(&on, "InvalidSelector", &note).await;
        }
        (Ok(_), Err(error)) => context.notices.failed(&on, "ContractFailed", error).await,
        (Ok(_), Ok(())) => context.notices.clear(&on),
    }
    introduced.map(|()| Action::AwaitChange)
}

/// Returns `true` if the name in a ClusterBinding is one that we have put there. A name that a person has written
/// stays.
fn names_us(binding: &ClusterBinding) -> bool {
    let entries = binding.metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let named = |fields: &serde_json::Value| fields.pointer("/f:spec/f:providerPrettyName").is_some();
    ours.any(|entry| entry.fields_v1.as_ref().is_some_and(|fields| named(&fields.0)))
}

async fn introduce(
    context: &ProviderContext,
    namespace: &str,
    known: Option<&ClusterBinding>,
) -> Result<(), ReconcileError> {
    let kubeconfig = PROVIDER_KUBECONFIG.to_owned();
    let made = LocalSecretKeyRef { name: kubeconfig.clone(), key: kubeconfig };
    let spec = ClusterBindingSpec {
        kubeconfig_secret_ref: known.map_or(made, |known| known.spec.kubeconfig_secret_ref.clone()),
        provider_pretty_name: context.pretty_name.clone(),
        service_provider_spec: None,
    };
    let binding = ClusterBinding::new(CLUSTER_BINDING, spec);
    let api: Api<ClusterBinding> = Api::namespaced(context.client.clone(), namespace);
    match apply::apply_over(&api, FIELD_MANAGER, &binding, known).await {
        Ok(written) => {
            context.cluster_bindings.wrote(written);
            info!(namespace, name = context.pretty_name, "created the ClusterBinding");
        }
        // Somebody else has made one.
        Err(WriteError::Conflict(_)) => {}
        Err(error) => return Err(ReconcileError::new("write the ClusterBinding in", namespace, error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn contract(metadata: &Value) -> ConsumerContract {
        ConsumerContract::of(&serde_json::from_value(json!({"metadata": metadata})).unwrap())
    }

    #[test]
    fn a_name_that_a_person_has_given_stays() {
        let binding = |manager: &str, field: &str| -> ClusterBinding {
            let fields = json!({"f:spec": {field: {}}});
            serde_json::from_value(json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "ClusterBinding",
                "metadata": {"name": "cluster", "managedFields": [{"manager": manager, "fieldsV1": fields}]},
                "spec": {"kubeconfigSecretRef": {"name": "k", "key": "k"}, "providerPrettyName": "P"},
            }))
            .unwrap()
        };
        for (manager, field, expected) in [
            (FIELD_MANAGER, "f:providerPrettyName", true),
            (FIELD_MANAGER, "f:kubeconfigSecretRef", false),
            ("kubectl-edit", "f:providerPrettyName", false),
        ] {
            assert_eq!(names_us(&binding(manager, field)), expected, "{manager} {field}");
        }
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
            (json!({"name": "n"}), CrdChoice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: ""}}), CrdChoice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=gold"}}), CrdChoice::Chosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=silver"}}), CrdChoice::NotChosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier=="}}), CrdChoice::NotChosen),
            (json!({"name": "n", "annotations": {ANNOTATION_EXPORTS: "tier gold"}}), CrdChoice::Unclear),
            (json!({"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}), CrdChoice::Unclear),
        ];
        for (metadata, expected) in table {
            assert_eq!(contract(&metadata).choice(&crd), expected, "{metadata}");
            assert_eq!(contract(&metadata).is_clear(), expected != CrdChoice::Unclear, "{metadata}");
            // A request adds to what a selector says, and neither fixes one nor holds up the end of a contract.
            let granted = |plural: &str| {
                let pair = ("wildwest.dev".to_owned(), plural.to_owned());
                contract(&metadata).granting([pair].into()).choice(&crd)
            };
            let added = if expected == CrdChoice::NotChosen { CrdChoice::Chosen } else { expected };
            assert_eq!((granted("cowboys"), granted("sheriffs")), (added, expected), "{metadata}");
        }
    }
}
