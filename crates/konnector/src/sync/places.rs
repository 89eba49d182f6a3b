//! Places of an object and its copy, and the APIs to write them with.

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject},
};

use super::{key::ObjectKey, placement::Placement, spec::SyncSpec};
use crate::provider::NamespaceAnswer;

/// The two sides of one resource.
pub(super) struct SyncPlaces {
    pub(super) spec: SyncSpec,
    pub(super) consumer: Client,
}

impl SyncPlaces {
    pub(super) fn consumer(&self, key: &ObjectKey) -> Api<DynamicObject> {
        in_namespace(&self.consumer, &key.namespace, &self.spec.resource)
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

    /// The place of the copy, for people.
    pub(super) fn told(&self, key: &ObjectKey) -> String {
        let namespace = self.provider_namespace(key);
        if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") }
    }

    /// The place on the consumer of the object that a copy would be for.
    pub(super) fn origin_of(
        &self,
        copy: &DynamicObject,
        answered: impl FnOnce(&str) -> Option<String>,
    ) -> Option<ObjectKey> {
        let namespace = match self.spec.placement {
            Placement::Mapped { .. } => answered(&copy.namespace().unwrap_or_default())?,
            Placement::Prefixed | Placement::Contract | Placement::Same => String::new(),
        };
        let name = self.spec.placement.origin_name(&self.spec.session.namespace, &copy.name_any())?;
        Some(ObjectKey { namespace, name })
    }

    /// The same, with the namespaces as they are answered now.
    pub(super) fn origin_now(&self, copy: &DynamicObject) -> Option<ObjectKey> {
        self.origin_of(copy, |namespace| self.spec.session.namespaces.consumer_of(namespace))
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
