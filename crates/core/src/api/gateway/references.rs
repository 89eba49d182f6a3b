//! References to Secrets, ConfigMaps and service accounts of the management cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The namespace of a reference that names none.
fn default_namespace() -> String {
    "default".to_owned()
}

/// One key of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub struct KeyReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the object.
    #[serde(default = "default_namespace")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Key in the object's data. If left out, the usual key of its purpose (`token`, `kubeconfig`, `ca.crt`), or else
    /// the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// A whole Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Secret.
    #[serde(default = "default_namespace")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

/// A service account of the management cluster, whose tokens the target cluster accepts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub struct ServiceAccountReference {
    /// Name of the service account.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the service account.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Audiences of the token. If empty, those of the API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub audience: Vec<String>,
    /// Lifetime of a token, such as `1h` or `90m`; by default an hour, and at least ten minutes. It is renewed after
    /// four fifths of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expiration: Option<String>,
}
