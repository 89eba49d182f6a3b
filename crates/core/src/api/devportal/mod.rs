//! `devportal.kuadrant.io`: APIs that are offered to people, and the keys that they ask for.
//!
//! An [`APIProduct`] publishes an HTTPRoute. Its status says what the controller has found out: plans, the way to
//! authenticate, the token endpoint, the OpenAPI text. An [`APIKey`] is a request for a key, and once it is approved the
//! source of truth about that key.

mod discovered;
mod key;
mod product;

pub use discovered::{
    ConfigMapReference, CustomLimit, DiscoveredAuthScheme, DiscoveredPlan, OidcDiscovery, OpenApiStatus,
    PlanLimits,
};
pub use key::{
    APIKey, APIKeySpec, APIKeyStatus, AuthSchemeOfKey, KeyPhase, PreviousSecretReference, ProductReference,
    Requester, SecretKeyReference,
};
pub use product::{
    APIProduct, APIProductSpec, APIProductStatus, ApprovalMode, Contact, Documentation, PublishStatus,
    TargetReference,
};

/// The API group of every kind in this module.
pub const GROUP: &str = "devportal.kuadrant.io";
/// The storage version of every kind in this module.
pub const VERSION: &str = "v1alpha1";

/// Annotation of an [`APIProduct`]: the name of the user who owns it.
pub const ANNOTATION_OWNER: &str = "backstage.io/owner";
/// Annotation of an [`APIProduct`]: the longest life of its keys, as `90d`, `12h` or the like.
pub const ANNOTATION_MAX_LIFETIME: &str = "devportal.kuadrant.io/max-lifetime";
/// Annotation of an [`APIProduct`]: the number of keys that one user may have of it.
pub const ANNOTATION_MAX_KEYS_PER_USER: &str = "devportal.kuadrant.io/max-keys-per-user";
/// Annotation of an [`APIKey`]: each new value asks for a new key.
pub const ANNOTATION_ROTATE: &str = "devportal.kuadrant.io/rotate-requested-at";
/// Annotation of an [`APIKey`] beside [`ANNOTATION_ROTATE`]: for how long the old key still works.
pub const ANNOTATION_ROTATE_OVERLAP: &str = "devportal.kuadrant.io/rotate-overlap";
/// Annotation of a Secret: the plan that the key belongs to. PlanPolicies read it.
pub const ANNOTATION_PLAN_ID: &str = "secret.kuadrant.io/plan-id";
/// Annotation of a Secret: the user that the key belongs to.
pub const ANNOTATION_USER_ID: &str = "secret.kuadrant.io/user-id";
/// Label of everything that the controller makes for a product.
pub const LABEL_PRODUCT: &str = "devportal.kuadrant.io/apiproduct";
/// Label of the Roles and RoleBindings that let requesters read their keys.
pub const LABEL_REQUESTER: &str = "devportal.kuadrant.io/requester";
/// Label by which Authorino finds its Secrets.
pub const LABEL_AUTHORINO: &str = "authorino.kuadrant.io/managed-by";

/// The key of a Secret that holds the API key.
pub const SECRET_KEY: &str = "api_key";
/// The reviewer of keys that were approved automatically.
pub const REVIEWER_SYSTEM: &str = "system";

/// The name of the Secret with the key of an [`APIKey`].
pub fn secret_name(key: &str) -> String {
    format!("{key}-apikey-secret")
}

/// The name of the Secret with the value before the last rotation.
pub fn previous_secret_name(key: &str) -> String {
    format!("{key}-apikey-secret-previous")
}

/// The name of the ConfigMap with a large OpenAPI text.
pub fn openapi_config_map_name(product: &str) -> String {
    format!("{product}-openapi")
}
