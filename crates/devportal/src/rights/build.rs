//! The Role of a requester, and its binding.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;
use portolan_core::api::devportal::LABEL_REQUESTER;

use crate::names::{RequesterAt, requester_label};

/// Annotation with the name of the requester.
pub const ANNOTATION_REQUESTER: &str = "devportal.kuadrant.io/requested-by";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Name of the Role and the RoleBinding of a user.
pub(super) fn name(user: &str) -> String {
    format!("devportal-keys-{}", requester_label(user))
}

fn metadata(at: &RequesterAt) -> ObjectMeta {
    ObjectMeta {
        name: Some(name(&at.user)),
        namespace: Some(at.namespace.clone()),
        labels: Some([(LABEL_REQUESTER.to_owned(), requester_label(&at.user))].into()),
        annotations: Some([(ANNOTATION_REQUESTER.to_owned(), at.user.clone())].into()),
        ..ObjectMeta::default()
    }
}

/// The Role for these Secrets; `None` without any, since a rule without names is about all Secrets.
pub(super) fn role(at: &RequesterAt, secrets: &[String]) -> Option<Role> {
    if secrets.is_empty() {
        return None;
    }
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["secrets".to_owned()]),
        resource_names: Some(secrets.to_vec()),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    Some(Role { metadata: metadata(at), rules: Some(vec![rule]) })
}

/// Returns `true` if nothing that a Role gives is taken away.
pub(super) fn only_adds(seen: &Role, wanted: &Role) -> bool {
    let names = |role: &Role| {
        let rules = role.rules.clone().unwrap_or_default();
        rules.into_iter().flat_map(|rule| rule.resource_names.unwrap_or_default()).collect::<Vec<_>>()
    };
    let wanted = names(wanted);
    names(seen).iter().all(|name| wanted.contains(name))
}

pub(super) fn binding(at: &RequesterAt) -> RoleBinding {
    let subject = Subject {
        api_group: Some(RBAC.to_owned()),
        kind: "User".to_owned(),
        name: at.user.clone(),
        namespace: None,
    };
    RoleBinding {
        metadata: metadata(at),
        role_ref: RoleRef { api_group: RBAC.to_owned(), kind: "Role".to_owned(), name: name(&at.user) },
        subjects: Some(vec![subject]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_is_ever_without_names() {
        let at = RequesterAt { namespace: "toystore".to_owned(), user: "user:default/alice".to_owned() };
        assert_eq!(role(&at, &[]), None);
        let built = role(&at, &["k1-apikey-secret".to_owned()]).unwrap();
        let rule = &built.rules.unwrap()[0];
        assert_eq!(rule.resource_names.as_deref(), Some(&["k1-apikey-secret".to_owned()][..]));
        assert_eq!(rule.verbs, ["get"]);
        assert_eq!(binding(&at).subjects.unwrap()[0].name, "user:default/alice");
    }

    #[test]
    fn only_what_adds_may_wait() {
        let at = RequesterAt { namespace: "toystore".to_owned(), user: "alice".to_owned() };
        let of = |names: &[&str]| {
            role(&at, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
        };
        for (seen, wanted, adds) in [
            (&["a"][..], &["a", "b"][..], true),
            (&["a", "b"], &["b"], false),
            (&["a"], &["b"], false),
            (&["b", "a"], &["a", "b"], true),
        ] {
            assert_eq!(only_adds(&of(seen), &of(wanted)), adds, "{seen:?} {wanted:?}");
        }
    }
}
