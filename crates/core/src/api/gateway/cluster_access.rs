//! `ClusterAccess`: one cluster whose API is discovered and served.
#![expect(clippy::struct_field_names, reason = "the names are the document's")]

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KeyReference, SchemaFilter, SecretReference, ServiceAccountReference};
use crate::{condition::date_time, standard_condition::StandardCondition};

/// A cluster whose API the gateway serves under `/{path}/graphql`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "gateway.platform-mesh.io",
    version = "v1alpha1",
    kind = "ClusterAccess",
    plural = "clusteraccesses",
    singular = "clusteraccess",
    shortname = "ca",
    status = "ClusterAccessStatus",
    derive = "PartialEq",
    doc = "A cluster whose API the gateway serves: where it is, and with which credential its API is discovered.",
    validation = Rule::new("has(self.spec.path) || size(self.metadata.name) <= 63").message("the name is longer than 63 characters: give spec.path a shorter one"),
    validation = Rule::new("has(self.spec.path) || !(self.metadata.name in ['api', 'assets', 'fleet', 'graphql', 'healthz', 'livez', 'metrics', 'readyz', 'v1'])").message("the name is one of the gateway's own words: give spec.path another one"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Path", type_ = "string", json_path = ".status.observedPath"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Kinds", type_ = "integer", json_path = ".status.kinds"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.serverVersion", priority = "1"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.host) || (has(self.auth) && has(self.auth.kubeconfigSecretRef))").message("host is required unless kubeconfigSecretRef auth is used"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccessSpec {
    /// Name of the schema document and first part of the gateway's URL. If left out, the name of the object.
    /// A DNS label or dotted name of at most 63 characters, but none of the gateway's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("path is a DNS label or dotted name: use lower-case letters, digits and dashes, with dots between labels"))]
    #[x_kube(validation = Rule::new("!(self in ['api', 'assets', 'fleet', 'graphql', 'healthz', 'livez', 'metrics', 'readyz', 'v1'])").message("path is one of the gateway's own words: choose another one"))]
    pub path: Option<String>,
    /// URL of the cluster's API server, such as `https://my-cluster:6443`: scheme, host and port, without a path. It
    /// may be left out if a kubeconfig names the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub host: Option<String>,
    /// The authorities that the server's certificate is verified with. If left out, those of the kubeconfig, or else
    /// the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<ClusterAccessCa>,
    /// The credential for discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ClusterAccessAuth>,
    /// The kinds to serve. If left out, all of them. The filter shapes the schema; what callers may do is up to the
    /// cluster's own RBAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_filter: Option<SchemaFilter>,
}

/// A credential, in one of several forms.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(validation = Rule::new("[has(self.secretRef), has(self.tokenSecretRef), has(self.kubeconfigSecretRef), has(self.clientCertificateRef), has(self.serviceAccountRef)].filter(is, is).size() <= 1").message("only one of secretRef, tokenSecretRef, kubeconfigSecretRef, clientCertificateRef, or serviceAccountRef can be set"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccessAuth {
    /// A Secret with a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
    /// The same as `secretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<KeyReference>,
    /// A Secret with a kubeconfig, which may hold a token or a client certificate. Anything that would run a program or
    /// read a file is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_ref: Option<KeyReference>,
    /// A Secret with a client certificate, in the keys `tls.crt` and `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretReference>,
    /// A service account of the management cluster, whose tokens the cluster accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountReference>,
}

/// A source of authorities.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(validation = Rule::new("!(has(self.secretRef) && has(self.configMapRef))").message("only one of secretRef or configMapRef can be set"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccessCa {
    /// A Secret with PEM certificates, by default under `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
    /// A ConfigMap with PEM certificates, by default under `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyReference>,
}

/// The state that the listener last saw of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccessStatus {
    /// The path under which the cluster is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_path: Option<String>,
    /// A hash of what the cluster serves, without its credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_hash: Option<String>,
    /// Version of the cluster's API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Number of served kinds; each version counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<i32>,
    /// Time of the last change of the schema document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub last_sync_time: Option<Time>,
    /// The generation of the object that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state of the cluster: `Ready`, `Complete` and `Watched`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<StandardCondition>,
}

impl ClusterAccess {
    /// The path under which the cluster is to be served.
    pub fn path(&self) -> Cow<'_, str> {
        match self.spec.path.as_deref() {
            Some(path) => Cow::Borrowed(path),
            None => Cow::Owned(self.name_any()),
        }
    }
}
