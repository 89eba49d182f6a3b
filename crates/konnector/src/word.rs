//! The annotations of a bundle or a binding about its contract: the one it is bound to, and people's decisions. Pure.

use std::sync::Arc;

use kube::ResourceExt as _;
use portolan_core::api::kubebind::{
    ANNOTATION_ACCEPT_CONTRACT, ANNOTATION_CONTRACT_UID, ANNOTATION_TAKE_OVER, APIServiceBinding,
    APIServiceBindingBundle,
};

use crate::policy;

/// The annotations of a bundle or a binding about its contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContractWord {
    /// Object that a command names: `apiservicebindingbundle/NAME`.
    pub about: String,
    /// The contract that it is bound to.
    pub recorded: Option<String>,
    /// The contract that it shall be bound to instead.
    pub accepts: Option<String>,
    /// Whom the contract shall be taken over from.
    pub takes_over: Option<String>,
}

impl ContractWord {
    /// The status is lost where a backup holds none; then the bindings still know.
    pub fn of_bundle(bundle: &APIServiceBindingBundle, bindings: &[Arc<APIServiceBinding>]) -> Self {
        let own = bindings.iter().filter(|binding| policy::is_owned(binding, bundle));
        let said = |key: &str| bundle.annotations().get(key).cloned();
        Self {
            about: format!("apiservicebindingbundle/{}", bundle.name_any()),
            recorded: recorded(bundle).or_else(|| own.into_iter().find_map(|binding| noted(binding))),
            accepts: said(ANNOTATION_ACCEPT_CONTRACT),
            takes_over: said(ANNOTATION_TAKE_OVER),
        }
    }

    /// A bundle knows better than its bindings, which follow it.
    pub fn of_binding(binding: &APIServiceBinding, bundle: Option<&APIServiceBindingBundle>) -> Self {
        let said = |key: &str| {
            let by_bundle = || bundle?.annotations().get(key).cloned();
            binding.annotations().get(key).cloned().or_else(by_bundle)
        };
        let about = match bundle {
            Some(bundle) => format!("apiservicebindingbundle/{}", bundle.name_any()),
            None => format!("apiservicebinding/{}", binding.name_any()),
        };
        Self {
            about,
            recorded: bundle.and_then(recorded).or_else(|| noted(binding)),
            accepts: said(ANNOTATION_ACCEPT_CONTRACT),
            takes_over: said(ANNOTATION_TAKE_OVER),
        }
    }

    /// The command with which people say something.
    pub fn command(&self, key: &str, value: &str) -> String {
        format!("kubectl annotate --overwrite {} {key}={value}", self.about)
    }
}

fn recorded(bundle: &APIServiceBindingBundle) -> Option<String> {
    bundle.status.as_ref()?.contract_namespace_uid.clone()
}

fn noted(binding: &APIServiceBinding) -> Option<String> {
    binding.annotations().get(ANNOTATION_CONTRACT_UID).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bundle(annotations: &Value, recorded: Option<&str>) -> APIServiceBindingBundle {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
            "metadata": {"name": "b", "uid": "1", "annotations": annotations},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
            "status": {"contractNamespaceUID": recorded},
        }))
        .unwrap()
    }

    fn binding(annotations: &Value, owned: bool) -> APIServiceBinding {
        let bundle = json!({"apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle", "name": "b", "uid": "1"});
        let owners: Vec<_> = owned.then_some(bundle).into_iter().collect();
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "a", "annotations": annotations, "ownerReferences": owners},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap()
    }

    #[test]
    fn the_bundle_knows_and_its_bindings_remember() {
        let noted = json!({ANNOTATION_CONTRACT_UID: "old"});
        let of_bundle = |recorded, owned| {
            let bindings = [Arc::new(binding(&noted, owned))];
            ContractWord::of_bundle(&bundle(&json!({}), recorded), &bindings).recorded
        };
        assert_eq!(of_bundle(Some("new"), true).as_deref(), Some("new"));
        assert_eq!(of_bundle(None, true).as_deref(), Some("old"));
        assert_eq!(of_bundle(None, false), None, "that of somebody else says nothing");
        let of_binding = |bundle: Option<&APIServiceBindingBundle>| {
            ContractWord::of_binding(&binding(&noted, bundle.is_some()), bundle).recorded
        };
        assert_eq!(of_binding(None).as_deref(), Some("old"));
        assert_eq!(of_binding(Some(&bundle(&json!({}), None))).as_deref(), Some("old"));
        assert_eq!(of_binding(Some(&bundle(&json!({}), Some("new")))).as_deref(), Some("new"));
    }

    #[test]
    fn people_say_it_on_the_bundle_or_on_a_binding() {
        let said = json!({ANNOTATION_ACCEPT_CONTRACT: "c", ANNOTATION_TAKE_OVER: "t"});
        let expected = (Some("c".to_owned()), Some("t".to_owned()));
        let of = |word: ContractWord| (word.accepts, word.takes_over);
        assert_eq!(of(ContractWord::of_bundle(&bundle(&said, None), &[])), expected);
        assert_eq!(of(ContractWord::of_binding(&binding(&said, false), None)), expected);
        let by_bundle = ContractWord::of_binding(&binding(&json!({}), true), Some(&bundle(&said, None)));
        assert_eq!(by_bundle.about, "apiservicebindingbundle/b");
        assert_eq!(of(by_bundle), expected);
    }
}
