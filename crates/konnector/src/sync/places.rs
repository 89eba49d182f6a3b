//! Places of an object and its copy, and the APIs to write them with.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};

use super::{engine::SyncEngine, key::ObjectKey, placement::Placement};
use crate::provider::NamespaceAnswer;

impl SyncEngine {
    pub(super) fn consumer(&self, key: &ObjectKey) -> Api<DynamicObject> {
        in_namespace(&self.context.consumer, &key.namespace, &self.spec.resource)
    }

    pub(super) fn provider(&self, key: &ObjectKey) -> Api<DynamicObject> {
        in_namespace(&self.spec.session.client, &self.provider_namespace(key), &self.spec.remote)
    }

    pub(super) fn copy_name(&self, key: &ObjectKey) -> String {
        self.spec.placement.copy_name(&self.spec.session.namespace, &key.name)
    }

    /// The place of copies of the objects of a consumer namespace; the empty namespace stands for none.
    pub(super) fn answer(&self, namespace: &str) -> NamespaceAnswer {
        match self.spec.placement {
            Placement::Mapped { .. } => self.spec.session.namespaces.state(namespace),
            Placement::Contract => NamespaceAnswer::Mapped(self.spec.session.namespace.clone()),
            Placement::Prefixed | Placement::Same => NamespaceAnswer::Mapped(String::new()),
        }
    }

    pub(super) fn provider_namespace(&self, key: &ObjectKey) -> String {
        match self.answer(&key.namespace) {
            NamespaceAnswer::Mapped(name) => name,
            // Steps that write to the provider are planned only for namespaces that were answered.
            NamespaceAnswer::Unknown | NamespaceAnswer::NotRequested | NamespaceAnswer::Requested => {
                String::new()
            }
        }
    }
}

/// The API for objects of a namespace; the empty one stands for none.
pub(super) fn in_namespace(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    }
}
