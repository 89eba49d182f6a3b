//! The rules of a chart as single rights.

use std::{collections::BTreeSet, fmt};

use portolan_testkit::{Rbac, service::Rule};

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) verb: String,
    pub(super) group: String,
    /// With the subresource, if there is one.
    pub(super) resource: String,
    /// Only objects of these names, where given.
    pub(super) names: Vec<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.names.is_empty() { Ok(()) } else { write!(f, " ({})", self.names.join(", ")) }
    }
}

/// Every right of a service, each once, wherever it is granted.
pub(super) fn rights(rbac: &Rbac) -> Vec<Right> {
    let namespaces = &rbac.namespace_rules;
    let rules = [
        &rbac.cluster_rules,
        &rbac.shared_rules,
        &rbac.name_rules,
        &namespaces.release,
        &namespaces.secret_namespaces,
        &namespaces.target_namespaces,
    ];
    let rights: BTreeSet<_> = rules.into_iter().flatten().flat_map(of_rule).collect();
    rights.into_iter().collect()
}

fn of_rule(rule: &Rule) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            rights.extend(rule.verbs.iter().map(|verb| Right {
                verb: verb.clone(),
                group: group.clone(),
                resource: resource.clone(),
                names: rule.resource_names.clone(),
            }));
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_as_many_rights_as_it_has_verbs_and_resources() {
        let text = "clusterRules: [{apiGroups: [a.b], resources: [x, x/status], verbs: [get, patch]}]\n\
                    namespaceRules: {release: [{apiGroups: [''], resources: [s], resourceNames: [n], verbs: [get]}]}";
        let said: Vec<_> = rights(&Rbac::parse(text).unwrap()).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["get s (n)", "get x.a.b", "get x/status.a.b", "patch x.a.b", "patch x/status.a.b"]);
    }
}
