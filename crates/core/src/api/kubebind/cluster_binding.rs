//! `ClusterBinding`: what a provider and a consumer know of each other. One per contract namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LocalSecretKeyRef, SecretRef};
use crate::condition::{Condition, date_time};

/// The contract between a provider and one consumer. It is a singleton named `cluster`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "kube-bind.io",
    version = "v1alpha2",
    kind = "ClusterBinding",
    plural = "clusterbindings",
    singular = "clusterbinding",
    namespaced,
    category = "kube-bindings",
    status = "ClusterBindingStatus",
    derive = "PartialEq",
    doc = "The contract between this provider and the consumer of the namespace it stands in.",
    validation = Rule::new("self.metadata.name == \"cluster\"").message("cluster binding name should be cluster"),
    printcolumn(name = "Konnector Version", type_ = "string", json_path = ".status.konnectorVersion"),
    printcolumn(name = "Last Heartbeat", type_ = "date", json_path = ".status.lastHeartbeatTime"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterBindingSpec {
    /// The Secret beside this object from which the consumer may renew its kubeconfig.
    #[x_kube(validation = Rule::new("self == oldSelf").message("kubeconfigSecretRef is immutable"))]
    pub kubeconfig_secret_ref: LocalSecretKeyRef,
    /// The provider's name for people.
    #[schemars(length(min = 1))]
    pub provider_pretty_name: String,
    /// Whatever else the provider wants to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub service_provider_spec: Option<Value>,
}

/// The state that the konnector reports to the provider.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterBindingStatus {
    /// When the konnector last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub last_heartbeat_time: Option<Time>,
    /// Interval at which the konnector intends to report, for example `5m0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval: Option<String>,
    /// The version of the konnector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub konnector_version: Option<String>,
    /// The consumer's Secret with the kubeconfig of this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_secret_ref: Option<SecretRef>,
    /// The state of the contract, summarised in `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
