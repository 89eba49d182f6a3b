//! View of a session on its provider's contract.

use std::{sync::Arc, time::Duration};

use kube::Api;
use portolan_core::{
    api::kubebind::{APIServiceExport, APIServiceExportRequest, BoundSchema, ClusterBinding},
    outline::SchemaOutline,
};

use super::{absence::ExportAbsence, session::Session};

impl Session {
    /// The exports, once they have been listed.
    pub(crate) fn exports(&self) -> Option<Vec<Arc<APIServiceExport>>> {
        self.state.read().exports_listed.then(|| self.exports.all())
    }

    /// The reason why an export is absent.
    pub(crate) fn absence(&self, name: &str) -> ExportAbsence {
        self.absences.of(name)
    }

    pub(crate) fn export(&self, name: &str) -> Option<Arc<APIServiceExport>> {
        self.exports.get_in(&self.namespace, name)
    }

    /// Returns `true` if the BoundSchemas have been listed.
    pub(crate) fn schemas_listed(&self) -> bool {
        self.state.read().schemas_listed
    }

    pub(crate) fn schema(&self, name: &str) -> Option<Arc<SchemaOutline>> {
        self.schemas.get_in(&self.namespace, name)
    }

    /// A schema with its bodies, read again.
    pub(crate) async fn read_schema(&self, name: &str) -> kube::Result<Option<BoundSchema>> {
        let api: Api<BoundSchema> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await
    }

    pub(crate) fn request(&self, name: &str) -> Option<Arc<APIServiceExportRequest>> {
        self.requests.get_in(&self.namespace, name)
    }

    /// The provider's name for people.
    pub(crate) fn pretty_name(&self) -> Option<String> {
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
        let state = self.state.read();
        state.cluster_binding_listed
            || state.cluster_binding_refused.is_some_and(|since| since.elapsed() >= limit)
    }
}
