//! Who owns what, as the admission policies of charts/devportal see it.

use kube::ResourceExt as _;
use portolan_core::api::devportal::{ANNOTATION_OWNER, APIKey, APIProduct, KeyPhase, PublishStatus};

use crate::access::AllowedNamespaces;

/// Label of a product: how far it has come.
pub const LABEL_LIFECYCLE: &str = "lifecycle";
/// Values of the label, the usual one first.
pub const LIFECYCLES: [&str; 4] = ["production", "experimental", "deprecated", "retired"];

/// The view of a caller, and its rights on its own objects.
#[derive(Clone, Debug)]
pub struct CallerView {
    pub user: String,
    /// Where it may list products.
    pub lists: AllowedNamespaces,
    /// Where it may do everything with products, and with keys.
    pub manages_products: AllowedNamespaces,
    pub manages_keys: AllowedNamespaces,
}

/// The owner of a product.
pub fn owner(product: &APIProduct) -> Option<&str> {
    product.annotations().get(ANNOTATION_OWNER).map(String::as_str).filter(|owner| !owner.is_empty())
}

/// The lifecycle of a product.
pub fn lifecycle(product: &APIProduct) -> &str {
    product.labels().get(LABEL_LIFECYCLE).map_or(LIFECYCLES[0], String::as_str)
}

pub fn is_published(product: &APIProduct) -> bool {
    product.spec.publish_status == PublishStatus::Published
}

/// Who asks for a key.
pub fn requester(key: &APIKey) -> &str {
    &key.spec.requested_by.user_id
}

/// Who decides about a key: the owner that the controller has noted.
pub fn decider(key: &APIKey) -> Option<&str> {
    let noted = key.status.as_ref().and_then(|status| status.product_owner.as_deref());
    noted.filter(|owner| !owner.is_empty())
}

impl CallerView {
    pub fn owns(&self, product: &APIProduct) -> bool {
        owner(product) == Some(&self.user)
    }

    /// Returns `true` if the caller may know of a product: of drafts, only those that are its own to change.
    pub fn sees_product(&self, product: &APIProduct) -> bool {
        let namespace = product.metadata.namespace.as_deref().unwrap_or_default();
        self.lists.has(namespace) && (is_published(product) || self.changes(product))
    }

    /// Returns `true` if the policies let the caller change a product.
    pub fn changes(&self, product: &APIProduct) -> bool {
        let namespace = product.metadata.namespace.as_deref().unwrap_or_default();
        self.owns(product) || self.manages_products.has(namespace)
    }

    pub fn requested(&self, key: &APIKey) -> bool {
        requester(key) == self.user
    }

    /// Returns `true` if the policies let the caller decide about a key.
    pub fn decides(&self, key: &APIKey) -> bool {
        let namespace = key.metadata.namespace.as_deref().unwrap_or_default();
        decider(key) == Some(&self.user) || self.manages_keys.has(namespace)
    }

    /// Returns `true` if the caller may know of a key.
    pub fn sees_key(&self, key: &APIKey) -> bool {
        self.requested(key) || self.decides(key)
    }

    /// The actions that the caller may take on a key with these rights.
    pub fn can(&self, key: &APIKey, rights: &KeyRights) -> Vec<&'static str> {
        let namespace = key.metadata.namespace.as_deref().unwrap_or_default();
        let phase = key.phase();
        let is_there = key.status.as_ref().is_some_and(|status| status.secret_ref.is_some());
        let manages = self.manages_keys.has(namespace);
        let table = [
            (
                "update",
                phase == KeyPhase::Pending && (self.requested(key) || manages) && rights.patch.has(namespace),
            ),
            ("delete", self.sees_key(key) && rights.delete.has(namespace)),
            (
                "approve",
                self.decides(key)
                    && rights.decide.has(namespace)
                    && matches!(phase, KeyPhase::Pending | KeyPhase::Approved),
            ),
            ("reveal", self.requested(key) && is_there && phase == KeyPhase::Approved),
        ];
        table.into_iter().filter(|(_, may)| *may).map(|(verb, _)| verb).collect()
    }
}

/// Where a caller has rights on keys.
#[derive(Clone, Debug)]
pub struct KeyRights {
    pub patch: AllowedNamespaces,
    pub delete: AllowedNamespaces,
    /// To patch the status.
    pub decide: AllowedNamespaces,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn product(owner: &str, publish: &str) -> APIProduct {
        serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": "p", "namespace": "a", "annotations": {"backstage.io/owner": owner}},
            "spec": {"displayName": "P", "publishStatus": publish, "targetRef": {"group": "g", "kind": "k", "name": "r"}},
        }))
        .unwrap()
    }

    fn key(phase: &str, owner: &str) -> APIKey {
        serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey",
            "metadata": {"name": "k", "namespace": "a"},
            "spec": {"apiProductRef": {"name": "p"}, "planTier": "gold", "requestedBy": {"userId": "ann", "email": "a@x.org"}},
            "status": {"phase": phase, "productOwner": owner, "secretRef": {"name": "s", "key": "api_key"}},
        }))
        .unwrap()
    }

    fn sight(user: &str, manages: bool) -> CallerView {
        let places =
            || if manages { AllowedNamespaces::Everywhere } else { AllowedNamespaces::Some(Vec::new()) };
        let lists = AllowedNamespaces::Some(vec!["a".to_owned()]);
        CallerView { user: user.to_owned(), lists, manages_products: places(), manages_keys: places() }
    }

    #[test]
    fn drafts_are_for_who_may_change_them() {
        let table = [
            ("bob", false, "Published", true),
            ("bob", false, "Draft", false),
            ("oli", false, "Draft", true),
            ("adm", true, "Draft", true),
        ];
        for (user, manages, publish, expected) in table {
            assert_eq!(
                sight(user, manages).sees_product(&product("oli", publish)),
                expected,
                "{user} {publish}"
            );
        }
        let nobody = CallerView { lists: AllowedNamespaces::Some(Vec::new()), ..sight("bob", false) };
        assert!(!nobody.sees_product(&product("oli", "Published")));
        assert!(!sight("", false).owns(&product("", "Draft")), "no owner is not everybody");
    }

    #[test]
    fn a_key_is_for_its_requester_and_who_decides() {
        let everywhere = KeyRights {
            patch: AllowedNamespaces::Everywhere,
            delete: AllowedNamespaces::Everywhere,
            decide: AllowedNamespaces::Everywhere,
        };
        let table: [(&str, bool, &str, &[&str]); 9] = [
            ("ann", false, "Pending", &["update", "delete"]),
            ("ann", false, "Approved", &["delete", "reveal"]),
            ("ann", false, "Rejected", &["delete"]),
            ("oli", false, "Pending", &["delete", "approve"]),
            ("oli", false, "Approved", &["delete", "approve"]),
            ("oli", false, "Rejected", &["delete"]),
            ("bob", false, "Approved", &[]),
            ("adm", true, "Pending", &["update", "delete", "approve"]),
            ("adm", true, "Expired", &["delete"]),
        ];
        for (user, manages, phase, expected) in table {
            assert_eq!(sight(user, manages).can(&key(phase, "oli"), &everywhere), expected, "{user} {phase}");
        }
        let nowhere = || AllowedNamespaces::Some(Vec::new());
        let none = KeyRights { patch: nowhere(), delete: nowhere(), decide: nowhere() };
        assert_eq!(sight("oli", false).can(&key("Pending", "oli"), &none), Vec::<&str>::new());
        assert!(!sight("bob", false).sees_key(&key("Approved", "oli")));
        assert!(!sight("", false).decides(&key("Pending", "")), "no owner is not everybody");
    }
}
