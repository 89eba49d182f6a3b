//! Metadata of a binding: its finalizer, and notes about the export that it is bound to.

use std::collections::BTreeMap;

use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{
    ANNOTATION_CONTRACT_UID, ANNOTATION_TAKE_OVER, APIServiceBinding, APIServiceExport,
};
use portolan_runtime::apply::{self, WriteError};
use serde_json::{Value, json};

use super::marks::{ANNOTATION_EXPORT_UID, ANNOTATION_RESOURCES, FINALIZER, resources_of};
use crate::context::KonnectorContext;

/// Makes sure that the binding, made by hand perhaps, does not go before what it brought is drained, and
/// that it names the export and the contract that it is bound to.
pub(super) async fn hold(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    bound: Option<(&APIServiceExport, Option<&str>)>,
) -> Result<(), WriteError> {
    // In another version, it may be terminating, because the export that it had is withdrawn: it must not
    // be taken for bound to the one that has come since.
    let version = &binding.metadata.resource_version;
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": binding.metadata.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
    ];
    if !binding.finalizers().iter().any(|f| f == FINALIZER) {
        operations.push(match binding.metadata.finalizers {
            None => json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}),
            Some(_) => json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}),
        });
    }
    operations.extend(bound.into_iter().flat_map(|(export, contract)| notes(binding, export, contract)));
    if let Some(used) = binding.annotations().get(ANNOTATION_TAKE_OVER).filter(|_| bound.is_some()) {
        let path = format!("/metadata/annotations/{}", apply::escaped(ANNOTATION_TAKE_OVER));
        operations.push(json!({"op": "test", "path": path, "value": used}));
        operations.push(json!({"op": "remove", "path": path}));
    }
    if operations.len() == 2 {
        return Ok(());
    }
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let written = apply::json_patch(&api, &binding.name_any(), None, operations.into()).await?;
    context.bindings.wrote(written);
    Ok(())
}

/// Notes about the export and its contract that the annotations lack.
fn notes(binding: &APIServiceBinding, export: &APIServiceExport, contract: Option<&str>) -> Vec<Value> {
    let notes = [
        (ANNOTATION_EXPORT_UID, export.uid()),
        (ANNOTATION_RESOURCES, Some(resources_of(export))),
        (ANNOTATION_CONTRACT_UID, contract.map(str::to_owned)),
    ];
    let notes = notes.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let Some(annotations) = &binding.metadata.annotations else {
        let all: BTreeMap<_, _> = notes.collect();
        return vec![json!({"op": "add", "path": "/metadata/annotations", "value": all})];
    };
    let missing = notes.filter(|(key, value)| annotations.get(*key) != Some(value));
    let add = |(key, value): (&str, String)| {
        let path = format!("/metadata/annotations/{}", apply::escaped(key));
        json!({"op": "add", "path": path, "value": value})
    };
    missing.map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(annotations: &Value) -> Vec<String> {
        let binding = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "cowboys", "annotations": annotations},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        });
        let export = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport",
            "metadata": {"name": "cowboys", "uid": "u"},
            "spec": {
                "resources": [{"group": "a.dev", "resource": "as"}, {"group": "b.dev", "resource": "bs"}],
                "informerScope": "Namespaced", "isolation": "Prefixed",
            },
        });
        let (binding, export) =
            (serde_json::from_value(binding).unwrap(), serde_json::from_value(export).unwrap());
        let path = |operation: &Value| operation["path"].as_str().unwrap().to_owned();
        notes(&binding, &export, Some("c")).iter().map(path).collect()
    }

    #[test]
    fn only_what_annotations_lack_is_written() {
        let (uid, resources, contract) = (
            "/metadata/annotations/kube-bind.io~1export-uid",
            "/metadata/annotations/kube-bind.io~1resources",
            "/metadata/annotations/kube-bind.io~1contract-uid",
        );
        assert_eq!(paths(&Value::Null), ["/metadata/annotations"]);
        assert_eq!(paths(&json!({"mine": "1"})), [uid, resources, contract]);
        let complete = json!({
            ANNOTATION_EXPORT_UID: "u", ANNOTATION_RESOURCES: "as.a.dev,bs.b.dev", ANNOTATION_CONTRACT_UID: "c",
        });
        assert_eq!(paths(&complete), Vec::<String>::new());
        let former = json!({
            ANNOTATION_EXPORT_UID: "u", ANNOTATION_RESOURCES: "as.a.dev", ANNOTATION_CONTRACT_UID: "former",
        });
        assert_eq!(paths(&former), [resources, contract]);
    }
}
