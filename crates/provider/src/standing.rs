//! The standing of a namespace: a contract namespace, one whose label is missing, or one that is terminating.

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::{Api, ResourceExt as _};
use portolan_core::{
    api::kubebind::{LABEL_CONSUMER, PROVIDER_KUBECONFIG},
    condition::Verdict,
};
use portolan_runtime::controller::ReconcileError;

use crate::{context::ProviderContext, contract::ConsumerContract, is_ours};

/// The standing of a namespace.
#[derive(Debug)]
pub enum Standing {
    Contract(ConsumerContract),
    /// It lacks the label of contract namespaces. If that is a mistake, consumers must not pay for it.
    Unlabelled,
    /// It is terminating, or gone.
    Ended,
    /// It is a contract namespace that the store has not heard of yet: its watch event brings us back.
    Unheard,
}

impl Standing {
    /// Judges a namespace that the store does not have.
    fn of(namespace: Option<&Namespace>) -> Self {
        match namespace.filter(|namespace| namespace.metadata.deletion_timestamp.is_none()) {
            None => Self::Ended,
            Some(namespace) if namespace.labels().contains_key(LABEL_CONSUMER) => Self::Unheard,
            Some(_) => Self::Unlabelled,
        }
    }

    /// Returns `true` if what is in the namespace goes with it.
    pub fn ends(&self) -> bool {
        match self {
            Self::Contract(contract) => contract.is_terminating(),
            Self::Ended => true,
            Self::Unlabelled | Self::Unheard => false,
        }
    }
}

impl ProviderContext {
    /// Returns the standing of a namespace. If the store has no contract, the API server is asked.
    pub async fn standing(&self, namespace: &str) -> Result<Standing, ReconcileError> {
        if let Some(contract) = self.contract(namespace) {
            return Ok(Standing::Contract(contract));
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_opt(namespace).await;
        let found = found.map_err(|error| ReconcileError::new("read namespace", namespace, error))?;
        Ok(Standing::of(found.as_ref()))
    }
}

/// The contract that a request belongs to, unless it ends. Where our contract has lost its label, the request is told
/// so; those of other backends are none of our business.
pub async fn contract_for(
    context: &ProviderContext,
    request: &ObjectReference,
) -> Result<Option<ConsumerContract>, ReconcileError> {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    if let Some(contract) = context.contract(namespace) {
        return Ok(Some(contract).filter(|contract| !contract.is_terminating()));
    }
    let kubeconfig = context.kubeconfigs.get_in(namespace, PROVIDER_KUBECONFIG);
    let was_ours = kubeconfig.is_some_and(|secret| is_ours(&*secret));
    if was_ours && matches!(context.standing(namespace).await?, Standing::Unlabelled) {
        let why = unlabelled(namespace);
        context.notices.warn(request, &why.reason, &why.message).await;
    }
    Ok(None)
}

/// The warning about what is in a namespace without the label.
pub fn unlabelled(namespace: &str) -> Verdict {
    let consumer = namespace.strip_prefix("kube-bind-").unwrap_or("NAME");
    let message = format!(
        "Namespace {namespace} lacks the label {LABEL_CONSUMER}, so nothing in it but its kubeconfig is kept up to \
         date, and nothing is taken back. If it is a consumer's: kubectl label namespace {namespace} \
         {LABEL_CONSUMER}={consumer}"
    );
    Verdict::warning("NoContract", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_namespace_that_goes_takes_with_it_what_is_there() {
        let (label, deleted) = (json!({LABEL_CONSUMER: "a"}), json!("2026-01-01T00:00:00Z"));
        let table = [
            (None, "Ended", true),
            (Some(json!({})), "Unlabelled", false),
            (Some(json!({"labels": label})), "Unheard", false),
            (Some(json!({"deletionTimestamp": deleted})), "Ended", true),
            (Some(json!({"labels": label, "deletionTimestamp": deleted})), "Ended", true),
        ];
        for (metadata, expected, ends) in table {
            let read = |metadata: &Value| serde_json::from_value(json!({"metadata": metadata})).unwrap();
            let namespace: Option<Namespace> = metadata.as_ref().map(read);
            let standing = Standing::of(namespace.as_ref());
            assert_eq!((format!("{standing:?}").as_str(), standing.ends()), (expected, ends), "{metadata:?}");
        }
    }

    #[test]
    fn the_cure_names_the_consumer_where_the_namespace_does() {
        for (namespace, cure) in [("kube-bind-acme", "consumer=acme"), ("default", "consumer=NAME")] {
            assert!(unlabelled(namespace).message.ends_with(cure), "{namespace}");
        }
    }
}
