//! From a provider's BoundSchema to the CRD that the consumer gets. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{ResourceExt as _, api::ApiResource};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_SOURCE_SPEC_HASH, APIServiceBinding, BoundSchema, BoundSchemaVersion, ConversionStrategy,
        ExportedResource, GROUP, ResourceScope, VERSION,
    },
    digest::sha256_hex,
};
use portolan_runtime::install::covers;
pub(crate) use portolan_runtime::install::is_established;
use serde_json::{Value, json};

/// Label on every CRD that the konnector brings to the consumer.
pub(crate) const LABEL_MANAGED: &str = "kube-bind.io/managed-by";
pub(crate) const MANAGED_BY: &str = "konnector";

/// The CRD to apply for a schema, owned by its binding.
pub(crate) fn desired(schema: &BoundSchema, binding: &APIServiceBinding) -> Value {
    let mut crd_spec = json!({
        "group": schema.spec.group,
        "names": schema.spec.names,
        "scope": schema.spec.scope,
        "versions": schema.spec.versions.iter().map(version).collect::<Vec<_>>(),
    });
    if let Some(conversion) =
        schema.spec.conversion.as_ref().filter(|c| c.strategy == ConversionStrategy::Webhook)
    {
        crd_spec["conversion"] = json!(conversion);
    }
    // What the API server makes of a schema tells nothing of what is no longer in it.
    let hash = sha256_hex(crd_spec.to_string().as_bytes());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name(schema),
            "labels": {LABEL_MANAGED: MANAGED_BY},
            "annotations": {ANNOTATION_SOURCE_SPEC_HASH: hash},
            "ownerReferences": [owner(binding)],
        },
        "spec": crd_spec,
    })
}

/// The name of the CRD of a schema.
pub(crate) fn name(schema: &BoundSchema) -> String {
    portolan_core::names::crd(&schema.spec.names.plural, &schema.spec.group)
}

fn owner(binding: &APIServiceBinding) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "APIServiceBinding",
        "name": binding.name_any(),
        "uid": binding.metadata.uid,
        "controller": true,
    })
}

fn version(version: &BoundSchemaVersion) -> Value {
    let mut wire = json!(version);
    // The schema comes in either of two shapes.
    if version.schema.get("openAPIV3Schema").is_none() {
        wire["schema"] = json!({"openAPIV3Schema": version.schema});
    }
    wire
}

/// Whether a CRD belongs to a binding.
pub(crate) fn is_owned_by(crd: &CustomResourceDefinition, binding: &APIServiceBinding) -> bool {
    crd.owner_references().iter().any(|owner| {
        owner.kind == "APIServiceBinding"
            && owner.name == binding.name_any()
            && Some(&owner.uid) == binding.metadata.uid.as_ref()
    })
}

/// The binding that a CRD belongs to.
pub(crate) fn owner_name(crd: &CustomResourceDefinition) -> Option<&str> {
    let owner = crd.owner_references().iter().find(|owner| owner.kind == "APIServiceBinding")?;
    Some(&owner.name)
}

/// Whether a CRD is from the konnector and belongs to no binding any more: it was kept when its binding went.
pub(crate) fn is_stray(crd: &CustomResourceDefinition) -> bool {
    crd.labels().get(LABEL_MANAGED).is_some_and(|by| by == MANAGED_BY) && owner_name(crd).is_none()
}

/// Whether a CRD already says everything that is desired.
pub(crate) fn is_current(crd: &CustomResourceDefinition, desired: &Value) -> bool {
    let observed = json!(crd);
    covers(&observed["spec"], &desired["spec"])
        && covers(&observed["metadata"]["labels"], &desired["metadata"]["labels"])
        && covers(&observed["metadata"]["annotations"], &desired["metadata"]["annotations"])
}

/// The version of a resource to keep in sync: the first that the export names and the schema serves; where
/// it names none, the stored version if it is served, else the first served. The consumer's CRD, which may
/// be kept as it was, has to serve it too.
pub(crate) fn sync_version<'a>(
    schema: &'a BoundSchema,
    resource: &ExportedResource,
    crd: &CustomResourceDefinition,
) -> Option<&'a BoundSchemaVersion> {
    let here = |name: &str| crd.spec.versions.iter().any(|v| v.served && v.name == name);
    let served = || schema.spec.versions.iter().filter(|v| v.served && here(&v.name));
    if resource.versions.is_empty() {
        return served().find(|v| v.storage).or_else(|| served().next());
    }
    resource.versions.iter().find_map(|name| served().find(|v| v.name == *name))
}

/// How to talk about a resource in one version.
pub(crate) fn api_resource(schema: &BoundSchema, version: &str) -> ApiResource {
    let spec = &schema.spec;
    let api_version =
        if spec.group.is_empty() { version.to_owned() } else { format!("{}/{version}", spec.group) };
    ApiResource {
        group: spec.group.clone(),
        version: version.to_owned(),
        api_version,
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
    }
}

/// Whether the objects of a CRD stand in namespaces.
pub(crate) fn scope(crd: &CustomResourceDefinition) -> ResourceScope {
    if crd.spec.scope == "Cluster" { ResourceScope::Cluster } else { ResourceScope::Namespaced }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(versions: &Value) -> BoundSchema {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": "cowboys.wildwest.dev"},
            "spec": {
                "group": "wildwest.dev", "informerScope": "Namespaced", "scope": "Namespaced",
                "names": {"plural": "cowboys", "kind": "Cowboy"}, "versions": versions,
            },
        }))
        .unwrap()
    }

    fn binding() -> APIServiceBinding {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "cowboys", "uid": "u"},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap()
    }

    #[test]
    fn both_shapes_of_a_schema_give_the_same_crd() {
        let bare = json!([{"name": "v1", "served": true, "storage": true, "schema": {"type": "object"}}]);
        let wrapped = json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]);
        assert_eq!(desired(&schema(&bare), &binding()), desired(&schema(&wrapped), &binding()));
    }

    #[test]
    fn the_version_to_sync_honours_the_export() {
        let schema = schema(&json!([
            {"name": "v1alpha1", "served": true, "storage": false, "schema": {}},
            {"name": "v1", "served": true, "storage": true, "schema": {}},
            {"name": "v2", "served": false, "storage": false, "schema": {}},
            {"name": "v3", "served": true, "storage": false, "schema": {}},
        ]));
        let mut here: CustomResourceDefinition =
            serde_json::from_value(desired(&schema, &binding())).unwrap();
        here.spec.versions.pop();
        for (versions, expected) in [
            (vec![], Some("v1")),
            (vec!["v1alpha1"], Some("v1alpha1")),
            (vec!["v2", "v1"], Some("v1")),
            (vec!["v2"], None),
            (vec!["v3"], None),
        ] {
            let resource = ExportedResource {
                versions: versions.iter().map(|v| (*v).to_owned()).collect(),
                ..ExportedResource::default()
            };
            assert_eq!(
                sync_version(&schema, &resource, &here).map(|v| v.name.as_str()),
                expected,
                "{versions:?}"
            );
        }
    }

    #[test]
    fn what_is_no_longer_in_a_schema_is_a_difference() {
        let fields = |properties: &Value| {
            schema(&json!([{"name": "v1", "served": true, "storage": true,
                "schema": {"type": "object", "properties": properties}}]))
        };
        let (more, less) = (fields(&json!({"a": {"type": "string"}})), fields(&json!({})));
        let there: CustomResourceDefinition = serde_json::from_value(desired(&more, &binding())).unwrap();
        assert!(is_current(&there, &desired(&more, &binding())));
        assert!(!is_current(&there, &desired(&less, &binding())));
    }

    #[test]
    fn defaults_of_the_api_server_are_not_differences() {
        let table = [
            (json!({"a": 1, "defaulted": true}), json!({"a": 1}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({"a": 1}), json!({"a": 1, "b": []}), true),
            (json!({"a": 1}), json!({"a": 1, "b": ["x"]}), false),
            (json!([1]), json!([1, 2]), false),
            (json!({"deprecated": null}), json!({"deprecated": false}), true),
        ];
        for (observed, wanted, expected) in table {
            assert_eq!(covers(&observed, &wanted), expected, "{observed} {wanted}");
        }
    }

    #[test]
    fn a_crd_of_another_binding_of_the_same_name_is_not_ours() {
        let mut crd: CustomResourceDefinition =
            serde_json::from_value(desired(&schema(&json!([])), &binding())).unwrap();
        assert!(is_owned_by(&crd, &binding()));
        crd.owner_references_mut()[0].uid = "former".to_owned();
        assert!(!is_owned_by(&crd, &binding()));
    }

    #[test]
    fn a_crd_of_ours_that_has_lost_its_binding_is_a_stray() {
        let mut crd: CustomResourceDefinition =
            serde_json::from_value(desired(&schema(&json!([])), &binding())).unwrap();
        assert!(!is_stray(&crd));
        crd.metadata.owner_references = None;
        assert!(is_stray(&crd));
        crd.metadata.labels = None;
        assert!(!is_stray(&crd));
    }
}
