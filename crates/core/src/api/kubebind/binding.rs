//! `APIServiceBinding`: one export of a provider, bound on the consumer.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterSecretKeyRef, PermissionClaim};
use crate::condition::Condition;

/// Binds one APIServiceExport of a provider, the one with the same name.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "APIServiceBinding",
    plural = "apiservicebindings",
    singular = "apiservicebinding",
    shortname = "sb",
    category = "kube-bindings",
    status = "APIServiceBindingStatus",
    derive = "PartialEq",
    doc = "Binds the APIServiceExport of the same name: its CRDs appear here, and their objects are kept in sync.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.providerPrettyName"),
    printcolumn(
        name = "Resources",
        type_ = "string",
        json_path = ".metadata.annotations.kube-bind\\.io/resources",
        priority = "1"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceBindingSpec {
    /// The Secret that holds the kubeconfig of the provider cluster. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("kubeconfigSecretRef is immutable"))]
    pub kubeconfig_secret_ref: ClusterSecretKeyRef,
}

/// The state that the konnector last observed for a binding.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceBindingStatus {
    /// The provider's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_pretty_name: Option<String>,
    /// The resources that this binding has brought to the consumer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub bound_schemas: Vec<BoundSchemaReference>,
    /// Resources that the provider would like to read or write beside the bound ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permission_claims: Vec<PermissionClaim>,
    /// The claimed resources of which objects may have been copied, because the consumer has agreed to it. What
    /// was copied is removed before a resource leaves this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_claims: Vec<String>,
    /// The state of the binding, summarised in `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A resource that a binding has brought to the consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub struct BoundSchemaReference {
    /// API group of the resource, empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Plural name of the resource.
    pub resource: String,
}
