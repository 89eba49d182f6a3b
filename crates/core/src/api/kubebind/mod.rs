//! `kube-bind.io`: the wire contract between a konnector and a service provider.
//!
//! Consumer side: [`APIServiceBindingBundle`] and [`APIServiceBinding`]. Provider side, all in the
//! consumer's contract namespace: [`APIServiceExport`], [`BoundSchema`], [`APIServiceNamespace`],
//! [`ClusterBinding`] and [`APIServiceExportRequest`].
#![expect(clippy::duplicated_attributes, reason = "printer columns of the same type")]

mod binding;
pub mod binding_v1alpha1;
mod bound_schema;
mod bundle;
mod claims;
mod cluster_binding;
mod export;
mod export_request;
mod namespace;
mod references;

pub use binding::{APIServiceBinding, APIServiceBindingSpec, APIServiceBindingStatus, BoundSchemaReference};
pub use bound_schema::{
    AcceptedNames, BoundSchema, BoundSchemaSpec, BoundSchemaStatus, BoundSchemaVersion, ConversionStrategy,
    InformerScope, ResourceNames, ResourceScope, SchemaConversion, Subresources, WebhookClientConfig,
    WebhookConversion,
};
pub use bundle::{APIServiceBindingBundle, APIServiceBindingBundleSpec, APIServiceBindingBundleStatus};
pub use claims::{
    ClaimSelector, LabelRequirement, LabelSelector, NamedResource, PermissionClaim, ReferencePaths,
    ResourceReference,
};
pub use cluster_binding::{ClusterBinding, ClusterBindingSpec, ClusterBindingStatus};
pub use export::{
    APIServiceExport, APIServiceExportSpec, APIServiceExportStatus, ExportedResource, Isolation,
};
pub use export_request::{
    APIServiceExportRequest, APIServiceExportRequestSpec, APIServiceExportRequestStatus, RequestPhase,
    RequestedNamespace, SchemaUpdatePolicy,
};
pub use namespace::{APIServiceNamespace, APIServiceNamespaceSpec, APIServiceNamespaceStatus};
pub use references::{ClusterSecretKeyRef, LocalSecretKeyRef, SecretRef};

/// The API group of every kind in this module.
pub const GROUP: &str = "kube-bind.io";
/// The storage version of every kind in this module.
pub const VERSION: &str = "v1alpha2";

/// Field manager of everything the konnector applies.
pub const FIELD_MANAGER: &str = "kube-bind.io";
/// Field manager of what the Go konnector has created and updated. Its entries are taken over.
pub const FORMER_MANAGER: &str = "konnector";
/// Finalizer on consumer objects that have, or may have, a copy on a provider (without a dash, as on the wire).
pub const SYNCER_FINALIZER: &str = "kubebind.io/syncer";

/// Label that a provider puts on a CRD to offer it.
pub const LABEL_EXPORTED: &str = "kube-bind.io/exported";
/// Label of a contract namespace on the provider: the name of the consumer that it is for.
pub const LABEL_CONSUMER: &str = "kube-bind.io/consumer";
/// Label of a provider namespace that stands for one of a consumer's: the contract namespace of that consumer.
pub const LABEL_CONTRACT: &str = "kube-bind.io/contract";
/// Label of what a service of ours has made: the name of the service. What lacks it is left alone.
pub const LABEL_MANAGED_BY: &str = "kube-bind.io/managed-by";
/// Label of a Secret that a provider's own kubeconfig Secret may renew.
pub const LABEL_PROVIDER_KUBECONFIG: &str = "kube-bind.io/provider-kubeconfig";
/// Label that says which side owns a claimed object or a seeded namespace: `consumer` or `provider`.
pub const LABEL_OWNER: &str = "kube-bind.io/owner";

/// Annotation on a provider copy: the contract namespace of the consumer that it belongs to.
pub const ANNOTATION_CLUSTER_NAMESPACE: &str = "kube-bind.io/cluster-namespace";
/// Annotation on a provider copy: the namespace of its origin on the consumer.
pub const ANNOTATION_CONSUMER_NAMESPACE: &str = "kube-bind.io/consumer-namespace";
/// Annotation on a provider copy: the uid of its origin on the consumer.
pub const ANNOTATION_CONSUMER_UID: &str = "kube-bind.io/consumer-uid";
/// Annotation on a copy, on either side: the name of its origin. Who copies the marks of a copy to another object
/// takes this one along, and it does not fit there.
pub const ANNOTATION_ORIGIN_NAME: &str = "kube-bind.io/origin-name";
/// Annotation on the copy of a claimed object, on either side: the resource version of its original when the copy was
/// written, or [`ORIGIN_LOST`].
pub const ANNOTATION_ORIGIN_VERSION: &str = "kube-bind.io/origin-version";
/// Value of [`ANNOTATION_ORIGIN_VERSION`] where the original went with a cluster that was restored from a backup:
/// nobody has deleted it, so the copy stays.
pub const ORIGIN_LOST: &str = "lost";
/// Annotation on a consumer object: the namespace of its copy on the provider.
pub const ANNOTATION_PROVIDER_NAMESPACE: &str = "kube-bind.io/provider-namespace";
/// Annotation on a consumer object: the uid of its copy on the provider.
pub const ANNOTATION_PROVIDER_UID: &str = "kube-bind.io/provider-uid";
/// Annotation on an export or a BoundSchema: a hash of the schema that it was made from.
pub const ANNOTATION_SOURCE_SPEC_HASH: &str = "kube-bind.io/source-spec-hash";
/// Annotation on an export that is deleted and recreated at once: nobody unbinds.
pub const ANNOTATION_REPLACED: &str = "kube-bind.io/replaced";
/// Annotation on an exported CRD: its export may be recreated where objects of consumers lose their copies by it.
pub const ANNOTATION_ALLOW_REPLACE: &str = "kube-bind.io/allow-replace";
/// Annotation on a BoundSchema whose provider converts between versions in a way that its consumers cannot.
pub const ANNOTATION_CONVERSION_DROPPED: &str = "kube-bind.io/conversion-dropped";
/// Annotation on a binding: its export was withdrawn, so that nobody here has asked for its end.
pub const ANNOTATION_WITHDRAWN: &str = "kube-bind.io/withdrawn";
/// Annotation on a bundle or binding, `keep` or `delete`: what becomes of objects and copies when the provider
/// withdraws an export.
pub const ANNOTATION_ON_WITHDRAW: &str = "kube-bind.io/on-withdraw";
/// Annotation without which no API server takes a CRD of a protected group (`*.k8s.io`, `*.kubernetes.io`).
pub const ANNOTATION_API_APPROVED: &str = "api-approved.kubernetes.io";
/// Annotation on a provider namespace: `<contract namespace>/<name>` of the APIServiceNamespace it answers.
pub const ANNOTATION_API_SERVICE_NAMESPACE: &str = "kube-bind.io/api-service-namespace";

/// Annotation on a contract namespace: a label selector that chooses which exported CRDs the consumer gets.
/// All of them when it is absent.
pub const ANNOTATION_EXPORTS: &str = "kube-bind.io/exports";

/// Annotation on a consumer's object, binding or bundle: what becomes of the copies when it is deleted.
pub const ANNOTATION_DELETION_POLICY: &str = "kube-bind.io/deletion-policy";
/// Value of [`ANNOTATION_DELETION_POLICY`]: the copies stay on the provider.
pub const DELETION_POLICY_ORPHAN: &str = "Orphan";
/// Annotation on a bundle or binding that `konnector release` gives up: a running konnector keeps off.
pub const ANNOTATION_RELEASED: &str = "kube-bind.io/released";

/// Annotation on a binding: the uid of the contract namespace that it is bound to. With another, nothing is written.
pub const ANNOTATION_CONTRACT_UID: &str = "kube-bind.io/contract-uid";
/// Annotation on a bundle, or on a binding that was made by hand: the uid of the contract namespace that it shall be
/// bound to instead of the one that it was.
pub const ANNOTATION_ACCEPT_CONTRACT: &str = "kube-bind.io/accept-contract";
/// Annotation on a bundle, or on a binding that was made by hand: takes the contract over from the consumer cluster
/// with this uid, or from whichever has the contract with this uid. It is used once, and removed.
pub const ANNOTATION_TAKE_OVER: &str = "kube-bind.io/take-over";

/// Name and key of the provider's Secret with a kubeconfig for the consumer, where the ClusterBinding names none.
pub const PROVIDER_KUBECONFIG: &str = "kubeconfig";

/// Reason of [`CONDITION_CONNECTED`] on an export that is withdrawn: nothing of it is left on the consumer.
pub const REASON_DRAINED: &str = "Drained";
/// Reason of [`CONDITION_CONNECTED`] on an export that nobody binds.
pub const REASON_NOT_BOUND: &str = "APIServiceBindingNotFound";

/// Annotation on an exported CRD: a JSON list of [`PermissionClaim`]s that go with its export.
pub const ANNOTATION_PERMISSION_CLAIMS: &str = "kube-bind.io/permission-claims";
/// Annotation on the copy of a claimed object: the APIServiceBinding that it is kept for.
pub const ANNOTATION_CLAIMED_BY: &str = "kube-bind.io/claimed-by";
/// Condition of a binding: what the provider claims beside the bound resources is agreed to, and kept in sync.
pub const CONDITION_PERMISSION_CLAIMS: &str = "PermissionClaims";

/// Condition: the referenced Secret holds a usable kubeconfig.
pub const CONDITION_SECRET_VALID: &str = "SecretValid";
/// Condition of a bundle: its bindings match what the provider exports.
pub const CONDITION_SYNCED: &str = "Synced";
/// Condition of a bundle: all its bindings are Ready.
pub const CONDITION_USABLE: &str = "Usable";
/// Condition of a bundle: what of the exports is not taken because of its API group.
pub const CONDITION_EXPORTS_ACCEPTED: &str = "ExportsAccepted";
/// Annotation on a bundle: the API groups whose exports it takes, as patterns. All of them when it is absent.
pub const ANNOTATION_ACCEPT_GROUPS: &str = "kube-bind.io/accept-groups";
/// Reason: a kind cannot be bound, because its API group is ours or the API server serves it in another way.
pub const REASON_GROUP_NOT_BINDABLE: &str = "GroupNotBindable";
/// Condition of a binding and of an export: both sides know each other and the CRDs are there.
pub const CONDITION_CONNECTED: &str = "Connected";
/// Condition of a binding: the objects of every bound resource are watched on both sides.
pub const CONDITION_INFORMERS_SYNCED: &str = "InformersSynced";
/// Condition of a binding, which says nothing of `Ready`: copies on the provider have no object on the consumer any
/// more.
pub const CONDITION_ORPHANED_COPIES: &str = "OrphanedCopies";
/// Condition of a binding: the konnector's heartbeat reaches the provider.
pub const CONDITION_HEARTBEATING: &str = "Heartbeating";
/// Condition of a binding: the consumer's CRDs carry the provider's current schema.
pub const CONDITION_SCHEMA_IN_SYNC: &str = "SchemaInSync";
/// Condition of a ClusterBinding: the consumer cluster that the contract belongs to. Its reason is the uid of that
/// cluster's namespace `kube-system`.
pub const CONDITION_CONSUMER_CLUSTER: &str = "ConsumerCluster";
/// Condition of a binding: a warning that some versions of a bound kind do not have the same fields.
pub const CONDITION_VERSIONS_DIFFER: &str = "VersionsDiffer";
/// Condition of an export: the consumer has the current schema.
pub const CONDITION_CONSUMER_IN_SYNC: &str = "ConsumerInSync";
/// Condition of an export: consumers can read the objects of one another.
pub const CONDITION_TENANCY_SHARED: &str = "TenancyShared";
/// Condition of an export: its BoundSchemas match the provider's CRDs.
pub const CONDITION_PROVIDER_IN_SYNC: &str = "ProviderInSync";
