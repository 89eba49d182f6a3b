//! `APIServiceExportRequest`: a consumer's request for a service.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ExportedResource, PermissionClaim};
use crate::condition::Condition;

/// Asks the provider for an APIServiceExport of the same name.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "APIServiceExportRequest",
    plural = "apiserviceexportrequests",
    singular = "apiserviceexportrequest",
    namespaced,
    category = "kube-bindings",
    status = "APIServiceExportRequestStatus",
    derive = "PartialEq",
    doc = "Asks the provider for an APIServiceExport of the same name.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceExportRequestSpec {
    /// Free parameters, which the provider may look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("parameters are immutable"))]
    pub parameters: Option<Value>,
    /// The resources asked for.
    #[schemars(length(min = 1))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("resources are immutable"))]
    pub resources: Vec<ExportedResource>,
    /// The claims that the consumer agrees to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("permissionClaims are immutable"))]
    pub permission_claims: Vec<PermissionClaim>,
    /// Namespaces that the provider shall seed on the consumer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("namespaces are immutable"))]
    pub namespaces: Vec<RequestedNamespace>,
    /// Decides whether a later change of the provider's schema reaches the consumer.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("schemaUpdatePolicy is immutable"))]
    pub schema_update_policy: SchemaUpdatePolicy,
}

/// A namespace to seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct RequestedNamespace {
    /// Name of the namespace on the consumer.
    pub name: String,
}

/// The ways in which schemas follow the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SchemaUpdatePolicy {
    /// The schema stays as it was first bound.
    #[default]
    Never,
    /// The schema follows the provider's CRD.
    Always,
}

/// The state of the request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceExportRequestStatus {
    /// Pending, Succeeded or Failed.
    #[serde(default)]
    pub phase: RequestPhase,
    /// The reason why the request failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_message: Option<String>,
    /// `ExportsReady` and `PermissionClaim`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The phase of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RequestPhase {
    /// Not decided yet.
    #[default]
    Pending,
    /// Refused for good.
    Failed,
    /// The export exists.
    Succeeded,
}

fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
