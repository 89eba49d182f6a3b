//! `BoundSchema`: the part of a provider's CRD that a consumer needs to have the same API.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;

/// The schema of one exported resource.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "BoundSchema",
    plural = "boundschemas",
    singular = "boundschema",
    namespaced,
    shortname = "bs",
    category = "kube-bindings",
    status = "BoundSchemaStatus",
    derive = "PartialEq",
    doc = "The schema of one exported resource, named <resource>.<group>.",
    printcolumn(
        name = "Established",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Established")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BoundSchemaSpec {
    /// API group of the resource, empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Reach of the konnector's watch on the provider: one namespace, or the whole cluster.
    pub informer_scope: InformerScope,
    /// The names of the resource.
    pub names: ResourceNames,
    /// Scope of the resource on the consumer: `Namespaced` or `Cluster`.
    pub scope: ResourceScope,
    /// The versions of the resource; all of them are installed on the consumer.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub versions: Vec<BoundSchemaVersion>,
    /// Conversion between versions by the consumer's API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.strategy != 'Webhook' || has(self.webhook)").message("Webhook must be specified if strategy=Webhook"))]
    pub conversion: Option<SchemaConversion>,
}

/// Reach of a watch on the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum InformerScope {
    /// One watch across the provider cluster.
    Cluster,
    /// One watch per namespace that the provider answered.
    #[default]
    Namespaced,
}

/// The scope of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ResourceScope {
    /// Objects stand beside namespaces.
    Cluster,
    /// Objects stand in namespaces.
    #[default]
    Namespaced,
}

/// The names of a resource, as in a CRD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceNames {
    /// Plural name, used in URLs.
    pub plural: String,
    /// Kind.
    pub kind: String,
    /// Singular name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub singular: Option<String>,
    /// Kind of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_kind: Option<String>,
    /// Short names for the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_names: Option<Vec<String>>,
    /// Groups of resources that the command line can name together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
}

/// One version of a resource.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundSchemaVersion {
    /// Name of the version, as Kubernetes allows it: a DNS label that begins with a letter.
    #[schemars(length(max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Serves the version.
    #[serde(default = "served_by_default")]
    pub served: bool,
    /// Stores objects in this version.
    pub storage: bool,
    /// Marks the version as deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<bool>,
    /// The warning that clients of a deprecated version get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation_warning: Option<String>,
    /// The schema: an OpenAPI v3 schema, or an object that holds one as `openAPIV3Schema`.
    #[schemars(schema_with = "any_atomic_object")]
    pub schema: Value,
    /// The subresources of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresources: Option<Subresources>,
    /// The columns that `kubectl get` shows, as in a CRD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of_any_objects")]
    pub additional_printer_columns: Vec<Value>,
    /// The fields by which objects can be selected, as in a CRD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of_any_objects")]
    pub selectable_fields: Vec<Value>,
}

fn served_by_default() -> bool {
    true
}

/// The subresources of a version, as in a CRD.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Subresources {
    /// Present when the version has a status subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub status: Option<Value>,
    /// Present when the version has a scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub scale: Option<Value>,
}

/// Conversion between versions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct SchemaConversion {
    /// `None` changes the apiVersion only; `Webhook` asks a server that the provider names.
    pub strategy: ConversionStrategy,
    /// The server to ask, when the strategy is `Webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConversion>,
}

/// A conversion strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ConversionStrategy {
    /// Only the apiVersion is changed.
    #[default]
    None,
    /// A webhook converts.
    Webhook,
}

/// A conversion webhook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookConversion {
    /// The address of the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_config: Option<WebhookClientConfig>,
    /// The ConversionReview versions that the webhook understands.
    #[serde(default)]
    pub conversion_review_versions: Vec<String>,
}

/// The address of a conversion webhook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookClientConfig {
    /// URL of the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    pub url: Option<String>,
    /// Certificate authority of the webhook, base64 of PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub ca_bundle: Option<String>,
}

/// The state of the schema on the consumer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundSchemaStatus {
    /// The names that the consumer's CRD was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_names: Option<AcceptedNames>,
    /// The versions in which the consumer's API server has stored objects.
    #[serde(default)]
    pub stored_versions: Vec<String>,
    /// Number of consumers that have instantiated the schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instantiations: Option<i32>,
    /// The conditions of the consumer's CRD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Names that a CRD was granted. Kind and plural are written even when empty.
pub type AcceptedNames = ResourceNames;

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// One field to server-side apply: a schema has thousands of fields, and nobody shares it.
fn any_atomic_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"})
}

fn list_of_any_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}
