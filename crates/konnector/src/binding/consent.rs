//! The consumer's consent, by annotations on a binding or on the bundle that made it. Pure.

use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle};

/// Annotation: schemas of the provider may take away what is in use.
pub const ALLOW_BREAKING: &str = "kube-bind.io/allow-breaking";
/// Annotation: the provider's claims are met, `true` or `all` for all, or a list of resources.
pub const ACCEPT_CLAIMS: &str = "kube-bind.io/accept-claims";

/// The consumer's consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConsumerConsent {
    pub(super) breaking: bool,
    /// The values of the annotation about claims, and of the flag.
    claims: Vec<String>,
}

impl ConsumerConsent {
    pub(super) fn of(binding: &APIServiceBinding, bundle: Option<&APIServiceBindingBundle>) -> Self {
        let annotations = [Some(&binding.metadata), bundle.map(|bundle| &bundle.metadata)];
        let said: Vec<_> =
            annotations.into_iter().flatten().filter_map(|metadata| metadata.annotations.as_ref()).collect();
        Self {
            breaking: said.iter().any(|said| said.get(ALLOW_BREAKING).is_some_and(|value| value == "true")),
            claims: said.iter().filter_map(|said| said.get(ACCEPT_CLAIMS).cloned()).collect(),
        }
    }

    /// With claims on these resources that are always met.
    pub(super) fn and_always(mut self, resources: &[String]) -> Self {
        self.claims.extend_from_slice(resources);
        self
    }

    /// Returns `true` if claims on a resource are met.
    pub(super) fn accepts(&self, resource: &str) -> bool {
        let named = |value: &String| value.split(',').any(|one| one.trim() == resource);
        self.claims.iter().any(|value| value == "true" || value == "all" || named(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn either_the_binding_or_its_bundle_may_agree() {
        let spec = json!({"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}});
        let binding = |annotations| -> APIServiceBinding {
            let metadata = json!({"name": "a", "annotations": annotations});
            serde_json::from_value(json!({"apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding", "metadata": metadata, "spec": spec})).unwrap()
        };
        let bundle: APIServiceBindingBundle = serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle", "spec": spec,
            "metadata": {"name": "b", "annotations": {ALLOW_BREAKING: "true", ACCEPT_CLAIMS: "secrets, configmaps"}},
        }))
        .unwrap();
        let nothing = ConsumerConsent::of(&binding(json!({ALLOW_BREAKING: "yes"})), None);
        assert!(!nothing.breaking && !nothing.accepts("secrets"));
        let by_bundle = ConsumerConsent::of(&binding(json!({})), Some(&bundle));
        assert!(
            by_bundle.breaking && by_bundle.accepts("configmaps") && !by_bundle.accepts("serviceaccounts")
        );
        let by_binding = ConsumerConsent::of(&binding(json!({ACCEPT_CLAIMS: "true"})), None);
        assert!(by_binding.accepts("serviceaccounts"));
        let by_flag = ConsumerConsent::default().and_always(&["secrets".to_owned()]);
        assert!(by_flag.accepts("secrets") && !by_flag.accepts("configmaps"));
    }
}
