//! From a provider's BoundSchema to the CRD that the consumer gets. Pure.

use kube::{Resource, ResourceExt as _, api::ApiResource};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_API_APPROVED, ANNOTATION_CONVERSION_DROPPED, ANNOTATION_SOURCE_SPEC_HASH,
        APIServiceBinding, BoundSchema, BoundSchemaVersion, ConversionStrategy, GROUP, VERSION,
    },
    digest::sha256_hex,
    outline::{CrdBody, CrdOutline, SchemaOutline, SchemaOutlineSpec, api_resource, stored_version},
};
use portolan_runtime::install::covers;
use serde_json::{Value, json};

/// Label on every CRD that the konnector brings to the consumer.
pub const LABEL_MANAGED: &str = "kube-bind.io/managed-by";
pub const MANAGED_BY: &str = "konnector";
/// The approval annotation of a CRD of a protected group whose provider has named no approval.
const UNAPPROVED: &str = "unapproved, brought by an APIServiceBinding";

/// The CRD to apply for a schema, owned by its binding.
pub fn desired(schema: &BoundSchema, binding: &APIServiceBinding) -> Value {
    let mut crd_spec = json!({
        "group": schema.spec.group,
        "names": schema.spec.names,
        "scope": schema.spec.scope,
    });
    // Schemas are large: `json!` would copy them.
    crd_spec["versions"] = schema.spec.versions.iter().map(version).collect();
    if let Some(conversion) =
        schema.spec.conversion.as_ref().filter(|c| c.strategy == ConversionStrategy::Webhook)
    {
        crd_spec["conversion"] = json!(conversion);
    }
    // What the API server makes of a schema tells nothing of what is no longer in it.
    let mut annotations = json!({ANNOTATION_SOURCE_SPEC_HASH: sha256_hex(crd_spec.to_string().as_bytes())});
    if let Some(approved) = approved(schema, &schema.spec.group) {
        annotations[ANNOTATION_API_APPROVED] = approved.into();
    }
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": portolan_core::names::crd(&schema.spec.names.plural, &schema.spec.group),
            "labels": {LABEL_MANAGED: MANAGED_BY},
            "annotations": annotations,
            "ownerReferences": [owner(binding)],
        },
    });
    crd["spec"] = crd_spec;
    crd
}

/// The approval that the group is a protected one; `None` where it is not.
pub fn approved<K: Resource>(schema: &K, group: &str) -> Option<String> {
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    let said = schema.annotations().get(ANNOTATION_API_APPROVED).cloned();
    if is_protected { Some(said.unwrap_or_else(|| UNAPPROVED.to_owned())) } else { said }
}

/// The name of the CRD of a schema.
pub fn name(schema: &SchemaOutline) -> String {
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

/// Returns `true` if a CRD belongs to a binding.
pub fn is_owned_by<K: Resource>(crd: &K, binding: &APIServiceBinding) -> bool {
    crd.owner_references().iter().any(|owner| {
        owner.kind == "APIServiceBinding"
            && owner.name == binding.name_any()
            && Some(&owner.uid) == binding.metadata.uid.as_ref()
    })
}

/// The binding that a CRD belongs to.
pub fn owner_name<K: Resource>(crd: &K) -> Option<&str> {
    let owner = crd.owner_references().iter().find(|owner| owner.kind == "APIServiceBinding")?;
    Some(&owner.name)
}

/// Returns `true` if a CRD is from the konnector.
pub fn is_labelled<K: Resource>(crd: &K) -> bool {
    crd.labels().get(LABEL_MANAGED).is_some_and(|by| by == MANAGED_BY)
}

/// Returns `true` if a CRD is from the konnector and belongs to no binding any more: it was kept when its binding was
/// deleted.
pub fn is_orphan<K: Resource>(crd: &K) -> bool {
    is_labelled(crd) && owner_name(crd).is_none()
}

/// Returns `true` if a CRD already has everything that is desired.
pub fn is_current(crd: &CrdBody, desired: &Value) -> bool {
    let metadata = json!(crd.metadata);
    covers(&crd.spec, &desired["spec"])
        && covers(&metadata["labels"], &desired["metadata"]["labels"])
        && covers(&metadata["annotations"], &desired["metadata"]["annotations"])
}

/// The CRD to apply while objects are still stored in versions that go: it keeps those, and names them.
pub fn retaining(mut desired: Value, existing: &CrdBody) -> (Value, Vec<String>) {
    let stored = existing.status.as_ref().and_then(|status| status.stored_versions.clone());
    let mut retained = Vec::new();
    for name in stored.into_iter().flatten() {
        let named = |version: &&Value| version["name"] == name.as_str();
        let versions = desired["spec"]["versions"].as_array_mut();
        let before = existing.spec["versions"].as_array().and_then(|all| all.iter().find(named));
        if let (Some(versions), Some(before)) = (versions, before)
            && !versions.iter().any(|version| named(&version))
        {
            let mut kept = before.clone();
            kept["storage"] = false.into();
            versions.push(kept);
            retained.push(name);
        }
    }
    (desired, retained)
}

/// In which versions the objects of a resource are read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePair {
    pub consumer: ApiResource,
    pub provider: ApiResource,
    /// `true` if status is a subresource on the consumer.
    pub has_status: bool,
}

/// Each side in the version that it stores, because a write in another one drops the fields that only the stored
/// one has. Where versions differ by more than their names, both sides speak the same.
pub fn resources(schema: &SchemaOutline, crd: &CrdOutline) -> Option<ResourcePair> {
    let here = stored_version(&crd.spec.versions)?;
    let there = stored_version(&schema.spec.versions)?;
    let names = |version: &str| api_resource(&schema.spec.group, &schema.spec.names, version);
    let both = |version: &str| ResourcePair {
        consumer: names(version),
        provider: names(version),
        has_status: crd.spec.versions.iter().any(|v| v.name == version && v.has_status),
    };
    let serves = |versions: &[portolan_core::outline::VersionOutline], name: &str| {
        versions.iter().any(|version| version.served && version.name == name)
    };
    if here.name == there.name {
        return Some(both(&here.name));
    }
    if converts(schema) {
        let common = [there, here].into_iter().find(|version| {
            serves(&crd.spec.versions, &version.name) && serves(&schema.spec.versions, &version.name)
        });
        return common.map(|version| both(&version.name));
    }
    Some(ResourcePair {
        consumer: names(&here.name),
        provider: names(&there.name),
        has_status: here.has_status,
    })
}

/// Returns `true` if versions differ by more than their names.
fn converts(schema: &SchemaOutline) -> bool {
    schema.spec.conversion.as_ref().is_some_and(|it| it.strategy == ConversionStrategy::Webhook)
        || schema.annotations().contains_key(ANNOTATION_CONVERSION_DROPPED)
}

/// The served versions that lose fields of the stored one, if the API server converts by the name alone.
pub fn lossy_versions(spec: &SchemaOutlineSpec) -> Vec<&str> {
    let is_none = spec.conversion.as_ref().is_none_or(|it| it.strategy == ConversionStrategy::None);
    let Some(stored) = stored_version(&spec.versions).filter(|_| is_none) else { return Vec::new() };
    let differs = spec.versions.iter().filter(|version| version.served && version.fields != stored.fields);
    differs.map(|version| version.name.as_str()).collect()
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

    fn outline(schema: &BoundSchema) -> SchemaOutline {
        serde_json::from_value(json!(schema)).unwrap()
    }

    fn body(desired: Value) -> CrdBody {
        serde_json::from_value(desired).unwrap()
    }

    fn of_versions(versions: &[(&str, bool, bool)]) -> BoundSchema {
        let version = |(name, served, storage): &(&str, bool, bool)| json!({"name": name, "served": served, "storage": storage, "schema": {}});
        schema(&versions.iter().map(version).collect())
    }

    #[test]
    fn each_side_is_written_in_the_version_that_it_stores() {
        let old: &[_] = &[("v1beta1", true, true)];
        let both: &[_] = &[("v1beta1", true, false), ("v1", true, true)];
        let new: &[_] = &[("v1", true, true)];
        let unserved: &[_] = &[("v1beta1", true, false), ("v1", false, true)];
        let webhook = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a"}}});
        // On the provider, on the consumer, and then the same where versions differ by more than their names.
        let table = [
            (both, both, Some(("v1", "v1")), Some(("v1", "v1"))),
            (both, old, Some(("v1beta1", "v1")), Some(("v1beta1", "v1beta1"))),
            (old, both, Some(("v1", "v1beta1")), Some(("v1beta1", "v1beta1"))),
            (new, old, Some(("v1beta1", "v1")), None),
            (unserved, both, Some(("v1", "v1beta1")), Some(("v1beta1", "v1beta1"))),
            (both, &[("v1", false, true)], None, None),
        ];
        for (there, here, by_name, by_webhook) in table {
            let here = body(desired(&of_versions(here), &binding())).outline().unwrap();
            let mut schema = of_versions(there);
            let names = |schema: &BoundSchema| {
                let found = resources(&outline(schema), &here)?;
                Some((found.consumer.version, found.provider.version))
            };
            let expected = |names: Option<(&str, &str)>| names.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(names(&schema), expected(by_name), "{there:?}");
            let mut dropped = schema.clone();
            dropped.annotations_mut().insert(ANNOTATION_CONVERSION_DROPPED.to_owned(), "true".to_owned());
            schema.spec.conversion = serde_json::from_value(webhook.clone()).unwrap();
            assert_eq!(names(&schema), expected(by_webhook), "{there:?}");
            assert_eq!(names(&dropped), expected(by_webhook), "{there:?}");
        }
    }

    #[test]
    fn a_version_that_objects_are_stored_in_stays_until_they_are_not() {
        let mut existing = desired(&of_versions(&[("v1beta1", true, true)]), &binding());
        let new = desired(&of_versions(&[("v1", true, true)]), &binding());
        let retained = |existing: &Value| retaining(new.clone(), &body(existing.clone()));
        for (stored, expected) in
            [(json!(["v1beta1"]), vec!["v1beta1"]), (json!(["v1"]), vec![]), (json!([]), vec![])]
        {
            existing["status"] =
                json!({"storedVersions": stored, "acceptedNames": {"kind": "", "plural": ""}});
            let (kept, former) = retained(&existing);
            assert_eq!(former, expected);
            let names: Vec<_> =
                kept["spec"]["versions"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
            assert_eq!(names.len(), 1 + expected.len());
            let stored: Vec<_> = kept["spec"]["versions"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|v| v["storage"] == true)
                .collect();
            assert_eq!(stored.len(), 1, "the API server stores in one version");
        }
    }

    #[test]
    fn protected_groups_say_who_has_approved_them() {
        let said = |group: &str, approved: Option<&str>| {
            let mut schema = of_versions(&[("v1", true, true)]);
            schema.spec.group = group.to_owned();
            if let Some(approved) = approved {
                schema.annotations_mut().insert(ANNOTATION_API_APPROVED.to_owned(), approved.to_owned());
            }
            desired(&schema, &binding())["metadata"]["annotations"][ANNOTATION_API_APPROVED].clone()
        };
        let url = "https://github.com/kubernetes-sigs/gateway-api/pull/2466";
        assert_eq!(said("gateway.networking.k8s.io", Some(url)), url);
        for protected in ["gateway.networking.k8s.io", "k8s.io", "snapshot.storage.kubernetes.io"] {
            assert_eq!(said(protected, None), UNAPPROVED, "{protected}");
        }
        for other in ["wildwest.dev", "notk8s.io", "k8s.io.example.org"] {
            assert_eq!(said(other, None), Value::Null, "{other}");
        }
    }

    #[test]
    fn what_is_no_longer_in_a_schema_is_a_difference() {
        let fields = |properties: &Value| {
            schema(&json!([{"name": "v1", "served": true, "storage": true,
                "schema": {"type": "object", "properties": properties}}]))
        };
        let (more, less) = (fields(&json!({"a": {"type": "string"}})), fields(&json!({})));
        let there = body(desired(&more, &binding()));
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
        let mut crd = body(desired(&schema(&json!([])), &binding()));
        assert!(is_owned_by(&crd, &binding()));
        crd.owner_references_mut()[0].uid = "former".to_owned();
        assert!(!is_owned_by(&crd, &binding()));
    }

    #[test]
    fn a_crd_of_ours_that_has_lost_its_binding_is_a_stray() {
        let mut crd = body(desired(&schema(&json!([])), &binding()));
        assert!(!is_orphan(&crd));
        crd.metadata.owner_references = None;
        assert!(is_orphan(&crd));
        crd.metadata.labels = None;
        assert!(!is_orphan(&crd));
    }
}
