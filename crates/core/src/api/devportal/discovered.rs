//! What is discovered about an API.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::date_time;

/// A plan of the PlanPolicy in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DiscoveredPlan {
    /// The name of the plan.
    pub tier: String,
    /// Its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PlanLimits>,
}

/// Numbers of requests per time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PlanLimits {
    /// Requests per day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<i64>,
    /// Requests per week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<i64>,
    /// Requests per month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<i64>,
    /// Requests per year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<i64>,
    /// Requests per other windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom: Vec<CustomLimit>,
}

/// A limit with its own window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CustomLimit {
    /// Requests per window.
    pub limit: i64,
    /// The window, such as `10m` or `1h30m`.
    #[schemars(regex(pattern = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    pub window: String,
}

/// The ways to authenticate, as the AuthPolicy in effect has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DiscoveredAuthScheme {
    /// Methods by name. Nothing else of the policy's rules is copied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub authentication: BTreeMap<String, Value>,
}

/// What the issuer of tokens says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcDiscovery {
    /// Where clients get tokens.
    pub token_endpoint: String,
}

/// The OpenAPI text of a product.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenApiStatus {
    /// The text, if it is small; empty if it is in a ConfigMap.
    #[serde(default)]
    pub raw: String,
    /// SHA-256 of the text, in hexadecimal digits.
    #[serde(default)]
    pub sha256: String,
    /// Size of the text.
    #[serde(default)]
    pub bytes: i64,
    /// Time at which this text was first read.
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment")]
    pub last_sync_time: Time,
    /// The URL that it was read from.
    #[serde(default, rename = "sourceURL")]
    pub source_url: String,
    /// The ConfigMap that holds the text, compressed with gzip under `openapi.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapReference>,
}

/// A ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ConfigMapReference {
    /// Its name.
    pub name: String,
}

/// Anything, as the foreign kind has it.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
