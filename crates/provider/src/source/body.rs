//! The spec of a CRD as the API server writes it: every field is carried to consumers, or named as dropped.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Resource, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{
        BoundSchemaSpec, ConversionStrategy, ResourceNames, ResourceScope, SchemaConversion,
        WebhookConversion,
    },
    digest::Digest,
    outline::{SchemaOutlineSpec, VersionOutline, VersionSketch, outlines},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::SourceCrd;
use crate::tenancy::TenancyTerms;

/// A conversion webhook behind a Service of the provider.
pub(super) const CONVERSION_SERVICE: &str = "conversion.webhook.clientConfig.service";

/// The fields of a version that a BoundSchema carries, its schema apart.
const CARRIED: [&str; 8] = [
    "name",
    "served",
    "storage",
    "deprecated",
    "deprecationWarning",
    "subresources",
    "additionalPrinterColumns",
    "selectableFields",
];

/// A CRD with its schemas. They are kept as they are, so that consumers get every field of them, also those
/// that this program's library does not know.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub struct FullCrd {
    metadata: ObjectMeta,
    spec: Value,
}

impl FullCrd {
    /// Reads the part that plans need.
    pub fn source(&self) -> Result<SourceCrd, serde_json::Error> {
        Ok(SourceCrd { metadata: self.metadata.clone(), spec: SourceSpec::deserialize(&self.spec)? })
    }

    /// The schema for consumers on these terms.
    pub fn schema(mut self, terms: TenancyTerms) -> Result<BoundSchemaSpec, serde_json::Error> {
        let versions = self.spec["versions"].take();
        let known = Known::deserialize(self.spec)?;
        Ok(BoundSchemaSpec {
            versions: serde_json::from_value(versions)?,
            conversion: known.conversion(),
            group: known.group,
            informer_scope: terms.reach,
            names: known.names,
            scope: terms.scope,
        })
    }
}

/// The fields of a spec that are carried, versions apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    group: String,
    names: ResourceNames,
    scope: ResourceScope,
    conversion: Option<Value>,
    preserve_unknown_fields: Option<bool>,
}

/// Their names.
const KNOWN: [&str; 5] = ["group", "names", "scope", "conversion", "preserveUnknownFields"];

impl Known {
    fn uses_webhook(&self) -> bool {
        self.conversion.as_ref().is_some_and(|conversion| conversion["strategy"] == "Webhook")
    }

    /// The conversion as far as a consumer can use it.
    fn conversion(&self) -> Option<SchemaConversion> {
        let webhook = self.conversion.as_ref().filter(|_| self.uses_webhook())?.get("webhook")?;
        let webhook = WebhookConversion::deserialize(webhook).ok()?;
        webhook.client_config.as_ref()?.url.as_ref()?;
        Some(SchemaConversion { strategy: ConversionStrategy::Webhook, webhook: Some(webhook) })
    }

    fn dropped(&self) -> Vec<String> {
        let mut dropped = Vec::new();
        if self.preserve_unknown_fields == Some(true) {
            dropped.push("preserveUnknownFields".to_owned());
        }
        if self.uses_webhook() && self.conversion().is_none() {
            dropped.push(CONVERSION_SERVICE.to_owned());
        }
        dropped
    }
}

fn dropped_of_version(version: &VersionSketch) -> Vec<String> {
    let unknown = version.fields.keys().filter(|field| !CARRIED.contains(&field.as_str()));
    let name = version.fields.get("name").and_then(Value::as_str).unwrap_or_default();
    unknown.map(|field| format!("versions[{name}].{field}")).collect()
}

/// The parts of a spec that are kept.
#[derive(Clone, Debug)]
pub(super) struct SourceSpec {
    pub(super) group: String,
    pub(super) names: ResourceNames,
    pub(super) scope: ResourceScope,
    conversion: Option<SchemaConversion>,
    /// Fields that consumers do not get.
    pub(super) dropped: Vec<String>,
    /// The versions and the digest of their bodies; the error is for people.
    versions: Result<(Vec<VersionOutline>, Digest), String>,
}

impl<'de> Deserialize<'de> for SourceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadSpec)
    }
}

struct ReadSpec;

impl<'de> Visitor<'de> for ReadSpec {
    type Value = SourceSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the spec of a CRD")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SourceSpec, A::Error> {
        let (mut known, mut versions, mut others) = (Map::new(), Vec::<VersionSketch>::new(), Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == "versions" {
                versions = map.next_value()?;
            } else if KNOWN.contains(&name.as_str()) {
                known.insert(name, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
                others.push(name);
            }
        }
        let known = Known::deserialize(Value::Object(known)).map_err(de::Error::custom)?;
        let mut dropped = known.dropped();
        dropped.extend(versions.iter().flat_map(dropped_of_version));
        dropped.extend(others);
        Ok(SourceSpec {
            dropped,
            conversion: known.conversion(),
            versions: outlines(versions).map_err(|error| format!("It cannot be read: {error}")),
            group: known.group,
            names: known.names,
            scope: known.scope,
        })
    }
}

impl SourceSpec {
    /// The schema for consumers on these terms, as far as plans read it.
    pub(super) fn outline(&self, terms: TenancyTerms) -> Result<SchemaOutlineSpec, String> {
        let (versions, bodies) = self.versions.clone()?;
        Ok(SchemaOutlineSpec {
            group: self.group.clone(),
            informer_scope: terms.reach,
            names: self.names.clone(),
            scope: terms.scope,
            versions,
            conversion: self.conversion.clone(),
            bodies,
        })
    }
}
