//! Changes in the cluster, and the groups of objects that they concern.

use portolan_core::foreign::TargetKind;

use crate::names::{ObjectName, RequesterAt};

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchedKind {
    Product,
    Key,
    Route,
    PlanPolicy,
    AuthPolicy,
    Secret,
    Rights,
}

/// A change in the cluster.
#[derive(Clone, Debug)]
pub enum ClusterChange {
    /// A kind was relisted: any object may differ, or be gone.
    Relisted(WatchedKind),
    Product(ObjectName),
    Key(ObjectName),
    Route(ObjectName),
    PlanPolicy(ObjectName),
    AuthPolicy(ObjectName),
    /// The Secret of the key of this name.
    SecretOf(ObjectName),
    /// A Role or RoleBinding of a requester.
    Rights(RequesterAt),
}

/// The target of policies.
pub type TargetName = (TargetKind, ObjectName);

/// The groups of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyGroup {
    Product(ObjectName),
    Requester(RequesterAt),
}
