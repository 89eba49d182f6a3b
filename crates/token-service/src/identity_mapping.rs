//! Identity mapping: the prefix and the filters that a route of the configuration puts on an identity before it is
//! passed on.

use portolan_core::auth::{ReviewVersion, UserIdentity};

use crate::{
    config::{CallerConfig, ServiceConfig},
    host,
    mapping::{IdentityMapping, MappingMatcher},
    review::ReviewTarget,
};

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

/// The ways in which a question names its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Host,
    Path(String),
    Automatic,
}

impl Choice {
    /// The path of such questions in its one spelling: whoever asks may write it with `%` and two digits, and
    /// must not get around a route by that.
    pub fn path(&self, version: ReviewVersion) -> String {
        let reviews = format!("/apis/{}/tokenreviews", version.api_version());
        match self {
            Self::Host => reviews,
            Self::Path(cluster) => format!("/clusters/{cluster}{reviews}"),
            Self::Automatic => format!("/auto{reviews}"),
        }
    }
}

/// The target of a normalized host; `None` for a host that is nobody's.
pub fn target_of_host<'a>(config: &ServiceConfig, host: &'a str) -> Option<ReviewTarget<'a>> {
    if config.auto.as_ref().is_some_and(|hosts| hosts.contains(host)) {
        return Some(ReviewTarget::Auto);
    }
    host::cluster_of(host).map(ReviewTarget::Cluster)
}

/// Returns `true` if two normalized names of hosts mean the same: the same host, or the same cluster.
fn same_host(one: &str, other: &str) -> bool {
    let cluster = host::cluster_of(one);
    one == other || cluster.is_some() && cluster == host::cluster_of(other)
}

impl IdentityMapping {
    /// `host` is normalized, and `path` is the one of [`Choice::path`].
    pub fn is_for(&self, host: Option<&str>, path: &str, caller: Option<&CallerConfig>) -> bool {
        match &self.matcher {
            MappingMatcher::Host(wanted) => host.is_some_and(|host| same_host(host, wanted)),
            MappingMatcher::Path(wanted) => {
                path.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            MappingMatcher::Caller(wanted) => caller.is_some_and(|caller| caller.name == *wanted),
        }
    }
}

/// The mapping of a question: the first that fits.
pub fn mapping_for<'a>(
    config: &'a ServiceConfig,
    host: Option<&str>,
    (choice, version): (&Choice, ReviewVersion),
    caller: Option<&CallerConfig>,
) -> Option<&'a IdentityMapping> {
    // Most have none, and each question comes by here.
    if config.routes.is_empty() {
        return None;
    }
    let path = &choice.path(version);
    config.routes.iter().find(|route| route.is_for(host, path, caller)).map(|route| &**route)
}

/// The identity as it is passed on. Without a route it stays as it is, which is what Vault needs.
pub fn passed_on(mut identity: UserIdentity, cluster: &str, route: Option<&IdentityMapping>) -> UserIdentity {
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

fn apply(identity: &mut UserIdentity, cluster: &str, route: &IdentityMapping) {
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

/// Returns `true` if a text matches a pattern, in which a `*` at the end stands for the rest.
fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> UserIdentity {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        UserIdentity {
            username: "system:serviceaccount:d:a".to_owned(),
            uid: "1".to_owned(),
            groups: texts(&["system:serviceaccounts", "system:serviceaccounts:d", MASTERS]),
            extra: [(FOREIGN_MACHINES[0].into(), texts(&["p"])), (CLUSTER_NAME.into(), texts(&["lie"]))]
                .into(),
        }
    }

    fn route(prefix: &str, groups: Option<&[&str]>, extra: Option<&[&str]>) -> IdentityMapping {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        IdentityMapping {
            matcher: MappingMatcher::Host("h".to_owned()),
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
        let by = |matcher| IdentityMapping { matcher, ..route("", None, None) };
        assert!(by(MappingMatcher::Host("h".into())).is_for(Some("h"), "/", None));
        assert!(!by(MappingMatcher::Host("h".into())).is_for(Some("x"), "/", None));
        assert!(by(MappingMatcher::Path("/clusters/a".into())).is_for(None, "/clusters/a/apis", None));
        assert!(!by(MappingMatcher::Path("/clusters/a".into())).is_for(None, "/clusters/ab/apis", None));
        assert!(!by(MappingMatcher::Caller("x".into())).is_for(None, "/", None));
    }

    #[test]
    fn a_host_of_a_route_means_its_cluster_in_every_spelling() {
        let table = [
            ("api.app1.kube-fed.svc", "api.app1.kube-fed.svc.cluster.local", true),
            ("api.app1.kube-fed", "api.app1.kube-fed.svc", true),
            ("api.kube-fed", "api.local.kube-fed.svc", true),
            ("api.app1.kube-fed", "api.app2.kube-fed", false),
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "b.example.com", false),
        ];
        for (host, wanted, expected) in table {
            let route =
                IdentityMapping { matcher: MappingMatcher::Host(wanted.to_owned()), ..route("", None, None) };
            assert_eq!(route.is_for(Some(host), "/", None), expected, "{host} {wanted}");
        }
    }

    #[test]
    fn each_choice_has_one_path() {
        let table = [
            (Choice::Host, "/apis/authentication.k8s.io/v1/tokenreviews"),
            (Choice::Path("a".to_owned()), "/clusters/a/apis/authentication.k8s.io/v1/tokenreviews"),
            (Choice::Automatic, "/auto/apis/authentication.k8s.io/v1/tokenreviews"),
        ];
        for (choice, expected) in table {
            assert_eq!(choice.path(ReviewVersion::V1), expected);
        }
        let older = Choice::Path("a".to_owned()).path(ReviewVersion::V1beta1);
        assert_eq!(older, "/clusters/a/apis/authentication.k8s.io/v1beta1/tokenreviews");
    }

    #[test]
    fn a_host_is_automatic_a_clusters_or_nobodys() {
        let text = "{clusters: {a: {issuer: https://a.test}}, auto: {hosts: [any.test, api.b.kube-fed]}}";
        let config = ServiceConfig::parse(text).unwrap();
        let table = [
            ("any.test", Some(ReviewTarget::Auto)),
            ("api.b.kube-fed", Some(ReviewTarget::Auto)),
            ("api.a.kube-fed.svc", Some(ReviewTarget::Cluster("a"))),
            ("evil.example.com", None),
        ];
        for (host, expected) in table {
            assert_eq!(target_of_host(&config, host), expected, "{host}");
        }
    }
}
