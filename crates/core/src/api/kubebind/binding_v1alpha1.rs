//! `APIServiceBinding` v1alpha1, served beside v1alpha2 because older clients poll for it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::APIServiceBindingStatus;

/// Binds one APIServiceExport of a provider, the one with the same name.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha1",
    kind = "APIServiceBinding",
    plural = "apiservicebindings",
    singular = "apiservicebinding",
    shortname = "sb",
    category = "kube-bindings",
    status = "APIServiceBindingStatus",
    storage = false,
    doc = "Binds the APIServiceExport of the same name. Use v1alpha2.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.providerPrettyName"),
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
    pub kubeconfig_secret_ref: KubeconfigSecretRef,
}

/// The key `kubeconfig` of a Secret in a named namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct KubeconfigSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Namespace of the Secret.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Key in the Secret's data: `kubeconfig` and no other.
    pub key: KubeconfigKey,
}

/// The only key that v1alpha1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KubeconfigKey {
    /// The key `kubeconfig`.
    #[serde(rename = "kubeconfig")]
    Kubeconfig,
}
