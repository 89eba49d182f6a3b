//! `APIKey`: a request for a key of a product, and the key that comes of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PlanLimits, discovered::any_object};
use crate::{condition::date_time, json_text::JsonText, standard_condition::StandardCondition};

/// A request for a key, as the requester writes it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "devportal.kuadrant.io",
    version = "v1alpha1",
    kind = "APIKey",
    plural = "apikeys",
    singular = "apikey",
    shortname = "apik",
    namespaced,
    status = "APIKeyStatus",
    derive = "PartialEq",
    doc = "A request for a key of an APIProduct. Once it is approved, a Secret holds the key.",
    validation = Rule::new("size(self.metadata.name) <= 230").message("the name is longer than 230 characters: the Secret of the key could not be named after it"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || self.spec.apiProductRef == oldSelf.spec.apiProductRef").message("spec.apiProductRef cannot change once the request was decided: make a new request"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || self.spec.planTier == oldSelf.spec.planTier").message("spec.planTier cannot change once the request was decided: make a new request"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || self.spec.requestedBy == oldSelf.spec.requestedBy").message("spec.requestedBy cannot change once the request was decided: make a new request"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || !has(oldSelf.spec.expiresAt) || (has(self.spec.expiresAt) && self.spec.expiresAt <= oldSelf.spec.expiresAt)").message("spec.expiresAt may only come earlier once the request was decided: make a new request"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "API", type_ = "string", json_path = ".spec.apiProductRef.name"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.planTier"),
    printcolumn(name = "User", type_ = "string", json_path = ".spec.requestedBy.userId"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct APIKeySpec {
    /// The product, in the same namespace.
    pub api_product_ref: ProductReference,
    /// The plan, one of the product's.
    #[schemars(length(min = 1, max = 253))]
    pub plan_tier: String,
    /// What the key is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub use_case: Option<String>,
    /// Who asks.
    pub requested_by: Requester,
    /// Time at which the key stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub expires_at: Option<Time>,
}

/// A reference to a product of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ProductReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whoever asks for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// The user's name, as the API server knows it.
    #[schemars(length(min = 1, max = 1024))]
    pub user_id: String,
    /// The user's address.
    #[schemars(length(max = 320), regex(pattern = r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$"))]
    pub email: String,
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeyPhase {
    /// Nothing yet.
    #[default]
    Pending,
    /// It was granted: there is a key, or there soon will be.
    Approved,
    /// It was refused, or the key was revoked.
    Rejected,
    /// The time of the key is over.
    Expired,
}

/// The state of a key. `phase`, `reviewedBy`, `reviewedAt` and `reason` are also written by whoever decides.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct APIKeyStatus {
    /// The generation of the object that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<KeyPhase>,
    /// Who has decided; `system` if the product approves automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reviewed_by: Option<String>,
    /// Time of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub reviewed_at: Option<Time>,
    /// Why it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// The owner of the product, who may decide. Empty if it has none. Nothing can be decided without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_owner: Option<String>,
    /// The UID of that product. A decision is about it, and not about another product that gets its name.
    #[serde(default, rename = "productUID", skip_serializing_if = "Option::is_none")]
    pub product_uid: Option<String>,
    /// What was approved: a hash of the product's UID and name, tier and requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_snapshot: Option<String>,
    /// The limits of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PlanLimits>,
    /// The host that the key is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_hostname: Option<String>,
    /// Time at which the key stops working: `spec.expiresAt`, or earlier if the product limits the life of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment_if_any")]
    pub expires_at: Option<Time>,
    /// The Secret with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyReference>,
    /// The Secret with the key before the last rotation, as long as that still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_ref: Option<PreviousSecretReference>,
    /// The last request for a rotation that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_rotate_request: Option<String>,
    /// How to send the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_scheme: Option<AuthSchemeOfKey>,
    /// The state of the key, `Ready` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<StandardCondition>,
}

/// An entry of a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretKeyReference {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
}

/// An entry of a Secret that works until a time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecretReference {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
    /// Time at which it is deleted.
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment")]
    pub expires_at: Time,
}

/// How to send a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSchemeOfKey {
    /// The selector by which the key is found.
    #[serde(default, skip_serializing_if = "JsonText::is_null")]
    #[schemars(schema_with = "any_object")]
    pub authentication_spec: JsonText,
    /// Where requests carry the key.
    #[serde(default, skip_serializing_if = "JsonText::is_null")]
    #[schemars(schema_with = "any_object")]
    pub credentials: JsonText,
}

impl APIKey {
    /// What was decided; nothing yet before the controller has looked at it.
    pub fn phase(&self) -> KeyPhase {
        self.status.as_ref().and_then(|status| status.phase).unwrap_or_default()
    }
}
