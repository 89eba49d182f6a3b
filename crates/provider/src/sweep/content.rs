//! Content of a namespace, of every kind that can be listed there.

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, PartialObjectMeta},
    discovery::{ApiCapabilities, Discovery, Scope, verbs},
};
use portolan_runtime::controller::ReconcileError;

use super::rights;
use crate::{context::ProviderContext, ignored::IgnoredContent};

/// Objects in a namespace, by kind and name.
pub(super) struct Content(Vec<(String, String)>);

impl Content {
    /// Lists everything. What cannot be listed may be there, so that is an error.
    pub(super) async fn of(context: &ProviderContext, namespace: &str) -> Result<Self, ReconcileError> {
        let failed = |error| ReconcileError::new("inspect namespace", namespace, error);
        let discovered = Discovery::new(context.client.clone()).run().await.map_err(failed)?;
        let mut found = Vec::new();
        for group in discovered.groups() {
            for (resource, capabilities) in group.resources_by_stability() {
                if !holds_objects(&resource.plural, &capabilities) {
                    continue;
                }
                let api: Api<DynamicObject> =
                    Api::namespaced_with(context.client.clone(), namespace, &resource);
                let list = api.list_metadata(&ListParams::default()).await.map_err(failed)?;
                let kind = match resource.group.as_str() {
                    "" => resource.plural.clone(),
                    group => format!("{}.{group}", resource.plural),
                };
                let named = |object: &PartialObjectMeta<DynamicObject>| (kind.clone(), object.name_any());
                found.extend(list.items.iter().map(named));
            }
        }
        Ok(Self(found))
    }

    /// Something that neither Kubernetes nor the platform nor we have put there.
    pub(super) fn first_foreign(&self, ignored: &[IgnoredContent]) -> Option<String> {
        let is_ignored = |kind: &str, name: &str| ignored.iter().any(|it| it.matches(kind, name));
        let foreign = self.0.iter().find(|(kind, name)| !is_standard(kind, name) && !is_ignored(kind, name));
        foreign.map(|(kind, name)| format!("{kind} {name}"))
    }
}

fn holds_objects(plural: &str, capabilities: &ApiCapabilities) -> bool {
    // Events tell of what was, and go by themselves.
    capabilities.scope == Scope::Namespaced
        && capabilities.supports_operation(verbs::LIST)
        && plural != "events"
}

/// Returns `true` if an object is one that every namespace has, or one that the provider puts into its own.
fn is_standard(kind: &str, name: &str) -> bool {
    match kind {
        "serviceaccounts" => name == "default",
        "configmaps" => name == "kube-root-ca.crt",
        "roles.rbac.authorization.k8s.io" | "rolebindings.rbac.authorization.k8s.io" => {
            name == crate::rights::NAME || name == rights::NAME
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: &str = "roles.rbac.authorization.k8s.io";
    const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";

    #[test]
    fn whatever_is_not_in_every_namespace_keeps_it() {
        let table = [
            (vec![], None),
            (vec![("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")], None),
            (vec![(ROLES, "kube-binder-exports"), (BINDINGS, "kube-binder-exports")], None),
            (vec![(ROLES, "kube-bind-sweep"), (BINDINGS, "kube-bind-sweep")], None),
            (vec![("serviceaccounts", "builder")], Some("serviceaccounts builder")),
            (vec![("serviceaccounts.cloud.dev", "default")], Some("serviceaccounts.cloud.dev default")),
            (vec![("configmaps", "mine")], Some("configmaps mine")),
            (vec![("secrets", "default")], Some("secrets default")),
            (vec![(ROLES, "mine")], Some("roles.rbac.authorization.k8s.io mine")),
            (vec![("serviceaccounts", "default"), ("cowboys.a.dev", "billy")], Some("cowboys.a.dev billy")),
            (vec![("persistentvolumeclaims", "data")], Some("persistentvolumeclaims data")),
        ];
        for (there, expected) in table {
            let there = there.into_iter().map(|(kind, name)| (kind.to_owned(), name.to_owned()));
            assert_eq!(Content(there.collect()).first_foreign(&[]).as_deref(), expected);
        }
        let ignored = ["configmaps/istio-*".parse().unwrap()];
        for (name, expected) in [("istio-ca-root-cert", None), ("mine", Some("configmaps mine"))] {
            let there = Content(vec![("configmaps".to_owned(), name.to_owned())]);
            assert_eq!(there.first_foreign(&ignored).as_deref(), expected);
        }
    }
}
