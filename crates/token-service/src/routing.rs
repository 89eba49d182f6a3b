//! What becomes of an identity on its way to who asked: prefix and filters, which belong to a route.

use std::fmt;

use portolan_core::auth::Identity;

use crate::config::CallerConfig;

const CLUSTER_NAME: &str = "authentication.kubernetes.io/cluster-name";
/// Extra that says something about machines of the foreign cluster; a consumer must not take them for its own.
const FOREIGN_MACHINES: [&str; 4] = [
    "authentication.kubernetes.io/pod-name",
    "authentication.kubernetes.io/pod-uid",
    "authentication.kubernetes.io/node-name",
    "authentication.kubernetes.io/node-uid",
];
/// Nobody is this because another cluster says so.
const MASTERS: &str = "system:masters";

/// A rule for some of the questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) matcher: Matcher,
    /// Put before user name and groups; `{cluster}` stands for the name of the cluster.
    pub(crate) username_prefix: String,
    /// The groups that are passed on, as the cluster calls them; a `*` at the end stands for the rest.
    pub(crate) groups: Option<Vec<String>>,
    /// The keys of extra that are passed on.
    pub(crate) extra: Option<Vec<String>>,
}

/// Which questions a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    Host(String),
    Path(String),
    Caller(String),
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::Caller(caller) => write!(f, "caller {caller}"),
        }
    }
}

impl Route {
    pub(crate) fn is_for(&self, host: Option<&str>, path: &str, caller: Option<&CallerConfig>) -> bool {
        match &self.matcher {
            Matcher::Host(wanted) => host == Some(wanted),
            Matcher::Path(wanted) => {
                path.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            Matcher::Caller(wanted) => caller.is_some_and(|caller| caller.name == *wanted),
        }
    }
}

/// The identity as it is passed on. Without a route it stays as it is, which is what Vault needs.
pub(crate) fn passed_on(mut identity: Identity, cluster: &str, route: Option<&Route>) -> Identity {
    identity.groups.retain(|group| group != MASTERS);
    if let Some(route) = route {
        apply(&mut identity, cluster, route);
    }
    identity.groups.retain(|group| group != MASTERS);
    let wanted = route.and_then(|route| route.extra.as_ref());
    if wanted.is_none_or(|wanted| wanted.iter().any(|key| key == CLUSTER_NAME)) {
        identity.extra.insert(CLUSTER_NAME.into(), vec![cluster.to_owned()]);
    }
    identity
}

fn apply(identity: &mut Identity, cluster: &str, route: &Route) {
    if let Some(groups) = &route.groups {
        identity.groups.retain(|group| groups.iter().any(|pattern| fits(pattern, group)));
    }
    match &route.extra {
        Some(extra) => identity.extra.retain(|key, _| extra.iter().any(|wanted| wanted == key)),
        None if route.username_prefix.is_empty() => {}
        None => identity.extra.retain(|key, _| !FOREIGN_MACHINES.contains(&&**key)),
    }
    let prefix = route.username_prefix.replace("{cluster}", cluster);
    identity.username.insert_str(0, &prefix);
    for group in &mut identity.groups {
        group.insert_str(0, &prefix);
    }
}

/// Whether a text is what a pattern says, in which a `*` at the end stands for the rest.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Identity {
            username: "system:serviceaccount:d:a".to_owned(),
            uid: "1".to_owned(),
            groups: texts(&["system:serviceaccounts", "system:serviceaccounts:d", MASTERS]),
            extra: [(FOREIGN_MACHINES[0].into(), texts(&["p"])), (CLUSTER_NAME.into(), texts(&["lie"]))]
                .into(),
        }
    }

    fn route(prefix: &str, groups: Option<&[&str]>, extra: Option<&[&str]>) -> Route {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Route {
            matcher: Matcher::Host("h".to_owned()),
            username_prefix: prefix.to_owned(),
            groups: groups.map(texts),
            extra: extra.map(texts),
        }
    }

    #[test]
    fn without_a_route_only_masters_and_lies_are_taken_out() {
        let passed = passed_on(identity(), "a", None);
        assert_eq!(passed.username, "system:serviceaccount:d:a");
        assert_eq!(passed.groups, ["system:serviceaccounts", "system:serviceaccounts:d"]);
        assert_eq!(passed.extra[CLUSTER_NAME], ["a"]);
        assert_eq!(passed.extra[FOREIGN_MACHINES[0]], ["p"]);
    }

    #[test]
    fn a_prefix_is_for_groups_too_and_takes_foreign_machines_out() {
        let passed = passed_on(identity(), "a", Some(&route("{cluster}:", None, None)));
        assert_eq!(passed.username, "a:system:serviceaccount:d:a");
        assert_eq!(passed.groups, ["a:system:serviceaccounts", "a:system:serviceaccounts:d"]);
        assert!(!passed.extra.contains_key(FOREIGN_MACHINES[0]));
    }

    #[test]
    fn filters_name_what_is_passed_on() {
        let passed =
            passed_on(identity(), "a", Some(&route("", Some(&["system:serviceaccounts:*"]), Some(&[]))));
        assert_eq!(passed.groups, ["system:serviceaccounts:d"]);
        assert!(passed.extra.is_empty());
        let masters = passed_on(identity(), "a", Some(&route("", Some(&["*"]), None)));
        assert!(!masters.groups.iter().any(|group| group == MASTERS));
    }

    #[test]
    fn routes_are_chosen_by_host_path_or_caller() {
        let by = |matcher| Route { matcher, ..route("", None, None) };
        assert!(by(Matcher::Host("h".into())).is_for(Some("h"), "/", None));
        assert!(!by(Matcher::Host("h".into())).is_for(Some("x"), "/", None));
        assert!(by(Matcher::Path("/clusters/a".into())).is_for(None, "/clusters/a/apis", None));
        assert!(!by(Matcher::Path("/clusters/a".into())).is_for(None, "/clusters/ab/apis", None));
        assert!(!by(Matcher::Caller("x".into())).is_for(None, "/", None));
    }
}
