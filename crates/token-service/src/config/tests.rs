//! The document's configuration, and every way to get one wrong.

use super::*;

/// The example of the docs is the one of the document.
const DOCUMENT: &str = include_str!("../../../../docs/examples/clusters.yaml");

#[test]
fn the_documents_configuration_is_read() {
    let config = ServiceConfig::parse(DOCUMENT).unwrap();
    let app1 = &config.clusters["app1"];
    assert_eq!(app1.api_server.as_deref(), Some("https://app1-cluster.example.com:6443"));
    assert_eq!((app1.mode, app1.on_outage), (VerificationMode::Jwks, OnOutage::Deny));
    assert_eq!(config.renewal.token_duration, Duration::from_secs(168 * 3600));
    assert!(config.auto.is_none() && config.callers.is_empty() && config.v1.enabled);
    assert_eq!((config.clusters.len(), config.files().len()), (3, 4));
}

#[test]
fn a_cluster_may_have_two_issuers_and_keys_at_a_url_with_a_query() {
    let text = "
clusters:
  a: {issuers: [https://new.test, https://old.test], api_server: https://a.test}
  b: {issuer: https://b.test, jwks_uri: 'https://keys.test/jwks?p=policy'}
";
    let config = ServiceConfig::parse(text).unwrap();
    let a = &config.clusters["a"];
    assert_eq!((a.issuer(), a.issuers.len()), ("https://new.test", 2));
    assert_eq!(config.clusters["b"].jwks_uri.as_deref(), Some("https://keys.test/jwks?p=policy"));
}

#[test]
fn what_belongs_to_a_route_and_a_caller_is_read() {
    let text = "
clusters: {a: {issuer: https://a.test, mode: hybrid, api_server: https://a.test, onOutage: accept}}
routes: [{host: API.a.kube-fed, usernamePrefix: 'a:', groups: [], extra: []}, {caller: vault}]
callers:
- {name: vault, certificate: {commonName: vault}, clusters: ['*']}
- {name: db, serviceAccount: {cluster: a, namespace: d, name: db, audience: ts}, clusters: [a]}
v1: {enabled: false, sunset: 2027-06-30T00:00:00Z}
rateLimits: {perCluster: 10}
";
    let config = ServiceConfig::parse(text).unwrap();
    assert_eq!(config.routes[0].username_prefix, "a:");
    assert_eq!(config.callers[0].clusters, None);
    assert_eq!(config.v1.sunset.as_deref(), Some("Wed, 30 Jun 2027 00:00:00 GMT"));
    assert_eq!(config.rate_limits.per_cluster, Some(10));
}

#[test]
fn mistakes_are_named() {
    let cluster = |members: &str| format!("clusters: {{a: {{issuer: https://a.test{members}}}}}");
    let with = |rest: &str| format!("{}\n{rest}", cluster(""));
    let table = [
        ("clusters: {}".to_owned(), "no clusters configured"),
        ("clusters: {a: {}}".to_owned(), "issuer is required"),
        ("clusters: {api: {issuer: https://a.test}}".to_owned(), "reserved"),
        ("clusters: {kube-fed: {issuer: https://a.test}}".to_owned(), "reserved"),
        ("clusters: {A: {issuer: https://a.test}}".to_owned(), "lower-case"),
        ("clusters: {a.b: {issuer: https://a.test}}".to_owned(), "lower-case"),
        ("clusters: {a: {issuer: http://a.test}}".to_owned(), "is not https"),
        ("clusters: {a: {issuer: a.test}}".to_owned(), "is not an https URL"),
        (cluster(", jwks_uri: 'ftp://k'"), "is not an https URL"),
        (cluster(", api_server: 'https://a', jwks_uri: 'ftp://k'"), "is not an https URL"),
        (cluster(", api_server: 'https://a?b'"), "has a query"),
        (cluster(", isuer: x"), "isuer"),
        (cluster(", issuers: [https://b.test]"), "issuer or issuers, not both"),
        ("clusters: {a: {issuers: []}}".to_owned(), "issuer is required"),
        ("clusters: {a: {issuers: ['']}}".to_owned(), "issuer is required"),
        ("clusters: {a: {issuers: [https://a, https://a]}}".to_owned(), "listed twice"),
        (cluster(", jwks_uri: 'ftp://a.test/keys'"), "is not an https URL"),
        (cluster(", api_server: https://a.test, jwks_uri: 'ftp://a.test/keys'"), "is not an https URL"),
        (cluster(", jwks_uri: 'https://a.test/keys#k'"), "is not an https URL"),
        (cluster(", api_server: 'https://a.test?x=y'"), "has a query"),
        (cluster(", mode: review"), "needs api_server"),
        (cluster(", token_path: /x"), "needs api_server"),
        (cluster(", leeway: 5m"), "at most 60s"),
        (cluster(", cache: 1m"), "at most 10s"),
        (cluster(", allow_addresses: [localhost]"), "not an address"),
        (with("renewal: {token_duration: 5m}"), "at least 10m"),
        (with("renewal: {renew_before: 200h}"), "shorter than token_duration"),
        (with("routes: [{host: a, path: /b}]"), "exactly one"),
        (with("routes: [{host: a, usernamePrefix: 'system:'}]"), "must not start"),
        (with("routes: [{path: /clusters/%61}]"), "without %"),
        (with("callers: [{name: x, clusters: [a]}]"), "exactly one"),
        (with("callers: [{name: x, certificate: {commonName: x}, clusters: [b]}]"), "no cluster"),
        (
            with(
                "callers: [{name: x, serviceAccount: {cluster: '*', namespace: d, name: x, audience: y}, clusters: [a]}]",
            ),
            "must be one cluster",
        ),
        (
            with(
                "callers: [{name: x, certificate: {commonName: x}, clusters: [a]}, {name: x, certificate: {commonName: y}, clusters: [a]}]",
            ),
            "caller 2: there is another caller \"x\"",
        ),
        (with("rateLimits: {perCaller: 0}"), "refuse everything"),
        (with("clusters: {b: {issuer: https://b.test}}"), "clusters"),
    ];
    for (text, expected) in table {
        let error = ServiceConfig::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
