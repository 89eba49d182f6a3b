//! `APIServiceBindingBundle`: one object on the consumer that binds everything a provider exports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClusterSecretKeyRef;
use crate::condition::{Condition, date_time};

/// Binds every service that one provider cluster exports to this consumer.
///
/// The konnector creates one APIServiceBinding per APIServiceExport that it finds in the namespace of the
/// kubeconfig's current context, and removes it when the export goes away.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "APIServiceBindingBundle",
    plural = "apiservicebindingbundles",
    singular = "apiservicebindingbundle",
    shortname = "sbb",
    category = "kube-bindings",
    status = "APIServiceBindingBundleStatus",
    derive = "PartialEq",
    doc = "Binds every service that a provider cluster exports to this consumer, with nothing but a kubeconfig.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.providerPrettyName"),
    printcolumn(name = "Exports", type_ = "integer", json_path = ".status.exports"),
    printcolumn(name = "Bound", type_ = "integer", json_path = ".status.bound"),
    printcolumn(name = "Usable", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Conflicts", type_ = "integer", json_path = ".status.conflicts", priority = "1"),
    printcolumn(name = "Refused", type_ = "integer", json_path = ".status.refused", priority = "1"),
    printcolumn(name = "Resources", type_ = "string", json_path = ".status.resources", priority = "1"),
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
pub struct APIServiceBindingBundleSpec {
    /// The Secret that holds the kubeconfig of the provider cluster. Its current context must name the
    /// contract namespace. It cannot be changed: create another bundle to bind from another provider.
    #[x_kube(validation = Rule::new("self == oldSelf").message("kubeconfigSecretRef is immutable"))]
    pub kubeconfig_secret_ref: ClusterSecretKeyRef,
}

/// The state that the konnector last observed for a bundle.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct APIServiceBindingBundleStatus {
    /// The provider's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_pretty_name: Option<String>,
    /// Number of exports that the provider offers in the contract namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exports: Option<i32>,
    /// Number of exports with an APIServiceBinding that belongs to this bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<i32>,
    /// Number of bindings that are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
    /// Number of bindings that are not Ready. The condition `Usable` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<i32>,
    /// Number of exports that cannot be bound, because a binding or a CRD of that name belongs to somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<i32>,
    /// Number of exports that are refused because of their API group. The condition `ExportsAccepted` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<i32>,
    /// The uid of the contract namespace on the provider that is bound.
    #[serde(default, rename = "contractNamespaceUID", skip_serializing_if = "Option::is_none")]
    pub contract_namespace_uid: Option<String>,
    /// When the bindings were last found to be what the provider exports. It is brought up to date when
    /// something changes, and otherwise once per heartbeat interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub last_sync_time: Option<Time>,
    /// The generation of the bundle that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The names of the exports, shortened where they are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<String>,
    /// The state of the bundle: `SecretValid`, `Synced`, `Usable`, `ExportsAccepted`, and their summary `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
