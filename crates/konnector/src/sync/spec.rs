//! The objects that an engine keeps in sync, and the parts of the konnector that it needs for it.

use std::sync::Arc;

use kube::{Client, api::ApiResource};
use portolan_runtime::events::EventReporter;

use super::{defaults::SchemaDefaults, keys::KeyRules, placement::Placement};
use crate::{metrics::KonnectorMetrics, provider::Session};

/// The objects that an engine keeps in sync. An engine whose spec changes is replaced.
#[derive(Clone)]
pub struct SyncSpec {
    /// The resource on the consumer, in the version to write it in.
    pub resource: ApiResource,
    /// The same on the provider.
    pub remote: ApiResource,
    /// `true` if status is a subresource on the consumer.
    pub has_status_subresource: bool,
    pub placement: Placement,
    /// Defaults that the consumer's API server fills in.
    pub defaults: Arc<SchemaDefaults>,
    /// The versions of the schema on both sides. What either stores of an object depends on it.
    pub schema: SchemaVersions,
    /// Uid of the export; another export of the same name is another engine.
    pub export_uid: String,
    pub session: Arc<Session>,
}

/// The versions of a resource's schema: of the provider's BoundSchema and of the consumer's CRD, by uid and
/// generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaVersions(pub [Option<(String, i64)>; 2]);

impl SyncSpec {
    pub fn is_same(&self, other: &Self) -> bool {
        self.resource == other.resource
            && self.remote == other.remote
            && self.placement == other.placement
            && self.schema == other.schema
            && self.has_status_subresource == other.has_status_subresource
            && self.export_uid == other.export_uid
            && Arc::ptr_eq(&self.session, &other.session)
    }
}

/// The parts of the konnector that engines need.
#[derive(Clone)]
pub struct EngineContext {
    pub consumer: Client,
    pub metrics: KonnectorMetrics,
    pub reporter: EventReporter,
    pub keys: KeyRules,
    /// Told when the state of an engine changes.
    pub on_state: Arc<dyn Fn() + Send + Sync>,
}
