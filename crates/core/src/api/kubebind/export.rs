//! `APIServiceExport`: a service that a provider offers to one consumer.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InformerScope, PermissionClaim};
use crate::condition::Condition;

/// A service that the provider offers to the consumer of this contract namespace.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "APIServiceExport",
    plural = "apiserviceexports",
    singular = "apiserviceexport",
    namespaced,
    category = "kube-bindings",
    status = "APIServiceExportStatus",
    derive = "PartialEq",
    doc = "A service that this provider offers to the consumer of the namespace it stands in.",
    printcolumn(
        name = "Established",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Established")].status"#,
        priority = "5"
    ),
    printcolumn(
        name = "Connected",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Connected")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceExportSpec {
    /// The resources of the service. Each has a BoundSchema named `<resource>.<group>` beside the export.
    #[schemars(length(min = 1))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("resources are immutable"))]
    pub resources: Vec<ExportedResource>,
    /// Objects beside the resources that the provider asks for. The consumer has to agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("permissionClaims are immutable"))]
    pub permission_claims: Vec<PermissionClaim>,
    /// Reach of the konnector's watch on the provider: one namespace, or the whole cluster.
    #[x_kube(validation = Rule::new("self == oldSelf").message("informerScope is immutable"))]
    pub informer_scope: InformerScope,
    /// Isolation of the cluster-scoped objects of several consumers from each other.
    #[x_kube(validation = Rule::new("self == oldSelf").message("isolation is immutable"))]
    pub isolation: Isolation,
    /// Former name of `isolation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterScopedIsolation is immutable"))]
    pub cluster_scoped_isolation: Option<Isolation>,
}

/// One resource of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ExportedResource {
    /// API group of the resource, empty for the core group.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"))]
    pub group: String,
    /// Plural name of the resource.
    #[schemars(regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub resource: String,
    /// Versions that the provider names. All versions of the schema are installed, and objects are kept in sync in
    /// the one that they are stored in, whatever stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
}

/// Isolation of the cluster-scoped objects of several consumers on the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Isolation {
    /// The copy is named `<contract namespace>-<name>`.
    #[default]
    Prefixed,
    /// The copy stands in the contract namespace: the provider's kind is namespaced.
    Namespaced,
    /// The copy has the same name.
    None,
}

/// The state of an export as both sides see it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct APIServiceExportStatus {
    /// `Connected` and `ConsumerInSync` are written by the konnector, `ProviderInSync` by the provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
