//! Contents of a contract namespace: a cache of each kind, and whether it has been listed.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use parking_lot::RwLock;
use portolan_core::{
    api::kubebind::{APIServiceExport, APIServiceExportRequest, ClusterBinding},
    outline::SchemaOutline,
};
use portolan_runtime::cache::Cache;
use tokio::time::Instant;

use super::{
    absence::{AbsentExports, ExportAbsence},
    contact::ProviderContact,
    reflecting::ProviderChange,
};

/// The objects that the watches of a session show.
pub struct ContractContents {
    pub(super) namespace: String,
    pub exports: Cache<APIServiceExport>,
    pub schemas: Cache<SchemaOutline>,
    pub(super) requests: Cache<APIServiceExportRequest>,
    pub(super) cluster_bindings: Cache<ClusterBinding>,
    pub(super) absences: AbsentExports,
    pub(super) listed: RwLock<ListedKinds>,
}

/// The kinds whose first list has come.
#[derive(Default)]
pub(super) struct ListedKinds {
    exports: bool,
    schemas: bool,
    cluster_binding: bool,
    /// Since when the provider does not let us see whether there is one.
    cluster_binding_refused: Option<Instant>,
}

impl ContractContents {
    /// The exports, once they have been listed.
    pub fn exports(&self) -> Option<Vec<Arc<APIServiceExport>>> {
        self.listed.read().exports.then(|| self.exports.all())
    }

    /// The reason why an export is absent.
    pub fn absence(&self, name: &str) -> ExportAbsence {
        self.absences.of(name)
    }

    pub fn export(&self, name: &str) -> Option<Arc<APIServiceExport>> {
        self.exports.get_in(&self.namespace, name)
    }

    /// Returns `true` if the BoundSchemas have been listed.
    pub fn schemas_listed(&self) -> bool {
        self.listed.read().schemas
    }

    pub fn schema(&self, name: &str) -> Option<Arc<SchemaOutline>> {
        self.schemas.get_in(&self.namespace, name)
    }

    pub fn request(&self, name: &str) -> Option<Arc<APIServiceExportRequest>> {
        self.requests.get_in(&self.namespace, name)
    }

    /// The provider's name for people.
    pub fn pretty_name(&self) -> Option<String> {
        Some(self.cluster_binding()?.spec.provider_pretty_name.clone())
    }

    /// The same, once it is known whether there is one.
    pub(super) async fn cluster_binding_listed(&self) -> Option<Arc<ClusterBinding>> {
        self.cluster_bindings.synced().await;
        self.cluster_binding()
    }

    pub(super) fn cluster_binding(&self) -> Option<Arc<ClusterBinding>> {
        self.cluster_bindings.get_in(&self.namespace, "cluster")
    }

    /// Returns `true` if it is known whether the provider keeps a ClusterBinding. One that hides them for longer than
    /// the limit keeps none.
    pub(super) fn cluster_binding_is_known(&self, limit: Duration) -> bool {
        let listed = self.listed.read();
        listed.cluster_binding || listed.cluster_binding_refused.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Returns `true` if the provider shows whether there is a ClusterBinding.
    pub(super) fn shows_cluster_binding(&self) -> bool {
        self.listed.read().cluster_binding
    }

    /// Takes in what the watch of exports has shown, and notes which of them are withdrawn.
    pub(super) fn saw_exports(&self, change: &ProviderChange) {
        let names: Vec<_> = self.exports.all().iter().map(|export| export.name_any()).collect();
        self.absences.present(names.iter().map(String::as_str));
        match change {
            ProviderChange::Relisted => self.listed.write().exports = true,
            // It may be back already, as another, or is about to be.
            ProviderChange::Deleted { name, is_replaced: false } if !names.contains(name) => {
                self.absences.withdrawn(name);
            }
            ProviderChange::Deleted { .. } | ProviderChange::Applied | ProviderChange::Failed(_) => {}
        }
    }

    pub(super) fn saw_cluster_bindings(&self, change: &ProviderChange) {
        let mut listed = self.listed.write();
        match change {
            ProviderChange::Relisted => {
                listed.cluster_binding = true;
                listed.cluster_binding_refused = None;
            }
            ProviderChange::Failed(ProviderContact::Refused { .. }) => {
                listed.cluster_binding_refused.get_or_insert_with(Instant::now);
            }
            ProviderChange::Failed(_) | ProviderChange::Applied | ProviderChange::Deleted { .. } => {}
        }
    }

    pub(super) fn saw_schemas(&self, change: &ProviderChange) {
        if matches!(change, ProviderChange::Relisted) {
            self.listed.write().schemas = true;
        }
    }
}
