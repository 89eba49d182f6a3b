//! The spec of a CRD as the API server writes it: every field is carried to consumers, or named as dropped.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Resource, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{
        BoundSchemaSpec, BoundSchemaVersion, ConversionStrategy, ResourceNames, ResourceScope,
        SchemaConversion, WebhookConversion,
    },
    digest::Digest,
    outline::{SchemaOutlineSpec, VersionOutline, digest_of_versions},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::SourceCrd;
use crate::tenancy::Terms;

/// A conversion webhook behind a Service of the provider.
pub(super) const CONVERSION_SERVICE: &str = "conversion.webhook.clientConfig.service";

/// The fields of a version that a BoundSchema carries.
const CARRIED: [&str; 9] = [
    "name",
    "served",
    "storage",
    "deprecated",
    "deprecationWarning",
    "schema",
    "subresources",
    "additionalPrinterColumns",
    "selectableFields",
];

/// A CRD with its schemas. They are kept as they are, so that consumers get every field of them, also those
/// that this program's library does not know.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub(crate) struct FullCrd {
    metadata: ObjectMeta,
    spec: CrdSpec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CrdSpec {
    group: String,
    names: ResourceNames,
    scope: ResourceScope,
    versions: Vec<Value>,
    conversion: Option<Value>,
    preserve_unknown_fields: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl FullCrd {
    /// What plans read of it.
    pub(crate) fn source(&self) -> SourceCrd {
        SourceCrd { metadata: self.metadata.clone(), spec: SourceSpec::from(self.spec.clone()) }
    }

    /// The schema for consumers on these terms.
    pub(crate) fn schema(self, terms: Terms) -> Result<BoundSchemaSpec, String> {
        let conversion = self.spec.conversion();
        Ok(BoundSchemaSpec {
            versions: versions(&self.spec.versions)?,
            conversion,
            group: self.spec.group,
            informer_scope: terms.reach,
            names: self.spec.names,
            scope: terms.scope,
        })
    }
}

fn versions(versions: &[Value]) -> Result<Vec<BoundSchemaVersion>, String> {
    let read = versions.iter().map(BoundSchemaVersion::deserialize).collect::<Result<_, _>>();
    read.map_err(|error| format!("It cannot be read: {error}"))
}

impl CrdSpec {
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
        for version in &self.versions {
            let fields = version.as_object().into_iter().flat_map(Map::keys);
            let unknown = fields.filter(|field| !CARRIED.contains(&field.as_str()));
            let name = version["name"].as_str().unwrap_or_default();
            dropped.extend(unknown.map(|field| format!("versions[{name}].{field}")));
        }
        dropped.extend(self.rest.keys().cloned());
        dropped
    }
}

/// What is kept of a spec.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "CrdSpec")]
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

impl From<CrdSpec> for SourceSpec {
    fn from(spec: CrdSpec) -> Self {
        let outline = |versions: Vec<BoundSchemaVersion>| {
            (versions.iter().map(VersionOutline::from).collect(), digest_of_versions(&versions))
        };
        Self {
            conversion: spec.conversion(),
            dropped: spec.dropped(),
            versions: versions(&spec.versions).map(outline),
            group: spec.group,
            names: spec.names,
            scope: spec.scope,
        }
    }
}

impl SourceSpec {
    /// The schema for consumers on these terms, as far as plans read it.
    pub(super) fn outline(&self, terms: Terms) -> Result<SchemaOutlineSpec, String> {
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
