//! CRDs and BoundSchemas without their bodies: what stores keep of them.
//!
//! A schema of a real project has up to a megabyte of text, and as a tree of values several times that. What
//! plans read of it is names, versions, conditions and whether it has changed.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use kube::{
    Resource,
    core::{ApiResource, ObjectMeta},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, json};

use crate::{
    api::kubebind::{
        BoundSchema, BoundSchemaStatus, BoundSchemaVersion, ConversionStrategy, InformerScope, ResourceNames,
        ResourceScope, SchemaConversion,
    },
    digest::Digest,
    sketch::SchemaSketch,
};

/// The field of a version that holds its schema.
const SCHEMA: &str = "schema";
/// Annotation in which `kubectl apply` keeps the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A BoundSchema without the bodies of its versions.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = BoundSchema)]
pub struct SchemaOutline {
    /// Without managed fields.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// The fields of the spec that are kept.
    pub spec: SchemaOutlineSpec,
    /// The status, as it is.
    pub status: Option<BoundSchemaStatus>,
}

/// The spec of a BoundSchema without the bodies of its versions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "SpecSketch")]
pub struct SchemaOutlineSpec {
    /// API group of the resource.
    pub group: String,
    /// The reach of the konnector's watch.
    pub informer_scope: InformerScope,
    /// The names of the resource.
    pub names: ResourceNames,
    /// Scope of the resource on the consumer.
    pub scope: ResourceScope,
    /// The versions.
    pub versions: Vec<VersionOutline>,
    /// The way in which the consumer's API server converts between versions.
    pub conversion: Option<SchemaConversion>,
    /// Differs when anything in a version differs.
    pub bodies: Digest,
}

/// The spec as it is read, with sketches in place of schemas.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecSketch {
    #[serde(default)]
    group: String,
    informer_scope: InformerScope,
    names: ResourceNames,
    scope: ResourceScope,
    versions: Vec<VersionSketch>,
    #[serde(default)]
    conversion: Option<SchemaConversion>,
}

impl TryFrom<SpecSketch> for SchemaOutlineSpec {
    type Error = serde_json::Error;

    fn try_from(spec: SpecSketch) -> Result<Self, Self::Error> {
        let (versions, bodies) = outlines(spec.versions)?;
        Ok(Self {
            versions,
            bodies,
            group: spec.group,
            informer_scope: spec.informer_scope,
            names: spec.names,
            scope: spec.scope,
            conversion: spec.conversion,
        })
    }
}

/// A version of a CRD or a BoundSchema, with a sketch in place of its schema.
#[derive(Clone, Debug)]
pub struct VersionSketch {
    /// All other fields, as they are.
    pub fields: Map<String, Value>,
    /// The schema, where it has one.
    pub schema: Option<SchemaSketch>,
}

impl<'de> Deserialize<'de> for VersionSketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SketchVersion)
    }
}

struct SketchVersion;

impl<'de> Visitor<'de> for SketchVersion {
    type Value = VersionSketch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VersionSketch, A::Error> {
        let mut version = VersionSketch { fields: Map::new(), schema: None };
        while let Some(name) = map.next_key::<String>()? {
            if name == SCHEMA {
                version.schema = Some(map.next_value()?);
            } else {
                version.fields.insert(name, map.next_value()?);
            }
        }
        Ok(version)
    }
}

/// The versions in outline, and the digest of their bodies.
///
/// # Errors
/// Where one of them is not what a BoundSchema can hold.
pub fn outlines(versions: Vec<VersionSketch>) -> Result<(Vec<VersionOutline>, Digest), serde_json::Error> {
    let (mut outlines, mut bodies) = (Vec::new(), Vec::new());
    for VersionSketch { mut fields, schema } in versions {
        if schema.is_some() {
            fields.insert(SCHEMA.to_owned(), Value::Null);
        }
        let version = BoundSchemaVersion::deserialize(Value::Object(fields))?;
        let schema = schema.unwrap_or_default();
        outlines.push(VersionOutline::new(&version, &schema));
        bodies.push(json!([version, schema.whole.to_string()]));
    }
    Ok((outlines, Digest::of(&bodies.into())))
}

/// A version of a resource without its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOutline {
    /// Name of the version.
    pub name: String,
    /// `true` if the version is served.
    pub served: bool,
    /// `true` if objects are stored in this version.
    pub storage: bool,
    /// `true` if the version has a status subresource.
    pub has_status: bool,
    /// Equal for versions that keep the same fields.
    pub fields: Digest,
}

impl VersionOutline {
    fn new(version: &BoundSchemaVersion, schema: &SchemaSketch) -> Self {
        Self {
            name: version.name.clone(),
            served: version.served,
            storage: version.storage,
            has_status: version.subresources.as_ref().is_some_and(|those| those.status.is_some()),
            fields: schema.fields,
        }
    }
}

/// The schema itself, in whichever of its two shapes it comes.
pub fn unwrapped(schema: &Value) -> &Value {
    schema.get("openAPIV3Schema").unwrap_or(schema)
}

/// A CRD without the schemas of its versions.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub struct CrdOutline {
    /// Without managed fields.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// The fields of the spec that are kept.
    pub spec: CrdOutlineSpec,
    /// The status, as it is.
    pub status: Option<CustomResourceDefinitionStatus>,
}

/// A CRD with its schemas, as the API server writes them.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub struct CrdBody {
    /// The metadata, as it is.
    pub metadata: ObjectMeta,
    /// The spec, as it is.
    pub spec: Value,
    /// The status, as it is.
    pub status: Option<CustomResourceDefinitionStatus>,
}

impl CrdBody {
    /// Reads the outline from the text of the whole object.
    ///
    /// # Errors
    /// Where it is not what an API server writes.
    pub fn outline(&self) -> Result<CrdOutline, serde_json::Error> {
        Ok(CrdOutline {
            metadata: without_bulk(self.metadata.clone()),
            spec: CrdOutlineSpec::deserialize(&self.spec)?,
            status: self.status.clone(),
        })
    }
}

/// The spec of a CRD without the schemas of its versions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "CrdSpec")]
pub struct CrdOutlineSpec {
    /// API group of the resource.
    pub group: String,
    /// The names of the resource.
    pub names: ResourceNames,
    /// Scope of the resource.
    pub scope: ResourceScope,
    /// The versions.
    pub versions: Vec<VersionOutline>,
    /// Strategy of conversion; `None` changes the version's name alone.
    pub conversion: ConversionStrategy,
}

#[derive(Deserialize)]
struct CrdSpec {
    group: String,
    names: ResourceNames,
    scope: ResourceScope,
    versions: Vec<CrdVersion>,
    #[serde(default)]
    conversion: Option<CrdConversion>,
}

#[derive(Deserialize)]
struct CrdVersion {
    name: String,
    served: bool,
    storage: bool,
    #[serde(default)]
    schema: SchemaSketch,
    #[serde(default)]
    subresources: Value,
}

#[derive(Deserialize)]
struct CrdConversion {
    strategy: ConversionStrategy,
}

impl From<CrdSpec> for CrdOutlineSpec {
    fn from(spec: CrdSpec) -> Self {
        let version = |version: CrdVersion| VersionOutline {
            fields: version.schema.fields,
            has_status: version.subresources.get("status").is_some_and(|status| !status.is_null()),
            name: version.name,
            served: version.served,
            storage: version.storage,
        };
        Self {
            group: spec.group,
            names: spec.names,
            scope: spec.scope,
            versions: spec.versions.into_iter().map(version).collect(),
            conversion: spec.conversion.map(|conversion| conversion.strategy).unwrap_or_default(),
        }
    }
}

/// The version in which the API server serves and stores objects; where that is not served, another that is.
pub fn stored_version(versions: &[VersionOutline]) -> Option<&VersionOutline> {
    let served = || versions.iter().filter(|version| version.served);
    served().find(|version| version.storage).or_else(|| served().next())
}

/// Describes a resource in one of its versions to a client.
pub fn api_resource(group: &str, names: &ResourceNames, version: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        kind: names.kind.clone(),
        plural: names.plural.clone(),
    }
}

impl CrdOutline {
    /// The resource in the version that objects are written in.
    pub fn stored_resource(&self) -> Option<ApiResource> {
        let version = stored_version(&self.spec.versions)?;
        Some(api_resource(&self.spec.group, &self.spec.names, &version.name))
    }

    /// Returns `true` if the API server serves the CRD.
    pub fn is_established(&self) -> bool {
        let conditions = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
    }
}

/// Reads metadata without what makes it large.
pub fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    ObjectMeta::deserialize(deserializer).map(without_bulk)
}

fn without_bulk(mut metadata: ObjectMeta) -> ObjectMeta {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(properties: &Value, description: &str) -> Value {
        json!({"type": "object", "description": description, "properties": properties})
    }

    fn crd(versions: &Value) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": "as.a.dev",
                "annotations": {LAST_APPLIED: "{}", "kept": "1"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {
                "group": "a.dev", "scope": "Cluster", "names": {"plural": "as", "kind": "A"},
                "versions": versions, "conversion": {"strategy": "None"},
            },
        })
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let version = json!({
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema(&json!({"spec": {"type": "object"}}), "long")},
        });
        let outline: CrdOutline = serde_json::from_value(crd(&json!([version]))).unwrap();
        assert!(outline.metadata.managed_fields.is_none());
        assert_eq!(outline.metadata.annotations.as_ref().unwrap().len(), 1);
        assert!(outline.spec.versions[0].has_status);
        let body: CrdBody = serde_json::from_value(crd(&json!([version]))).unwrap();
        assert_eq!(body.outline().unwrap().spec, outline.spec);
    }

    #[test]
    fn a_schema_of_the_core_group_may_leave_its_group_out() {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"type": "object"}});
        let names = json!({"plural": "as", "kind": "A"});
        let spec = json!({"informerScope": "Namespaced", "names": names, "scope": "Namespaced", "versions": [version]});
        let outline: SchemaOutlineSpec = serde_json::from_value(spec.clone()).unwrap();
        let body: crate::api::kubebind::BoundSchemaSpec = serde_json::from_value(spec).unwrap();
        assert_eq!((outline.group.as_str(), outline.versions.len()), ("", 1));
        assert_eq!(serde_json::from_value::<SchemaOutlineSpec>(json!(body)).unwrap(), outline);
    }

    #[test]
    fn objects_are_written_where_they_are_stored() {
        let outline = |name: &str, served, storage| VersionOutline {
            name: name.to_owned(),
            served,
            storage,
            has_status: true,
            fields: Digest::ABSENT,
        };
        for (versions, expected) in [
            (vec![outline("v1beta1", true, false), outline("v1", true, true)], Some("v1")),
            (vec![outline("v1beta1", true, false), outline("v1", false, true)], Some("v1beta1")),
            (vec![outline("v1", false, true)], None),
        ] {
            assert_eq!(stored_version(&versions).map(|version| version.name.as_str()), expected);
        }
    }
}
