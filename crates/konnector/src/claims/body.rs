//! Desired copy of a claimed object, computed from its original. Pure.

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_CLAIMED_BY, ANNOTATION_CLUSTER_NAMESPACE, ANNOTATION_CONSUMER_NAMESPACE,
        ANNOTATION_CONSUMER_UID, ANNOTATION_ORIGIN_NAME, ANNOTATION_ORIGIN_VERSION,
        ANNOTATION_PROVIDER_NAMESPACE, ANNOTATION_PROVIDER_UID, FIELD_MANAGER, LABEL_OWNER,
    },
    claims::{ClaimedResource, ResourceClaim},
    digest::sha256_hex,
};
use portolan_runtime::apply::escaped;
use serde_json::{Value, json};

use super::{seen::ObjectMarking, side::ClaimSide};
use crate::sync::{KeyRules, ObjectKey};

/// Type of the Secrets that Kubernetes keeps the tokens of `ServiceAccount`s in.
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
/// Limit of the API server on the name of a field manager.
const MAX_MANAGER: usize = 128;

/// The marks that make an object a copy of ours, and the data that goes with it.
#[derive(Clone, Debug)]
pub struct ClaimTerms {
    pub claim: ResourceClaim,
    pub keys: KeyRules,
    /// The contract namespace, with which copies on the provider are marked.
    pub contract: String,
    /// The binding, with which copies on both sides are marked.
    pub binding: String,
}

/// Fields of a kind that go with an object.
const fn carried(claimed: ClaimedResource) -> &'static [&'static str] {
    match claimed {
        ClaimedResource::ConfigMaps => &["data", "binaryData", "immutable"],
        ClaimedResource::Secrets => &["data", "type", "immutable"],
        // What is named in secrets and imagePullSecrets belongs to this cluster.
        ClaimedResource::ServiceAccounts => &["automountServiceAccountToken"],
    }
}

/// Returns `true` if an object may be claimed at all, whatever its labels and its name.
pub(super) fn is_claimable(claimed: ClaimedResource, object: &DynamicObject) -> bool {
    match claimed {
        ClaimedResource::Secrets => object.data.get("type").is_none_or(|type_| type_ != TOKEN_TYPE),
        // Kubernetes puts these into every namespace.
        ClaimedResource::ConfigMaps => object.name_any() != "kube-root-ca.crt",
        ClaimedResource::ServiceAccounts => object.name_any() != "default",
    }
}

/// Leaves out which version the original had. A copy that says all else is up to date.
pub(super) fn forget_version(copy: &mut Value) {
    let annotations = copy.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.remove(ANNOTATION_ORIGIN_VERSION);
    }
}

/// The binding that a copy of another one names.
pub(super) fn keeper(touch: ObjectMarking, owned: &Value) -> Option<Box<str>> {
    let named = owned["metadata"]["annotations"][ANNOTATION_CLAIMED_BY].as_str()?;
    (touch == ObjectMarking::OthersCopy).then(|| named.into())
}

impl ClaimTerms {
    /// The complete body of the copy of an original on the side `from`, without its place.
    pub(super) fn copy_of(&self, from: ClaimSide, original: &DynamicObject) -> Value {
        let metadata = &original.metadata;
        let mut labels = self.keys.carried(metadata.labels.as_ref());
        for key in &self.claim.label_keys {
            // Without what it is chosen by, the copy would not be seen.
            if let Some(value) = original.labels().get(key) {
                labels.insert(key.clone(), value.as_str().into());
            }
        }
        labels.insert(LABEL_OWNER.to_owned(), from.owner().into());
        let mut annotations = self.keys.carried(metadata.annotations.as_ref());
        let namespace = metadata.namespace.as_deref();
        let mut marks = vec![
            (ANNOTATION_CLAIMED_BY, Some(self.binding.as_str())),
            (ANNOTATION_ORIGIN_NAME, metadata.name.as_deref()),
        ];
        match from {
            ClaimSide::Consumer => marks.extend([
                (ANNOTATION_CLUSTER_NAMESPACE, Some(self.contract.as_str())),
                (ANNOTATION_CONSUMER_NAMESPACE, namespace),
                (ANNOTATION_CONSUMER_UID, metadata.uid.as_deref()),
            ]),
            ClaimSide::Provider => marks.extend([
                (ANNOTATION_PROVIDER_NAMESPACE, namespace),
                (ANNOTATION_PROVIDER_UID, metadata.uid.as_deref()),
            ]),
        }
        let marks = marks.into_iter().map(|(key, value)| (key.to_owned(), value.unwrap_or_default().into()));
        annotations.extend(marks);
        let claimed = self.claim.resource;
        let mut body = json!({
            "apiVersion": "v1", "kind": claimed.kind(),
            "metadata": {"labels": labels, "annotations": annotations},
        });
        for field in carried(claimed) {
            if let Some(value) = original.data.get(field).filter(|value| !value.is_null()) {
                body[field] = value.clone();
            }
        }
        body
    }

    /// Judges our part in an object on `side`, from what our field manager owns of it and from the managers of its
    /// owner label. Somebody's own object does not become a copy by carrying our annotations, not even where its
    /// managed fields were copied as well: then it carries the name of another.
    pub(super) fn touch(
        &self,
        side: ClaimSide,
        key: &ObjectKey,
        owned: &Value,
        object: &DynamicObject,
    ) -> ObjectMarking {
        let annotation = |key: &str| owned["metadata"]["annotations"][key].as_str();
        let is_for_another = annotation(ANNOTATION_ORIGIN_NAME).is_some_and(|name| name != key.name);
        let is_of_contract = side == ClaimSide::Provider
            && !is_for_another
            && annotation(ANNOTATION_CLUSTER_NAMESPACE) == Some(&self.contract)
            && annotation(ANNOTATION_CONSUMER_NAMESPACE) == Some(&key.namespace);
        match annotation(ANNOTATION_CLAIMED_BY) {
            _ if is_for_another => ObjectMarking::None,
            Some(binding) if binding == self.binding && (is_of_contract || side == ClaimSide::Consumer) => {
                ObjectMarking::Copy
            }
            Some(_) if is_of_contract => ObjectMarking::OthersCopy,
            None if is_of_contract || Self::is_bare_copy(side, owned) => ObjectMarking::UnnamedCopy,
            _ if self.is_stamped(object) => ObjectMarking::Stamped,
            _ => ObjectMarking::None,
        }
    }

    /// Returns `true` if we have made an object on the provider, and somebody has taken our marks off. Its namespace
    /// is of this contract alone, and only copies have the owner label from us.
    fn is_bare_copy(side: ClaimSide, owned: &Value) -> bool {
        let annotations = &owned["metadata"]["annotations"];
        let is_bare = annotations[ANNOTATION_CLUSTER_NAMESPACE].is_null();
        side == ClaimSide::Provider
            && is_bare
            && owned["metadata"]["labels"][LABEL_OWNER] == ClaimSide::Consumer.owner()
    }

    /// The uid of the original that the annotations name, if all of them are those of our copy at this place.
    pub(super) fn restored_for(
        &self,
        side: ClaimSide,
        key: &ObjectKey,
        object: &DynamicObject,
    ) -> Option<Box<str>> {
        let annotation = |key: &str| object.annotations().get(key).map(String::as_str);
        let is_here = annotation(ANNOTATION_ORIGIN_NAME) == Some(&key.name)
            && annotation(ANNOTATION_CLAIMED_BY) == Some(&self.binding);
        let uid = match side {
            ClaimSide::Provider => {
                let is_ours = annotation(ANNOTATION_CLUSTER_NAMESPACE) == Some(&self.contract)
                    && annotation(ANNOTATION_CONSUMER_NAMESPACE) == Some(&key.namespace);
                annotation(ANNOTATION_CONSUMER_UID).filter(|_| is_ours)
            }
            ClaimSide::Consumer => annotation(ANNOTATION_PROVIDER_UID),
        };
        uid.filter(|_| is_here).map(Into::into)
    }

    /// Field manager of the owner label on originals. One per binding: the API server keeps the label until the
    /// last of them lets go of it.
    pub(super) fn stamper(&self) -> String {
        let plain = format!("{FIELD_MANAGER}-claims-{}", self.binding);
        if plain.len() <= MAX_MANAGER {
            return plain;
        }
        format!("{FIELD_MANAGER}-claims-{}", sha256_hex(self.binding.as_bytes()))
    }

    fn is_stamped(&self, object: &DynamicObject) -> bool {
        let label = format!("/f:metadata/f:labels/f:{}", escaped(LABEL_OWNER));
        let stamper = self.stamper();
        object.managed_fields().iter().any(|entry| {
            entry.manager.as_ref() == Some(&stamper)
                && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&label).is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::claims::read;

    use super::*;

    pub fn terms(claim: &Value) -> ClaimTerms {
        let claims = vec![serde_json::from_value(claim.clone()).unwrap()];
        let (mut valid, _) = read(&claims, &[], portolan_core::api::kubebind::Isolation::Prefixed);
        ClaimTerms {
            claim: valid.remove(0),
            keys: KeyRules::default(),
            contract: "kube-bind-a".to_owned(),
            binding: "cowboys".to_owned(),
        }
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_copy_carries_content_the_selectors_labels_and_marks() {
        let terms = terms(&json!({"resource": "secrets", "selector": {
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "x"}}}}));
        let original = object(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "YQ=="}, "immutable": true,
            "metadata": {
                "name": "s", "namespace": "n", "uid": "u",
                "labels": {"app.kubernetes.io/name": "x", "app.kubernetes.io/instance": "i", "team": "t"},
                "annotations": {"note": "n", "kubectl.kubernetes.io/last-applied-configuration": "secret"},
            },
        }));
        let expected = |owner: &str, marks: Value| {
            let mut body = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "YQ=="}, "immutable": true,
                "metadata": {
                    "labels": {"app.kubernetes.io/name": "x", "team": "t", "kube-bind.io/owner": owner},
                    "annotations": marks,
                },
            });
            body["metadata"]["annotations"]["note"] = "n".into();
            body
        };
        let down = terms.copy_of(ClaimSide::Consumer, &original);
        let marks = json!({
            "kube-bind.io/claimed-by": "cowboys", "kube-bind.io/cluster-namespace": "kube-bind-a",
            "kube-bind.io/consumer-namespace": "n", "kube-bind.io/consumer-uid": "u", "kube-bind.io/origin-name": "s",
        });
        assert_eq!(down, expected("consumer", marks));
        let touch = |side: ClaimSide, namespace: &str, owned: &Value| {
            let key = ObjectKey { namespace: namespace.to_owned(), name: "s".to_owned() };
            terms.touch(side, &key, owned, &original)
        };
        assert_eq!(touch(ClaimSide::Provider, "n", &down), ObjectMarking::Copy);
        assert_eq!(touch(ClaimSide::Provider, "m", &down), ObjectMarking::None);
        let up = terms.copy_of(ClaimSide::Provider, &original);
        let marks = json!({
            "kube-bind.io/claimed-by": "cowboys", "kube-bind.io/provider-namespace": "n",
            "kube-bind.io/provider-uid": "u", "kube-bind.io/origin-name": "s",
        });
        assert_eq!(up, expected("provider", marks));
        assert_eq!(touch(ClaimSide::Consumer, "n", &up), ObjectMarking::Copy);
        assert_eq!(touch(ClaimSide::Provider, "n", &up), ObjectMarking::None);
        let mut others = down.clone();
        others["metadata"]["annotations"][ANNOTATION_CLAIMED_BY] = "sheriffs".into();
        assert_eq!(touch(ClaimSide::Provider, "n", &others), ObjectMarking::OthersCopy);
        others["metadata"]["annotations"].as_object_mut().unwrap().remove(ANNOTATION_CLAIMED_BY);
        assert_eq!(touch(ClaimSide::Provider, "n", &others), ObjectMarking::UnnamedCopy);
        // Somebody has taken all marks off, or all managed fields were copied to a child.
        others["metadata"]["annotations"] = json!({});
        assert_eq!(touch(ClaimSide::Provider, "n", &others), ObjectMarking::UnnamedCopy);
        assert_eq!(touch(ClaimSide::Consumer, "n", &others), ObjectMarking::None);
        for (side, copy) in [(ClaimSide::Provider, &down), (ClaimSide::Consumer, &up)] {
            let mut child = copy.clone();
            child["metadata"]["annotations"][ANNOTATION_ORIGIN_NAME] = "parent".into();
            assert_eq!(touch(side, "n", &child), ObjectMarking::None);
        }
    }

    #[test]
    fn a_field_manager_fits_whatever_the_binding_is_called() {
        let mut terms = terms(&json!({"resource": "secrets", "selector": {}}));
        assert_eq!(terms.stamper(), "kube-bind.io-claims-cowboys");
        terms.binding = "b".repeat(253);
        let one = terms.stamper();
        terms.binding = "b".repeat(252);
        assert!(one.len() <= MAX_MANAGER && terms.stamper() != one);
    }

    #[test]
    fn what_belongs_to_a_cluster_stays_there() {
        let account = object(json!({"metadata": {"name": "a"}, "secrets": [{"name": "t"}],
            "imagePullSecrets": [{"name": "p"}], "automountServiceAccountToken": false}));
        let copy = terms(&json!({"resource": "serviceaccounts", "selector": {}}))
            .copy_of(ClaimSide::Consumer, &account);
        assert!(copy.get("secrets").is_none() && copy.get("imagePullSecrets").is_none());
        assert_eq!(copy["automountServiceAccountToken"], false);
        let secret = |type_: &str| object(json!({"metadata": {"name": "s"}, "type": type_}));
        assert!(is_claimable(ClaimedResource::Secrets, &secret("Opaque")));
        assert!(!is_claimable(ClaimedResource::Secrets, &secret(TOKEN_TYPE)));
        let named = |name: &str| object(json!({"metadata": {"name": name}}));
        assert!(!is_claimable(ClaimedResource::ConfigMaps, &named("kube-root-ca.crt")));
        assert!(!is_claimable(ClaimedResource::ServiceAccounts, &named("default")));
    }
}
