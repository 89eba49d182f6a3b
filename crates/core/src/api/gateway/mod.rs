//! `gateway.platform-mesh.io`: the clusters whose APIs the gateway serves.
//!
//! [`ClusterAccess`] describes the connection to a cluster. The listener reads it, discovers the API of the cluster,
//! and hands that to gateways as a schema document.

mod cluster_access;
mod filter;
mod path;
mod references;

pub use cluster_access::{
    ClusterAccess, ClusterAccessAuth, ClusterAccessCa, ClusterAccessSpec, ClusterAccessStatus,
};
pub use filter::{KindSelector, SchemaFilter};
pub use path::{InvalidPath, MAX_PATH_LENGTH, RESERVED_PATHS, check_path};
pub use references::{KeyReference, SecretReference, ServiceAccountReference};

/// The API group of every kind in this module.
pub const GROUP: &str = "gateway.platform-mesh.io";
/// The storage version of every kind in this module.
pub const VERSION: &str = "v1alpha1";

/// Condition of a [`ClusterAccess`]: its schema document is there and up to date.
pub const CONDITION_READY: &str = "Ready";
/// Condition of a [`ClusterAccess`]: the document has every group-version that the cluster serves.
pub const CONDITION_COMPLETE: &str = "Complete";
/// Condition of a [`ClusterAccess`]: new APIs of the cluster are seen at once, by watches.
pub const CONDITION_WATCHED: &str = "Watched";

/// Reason of [`CONDITION_READY`] if it is true.
pub const REASON_SUCCEEDED: &str = "ReconcileSucceeded";
/// Reason: an older ClusterAccess has the same path.
pub const REASON_PATH_CONFLICT: &str = "PathConflict";
