//! Desired copy on the provider, computed from its origin on the consumer. Pure.

use kube::api::DynamicObject;
use portolan_core::api::kubebind::{
    ANNOTATION_CLUSTER_NAMESPACE, ANNOTATION_CONSUMER_NAMESPACE, ANNOTATION_CONSUMER_UID,
    ANNOTATION_ORIGIN_NAME,
};
use serde_json::{Map, Value, json};

use super::keys::KeyRules;

/// The complete body to apply to the provider, without its place: name, namespace, uid and owner, and without the
/// version, of which each side may have one of its own.
pub fn desired(origin: &DynamicObject, contract_namespace: &str, keys: &KeyRules) -> Value {
    let metadata = &origin.metadata;
    let mut annotations = keys.carried(metadata.annotations.as_ref());
    let mut mark = |key: &str, value: Option<&str>| {
        annotations.insert(key.to_owned(), value.unwrap_or_default().into());
    };
    mark(ANNOTATION_CLUSTER_NAMESPACE, Some(contract_namespace));
    mark(ANNOTATION_CONSUMER_NAMESPACE, metadata.namespace.as_deref());
    mark(ANNOTATION_CONSUMER_UID, metadata.uid.as_deref());
    mark(ANNOTATION_ORIGIN_NAME, metadata.name.as_deref());

    let types = origin.types.clone().unwrap_or_default();
    let mut body = json!({
        "kind": types.kind,
        "metadata": {"annotations": annotations},
    });
    let labels = keys.carried(metadata.labels.as_ref());
    if !labels.is_empty() {
        body["metadata"]["labels"] = labels.into();
    }
    for (field, value) in
        origin.data.as_object().into_iter().flatten().filter(|(field, _)| *field != "status")
    {
        body[field] = value.clone();
    }
    body
}

/// The status of an object, if it says anything.
pub fn status(object: &DynamicObject) -> Option<&Value> {
    let status = object.data.get("status")?;
    let empty = status.is_null() || status.as_object().is_some_and(Map::is_empty);
    (!empty).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_copy_carries_what_is_the_users_and_our_marks() {
        let origin = object(json!({
            "apiVersion": "wildwest.dev/v1", "kind": "Cowboy",
            "metadata": {
                "name": "billy", "namespace": "west", "uid": "u1", "resourceVersion": "7",
                "finalizers": ["kubebind.io/syncer"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "y"}],
                "labels": {"app": "a", "app.kubernetes.io/instance": "argo"},
                "annotations": {
                    "note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "kube-bind.io/provider-uid": "p", "argocd.argoproj.io/tracking-id": "t",
                    "meta.helm.sh/release-name": "r",
                },
            },
            "spec": {"intent": "ride"}, "extra": [1], "status": {"result": "no"},
        }));
        assert_eq!(
            desired(&origin, "kube-bind-a", &KeyRules::default()),
            json!({
                "kind": "Cowboy",
                "metadata": {
                    "labels": {"app": "a"},
                    "annotations": {
                        "note": "n", "kube-bind.io/cluster-namespace": "kube-bind-a",
                        "kube-bind.io/consumer-namespace": "west", "kube-bind.io/consumer-uid": "u1",
                        "kube-bind.io/origin-name": "billy",
                    },
                },
                "spec": {"intent": "ride"}, "extra": [1],
            })
        );
    }

    #[test]
    fn an_empty_status_says_nothing() {
        for (value, expected) in
            [(json!(null), None), (json!({}), None), (json!({"a": 1}), Some(json!({"a": 1})))]
        {
            let object = object(json!({"metadata": {}, "status": value}));
            assert_eq!(status(&object), expected.as_ref());
        }
    }
}
