//! Rights of a consumer on exported kinds in a namespace. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;
use portolan_core::api::kubebind::LABEL_MANAGED_BY;

use crate::{BINDER, MANAGED_BY};

/// Name of the Role with the rights on exported kinds, and of its binding.
pub const NAME: &str = "kube-binder-exports";
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// The Role with rights on exactly these resources, given as group and plural.
pub fn role<'a>(resources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Role {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (group, resource) in resources {
        groups.entry(group).or_default().insert(resource);
    }
    let rule = |(group, resources): (&str, BTreeSet<&str>)| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources.into_iter().map(str::to_owned).collect()),
        verbs: VERBS.map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    };
    Role { metadata: metadata(), rules: Some(groups.into_iter().map(rule).collect()) }
}

/// Gives the Role to the consumer of a contract namespace.
pub fn binding(contract: &str) -> RoleBinding {
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        name: BINDER.to_owned(),
        namespace: Some(contract.to_owned()),
        api_group: None,
    };
    let role_ref =
        RoleRef { api_group: RBAC_GROUP.to_owned(), kind: "Role".to_owned(), name: NAME.to_owned() };
    RoleBinding { metadata: metadata(), role_ref, subjects: Some(vec![subject]) }
}

/// Returns `true` if a Role grants what it should. One without rules has none on the wire.
pub fn grants(observed: &Role, desired: &Role) -> bool {
    let rules = |role: &Role| role.rules.clone().unwrap_or_default();
    rules(observed) == rules(desired)
}

/// Returns `true` if a binding gives the Role to the right subjects.
pub fn binds(observed: &RoleBinding, desired: &RoleBinding) -> bool {
    observed.role_ref == desired.role_ref && observed.subjects == desired.subjects
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_the_exported_resources_are_granted() {
        let role =
            role([("wildwest.dev", "sheriffs"), ("mangodb.com", "mangos"), ("wildwest.dev", "cowboys")]);
        assert_eq!(
            json!(role.rules),
            json!([
                {"apiGroups": ["mangodb.com"], "resources": ["mangos"], "verbs": VERBS},
                {"apiGroups": ["wildwest.dev"], "resources": ["cowboys", "sheriffs"], "verbs": VERBS},
            ])
        );
    }

    #[test]
    fn no_exports_means_no_rights() {
        let none = role([]);
        let on_the_wire: Role =
            serde_json::from_value(json!({"metadata": {"name": NAME}, "rules": null})).unwrap();
        assert!(grants(&on_the_wire, &none));
        assert!(!grants(&on_the_wire, &role([("wildwest.dev", "cowboys")])));
    }

    #[test]
    fn the_binding_is_for_the_account_of_the_contract() {
        let binding = binding("kube-bind-a");
        assert_eq!(
            json!(binding.subjects),
            json!([{"kind": "ServiceAccount", "name": "kube-binder", "namespace": "kube-bind-a"}])
        );
        assert!(binds(&binding, &super::binding("kube-bind-a")));
        assert!(!binds(&binding, &super::binding("kube-bind-b")));
    }
}
