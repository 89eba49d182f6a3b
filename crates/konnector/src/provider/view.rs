//! What a session knows of its provider's contract.

use std::sync::Arc;

use kube::{Api, Resource, runtime::reflector::ObjectRef};
use portolan_core::{
    api::kubebind::{APIServiceExport, APIServiceExportRequest, BoundSchema, ClusterBinding},
    outline::SchemaOutline,
};

use super::{absence::Absence, session::Session};

impl Session {
    /// The exports, once they have been listed.
    pub(crate) fn exports(&self) -> Option<Vec<Arc<APIServiceExport>>> {
        self.state.read().exports_listed.then(|| self.exports.state())
    }

    /// Why an export is not there.
    pub(crate) fn absence(&self, name: &str) -> Absence {
        self.absences.of(name)
    }

    pub(crate) fn export(&self, name: &str) -> Option<Arc<APIServiceExport>> {
        self.exports.get(&self.reference(name)).map(|export| self.written_exports.newest(export))
    }

    /// Whether the BoundSchemas have been listed.
    pub(crate) fn schemas_listed(&self) -> bool {
        self.state.read().schemas_listed
    }

    pub(crate) fn schema(&self, name: &str) -> Option<Arc<SchemaOutline>> {
        self.schemas.get(&self.reference(name)).map(|schema| self.written_schemas.newest(schema))
    }

    /// A schema with its bodies, read anew.
    pub(crate) async fn read_schema(&self, name: &str) -> kube::Result<Option<BoundSchema>> {
        let api: Api<BoundSchema> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await
    }

    pub(crate) fn request(&self, name: &str) -> Option<Arc<APIServiceExportRequest>> {
        self.requests.get(&self.reference(name))
    }

    /// The provider's name for people.
    pub(crate) fn pretty_name(&self) -> Option<String> {
        Some(self.cluster_binding()?.spec.provider_pretty_name.clone())
    }

    /// The same, once it is known whether there is one.
    pub(super) async fn cluster_binding_listed(&self) -> Option<Arc<ClusterBinding>> {
        // A writer is dropped only with the session.
        let _ = self.cluster_bindings.wait_until_ready().await;
        self.cluster_binding()
    }

    pub(super) fn cluster_binding(&self) -> Option<Arc<ClusterBinding>> {
        self.cluster_bindings.get(&self.reference("cluster"))
    }

    fn reference<K: Resource<DynamicType = ()>>(&self, name: &str) -> ObjectRef<K> {
        ObjectRef::new(name).within(&self.namespace)
    }
}
