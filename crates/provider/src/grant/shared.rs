//! The ClusterRole of a consumer for kinds that it shares with others. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject},
};
use kube::{Resource as _, ResourceExt as _, api::ObjectMeta};
use portolan_core::api::kubebind::LABEL_MANAGED_BY;

use crate::{
    BINDER, MANAGED_BY,
    cluster_rights::{contract_of, name},
};

/// Begin of the names of ClusterRoles and their bindings; the contract namespace follows.
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Resources by group and plural.
pub(super) type Resources = BTreeSet<(String, String)>;

/// The ClusterRole; it is deleted with the contract namespace.
pub(super) fn role(contract: &Namespace, read: &Resources, write: &Resources) -> ClusterRole {
    let rules = rules(read, &READ).chain(rules(write, &WRITE)).collect();
    ClusterRole { metadata: metadata(contract), rules: Some(rules), aggregation_rule: None }
}

/// Kinds that a ClusterRole lets its consumer write.
pub(super) fn written_by(role: &ClusterRole) -> Resources {
    if contract_of(&role.name_any()).is_none() {
        return Resources::new();
    }
    let rules = role.rules.iter().flatten().filter(|rule| rule.verbs.iter().any(|verb| verb == "create"));
    let pairs = rules.flat_map(|rule| {
        let resources = || rule.resources.iter().flatten();
        let groups = rule.api_groups.iter().flatten();
        groups.flat_map(move |group| resources().map(|resource| (group.clone(), resource.clone())))
    });
    pairs.collect()
}

/// Gives the ClusterRole to the consumer.
pub(super) fn binding(contract: &Namespace) -> ClusterRoleBinding {
    let namespace = contract.name_any();
    let role_ref = RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: "ClusterRole".to_owned(),
        name: name(&namespace),
    };
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        name: BINDER.to_owned(),
        namespace: Some(namespace),
        api_group: None,
    };
    ClusterRoleBinding { metadata: metadata(contract), role_ref, subjects: Some(vec![subject]) }
}

fn rules<'a>(resources: &'a Resources, verbs: &'a [&'a str]) -> impl Iterator<Item = PolicyRule> + 'a {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (group, resource) in resources {
        groups.entry(group).or_default().push(resource.clone());
    }
    groups.into_iter().map(|(group, resources)| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    })
}

fn metadata(contract: &Namespace) -> ObjectMeta {
    ObjectMeta {
        name: Some(name(&contract.name_any())),
        labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
        owner_references: contract.owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_watched_across_the_cluster_is_read_and_what_stands_nowhere_is_written() {
        let contract: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "kube-bind-a", "uid": "u"}})).unwrap();
        let one = |resource: &str| BTreeSet::from([("wildwest.dev".to_owned(), resource.to_owned())]);
        let role = role(&contract, &one("cowboys"), &one("sheriffs"));
        assert_eq!(
            json!(role.rules),
            json!([
                {"apiGroups": ["wildwest.dev"], "resources": ["cowboys"], "verbs": READ},
                {"apiGroups": ["wildwest.dev"], "resources": ["sheriffs"], "verbs": WRITE},
            ])
        );
        assert_eq!(role.owner_references()[0].uid, "u");
        assert_eq!(written_by(&role), one("sheriffs"), "it is guarded for as long as the role is there");
        let binding = binding(&contract);
        assert_eq!(binding.role_ref.name, role.name_any());
        assert_eq!(contract_of(&binding.name_any()), Some("kube-bind-a"));
        assert_eq!(json!(binding.subjects)[0]["namespace"], "kube-bind-a");
    }
}
