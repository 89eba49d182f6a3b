//! `APIProduct`: an HTTPRoute that is offered to people.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DiscoveredAuthScheme, DiscoveredPlan, OidcDiscovery, OpenApiStatus};
use crate::standard_condition::StandardCondition;

/// An API as its owner describes it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "devportal.kuadrant.io",
    version = "v1alpha1",
    kind = "APIProduct",
    plural = "apiproducts",
    singular = "apiproduct",
    namespaced,
    status = "APIProductStatus",
    derive = "PartialEq",
    doc = "An API that is offered to people: an HTTPRoute with a description, and what was discovered about it.",
    validation = Rule::new("size(self.metadata.name) <= 245").message("the name is longer than 245 characters: objects of the product could not be named after it"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        priority = "2"
    ),
    printcolumn(name = "Route", type_ = "string", json_path = ".spec.targetRef.name", priority = "1"),
    printcolumn(name = "Publish", type_ = "string", json_path = ".spec.publishStatus", priority = "1"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = "2"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct APIProductSpec {
    /// The name for people.
    #[schemars(length(max = 1024))]
    pub display_name: String,
    /// What the API does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub description: Option<String>,
    /// Version of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub version: Option<String>,
    /// Who approves requests for keys: the controller, or a person.
    #[serde(default)]
    pub approval_mode: ApprovalMode,
    /// Whether the catalog shows the product.
    #[serde(default)]
    pub publish_status: PublishStatus,
    /// Words to find the product by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub tags: Vec<String>,
    /// The HTTPRoute of the same namespace that serves the API.
    pub target_ref: TargetReference,
    /// Where to read about the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<Documentation>,
    /// Whom to ask about the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
}

/// Who approves requests for keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalMode {
    /// The controller, at once.
    Automatic,
    /// The owner of the product.
    #[default]
    Manual,
}

/// Whether the catalog shows a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PublishStatus {
    /// It does not.
    #[default]
    Draft,
    /// It does.
    Published,
}

/// A reference to an HTTPRoute of the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(validation = Rule::new("self.group == 'gateway.networking.k8s.io'").message("Invalid targetRef.group. The only supported value is 'gateway.networking.k8s.io'"))]
#[x_kube(validation = Rule::new("self.kind == 'HTTPRoute'").message("Invalid targetRef.kind. The only supported value is 'HTTPRoute'"))]
pub struct TargetReference {
    /// `gateway.networking.k8s.io`.
    #[schemars(length(max = 253))]
    pub group: String,
    /// `HTTPRoute`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the route.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Where to read about an API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Documentation {
    /// URL of its OpenAPI text, which is fetched into the status.
    #[serde(default, rename = "openAPISpecURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub open_api_spec_url: Option<String>,
    /// URL of a Swagger UI.
    #[serde(default, rename = "swaggerUI", skip_serializing_if = "Option::is_none")]
    pub swagger_ui: Option<String>,
    /// URL of its documentation.
    #[serde(default, rename = "docsURL", skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// URL of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_repository: Option<String>,
    /// A reference of TechDocs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub techdocs_ref: Option<String>,
}

/// Whom to ask about an API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Contact {
    /// A team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<String>,
    /// A page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What the controller has found out about an API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct APIProductStatus {
    /// The generation of the object that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The plans that keys may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discovered_plans: Vec<DiscoveredPlan>,
    /// The ways to authenticate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered_auth_scheme: Option<DiscoveredAuthScheme>,
    /// What the issuer of tokens says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_discovery: Option<OidcDiscovery>,
    /// The OpenAPI text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<OpenApiStatus>,
    /// The first host name of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_hostname: Option<String>,
    /// The state of the product, `Ready` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<StandardCondition>,
}
