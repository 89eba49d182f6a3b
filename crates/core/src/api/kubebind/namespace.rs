//! `APIServiceNamespace`: a consumer's request for a namespace on the provider.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks the provider for a namespace that stands for the consumer namespace of the same name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "APIServiceNamespace",
    plural = "apiservicenamespaces",
    singular = "apiservicenamespace",
    namespaced,
    category = "kube-bindings",
    status = "APIServiceNamespaceStatus",
    derive = "PartialEq",
    doc = "Asks the provider for a namespace that stands for the consumer's namespace of the same name.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct APIServiceNamespaceSpec {}

/// The provider's answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct APIServiceNamespaceStatus {
    /// The provider's namespace. Empty until the provider has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
