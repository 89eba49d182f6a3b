//! The schema document: the API of a cluster, and the connection to it. The listener writes it, gateways read it.
//!
//! As a file it is `{"definitions": {..}, "x-cluster-metadata": {..}}`. On its way to gateways elsewhere it is a
//! stream of [`DocumentEvent`]s, whose upserts name one part per group-version by its SHA-256. A part is
//! `{"definitions": {..}}` with everything that its kinds refer to, so that it can be read alone; clusters that serve
//! the same have the same parts. [`write`] makes the file of parts.
//!
//! References in definitions are `{"$ref": "#/definitions/NAME"}`. A definition with [`PLURAL`] is a served kind; in
//! documents of other programs without that extension, one with [`SCOPE`] is.

mod merge;
mod metadata;
mod refs;
mod stream;

pub use merge::{InvalidPart, NamedPart, group_version_order, write};
pub use metadata::{AuthMetadata, CaMetadata, ClusterMetadata, EncodedSecret};
pub use refs::{REF_PREFIX, referred, rewrite};
pub use stream::{DocumentEvent, PartReference, WatchQuery};

/// Member of a document that holds the schemas by name.
pub const DEFINITIONS: &str = "definitions";
/// Member of a document that holds its [`ClusterMetadata`].
pub const CLUSTER_METADATA: &str = "x-cluster-metadata";

/// Extension of a kind: a list with `{group, version, kind}`.
pub const GROUP_VERSION_KIND: &str = "x-kubernetes-group-version-kind";
/// Extension of a kind: `Namespaced` or `Cluster`.
pub const SCOPE: &str = "x-kubernetes-scope";
/// Extension of a kind: the categories of its resource, such as `all`.
pub const CATEGORIES: &str = "x-kubernetes-categories";
/// Extension of a kind: the resource's name in URLs, such as `deployments`.
pub const PLURAL: &str = "x-kubernetes-plural";
/// Extension of a kind: the singular name of the resource, such as `deployment`.
pub const SINGULAR: &str = "x-kubernetes-singular";
/// Extension of a kind: the verbs that the API server accepts, such as `list`.
pub const VERBS: &str = "x-kubernetes-verbs";
/// Extension of a kind: the names of its subresources, such as `status`.
pub const SUBRESOURCES: &str = "x-kubernetes-subresources";
/// Extension of a kind: short names for people, such as `deploy`.
pub const SHORT_NAMES: &str = "x-kubernetes-short-names";
/// Extension of a kind: whether its version is the one that the API server prefers for the group.
pub const PREFERRED: &str = "x-kubernetes-preferred";

/// Suffix of the file of a document: `{path}.json`.
pub const FILE_SUFFIX: &str = ".json";
/// The file beside the documents that lists those of the listener.
pub const INDEX_FILE: &str = ".portolan-listener.json";
