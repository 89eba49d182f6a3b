//! Tables of kubeconfigs that are read, and of those that are refused.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "provider",
        "contexts": [{"name": "provider", "context": {"cluster": "c", "user": "u", "namespace": "tenant-a"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://provider.example:6443/", "certificate-authority-data": "Q0E="}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
    })
}

fn with(pointer: &str, field: &str, value: Value) -> Value {
    let mut config = good();
    config.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
    config
}

fn parse_value(value: &Value) -> Result<RestrictedKubeconfig, KubeconfigError> {
    parse(value.to_string().as_bytes())
}

const CONTEXT: &str = "/contexts/0/context";
const CLUSTER: &str = "/clusters/0/cluster";
const USER: &str = "/users/0/user";

#[test]
fn a_token_kubeconfig_is_read() {
    let config = parse_value(&good()).unwrap();
    assert_eq!(config.server, "https://provider.example:6443");
    assert_eq!(config.namespace, "tenant-a");
    assert_eq!(config.certificate_authority.as_deref(), Some(b"CA".as_slice()));
    let KubeconfigCredentials::Token(token) = &config.credentials else { panic!("{config:?}") };
    assert_eq!(token.expose_secret(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_client_certificate_is_read() {
    let mut config = good();
    config["users"][0]["user"] = json!({"client-certificate-data": "Q0VS\nVA==", "client-key-data": "S0VZ"});
    let KubeconfigCredentials::ClientCertificate { certificate, key } =
        parse_value(&config).unwrap().credentials
    else {
        panic!("no certificate")
    };
    assert_eq!((certificate.as_slice(), key.expose_secret()), (b"CERT".as_slice(), b"KEY".as_slice()));
}

#[test]
fn what_would_act_inside_our_process_is_refused_by_name() {
    let table = [
        (USER, "exec", json!({"command": "sh"})),
        (USER, "auth-provider", json!({"name": "oidc"})),
        (USER, "tokenFile", json!("/etc/token")),
        (USER, "client-certificate", json!("/etc/cert")),
        (USER, "client-key", json!("/etc/key")),
        (USER, "username", json!("admin")),
        (USER, "password", json!("admin")),
        (USER, "as", json!("system:admin")),
        (USER, "as-uid", json!("1")),
        (USER, "as-groups", json!(["system:masters"])),
        (USER, "as-user-extra", json!({"a": ["b"]})),
        (CLUSTER, "certificate-authority", json!("/etc/ca")),
        (CLUSTER, "insecure-skip-tls-verify", json!(true)),
        (CLUSTER, "proxy-url", json!("http://proxy")),
    ];
    for (pointer, field, value) in table {
        let error = parse_value(&with(pointer, field, value)).unwrap_err();
        assert!(
            matches!(&error, KubeconfigError::Refused { field: refused, .. } if *refused == field),
            "{error}"
        );
    }
}

#[test]
fn a_field_that_is_empty_says_nothing() {
    let empty = [json!(null), json!(false), json!(""), json!(" \n"), json!([]), json!({}), json!([""])];
    for value in &empty {
        for (field, _) in REFUSED_OF_CLUSTER {
            assert!(parse_value(&with(CLUSTER, field, value.clone())).is_ok(), "{field}: {value}");
        }
        for (field, _) in REFUSED_OF_USER {
            assert!(parse_value(&with(USER, field, value.clone())).is_ok(), "{field}: {value}");
        }
    }
    let hollow = json!({"command": "", "args": null, "env": [], "provideClusterInfo": false});
    assert!(parse_value(&with(USER, "exec", hollow)).is_ok());
    assert!(parse_value(&with(USER, "auth-provider", json!({"name": "", "config": {}}))).is_ok());
    for (field, value) in [("tls-server-name", json!("")), ("extensions", json!(null))] {
        assert!(parse_value(&with(CLUSTER, field, value)).is_ok(), "{field}");
    }
    for field in ["client-certificate-data", "client-key-data"] {
        assert!(parse_value(&with(USER, field, json!(""))).is_ok(), "{field}");
    }
    for field in ["preferences", "extensions"] {
        assert!(parse_value(&with("", field, json!(null))).is_ok(), "{field}");
    }
}

#[test]
fn a_list_that_is_empty_is_a_list() {
    for (field, expected) in [
        ("contexts", r#"current context "provider" not found"#),
        ("clusters", r#"cluster "c" of the current context not found"#),
        ("users", r#"user "u" of the current context not found"#),
    ] {
        for empty in [json!(null), json!([])] {
            let error = parse_value(&with("", field, empty)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[test]
fn a_refused_field_is_not_empty_because_part_of_it_is() {
    for (pointer, field, value) in [
        (USER, "exec", json!({"command": "", "args": ["-c", ""]})),
        (USER, "exec", json!({"apiVersion": "client.authentication.k8s.io/v1"})),
        (USER, "auth-provider", json!({"config": {"id-token": "x"}})),
        (USER, "as-groups", json!(["", "system:masters"])),
        (USER, "as-user-extra", json!({"a": ["b"], "c": []})),
        (CLUSTER, "insecure-skip-tls-verify", json!("false")),
        (CLUSTER, "insecure-skip-tls-verify", json!(0)),
    ] {
        let error = parse_value(&with(pointer, field, value)).unwrap_err();
        assert!(matches!(&error, KubeconfigError::Refused { field: f, .. } if *f == field), "{error}");
    }
}

#[test]
fn users_and_clusters_of_other_contexts_do_not_count() {
    let mut config = good();
    config["users"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "other", "user": {"exec": {"command": "sh"}}}));
    assert!(parse_value(&config).is_ok());
}

#[test]
fn mistakes_are_named() {
    let table = [
        (with("", "current-context", json!(null)), r#"current context "" not found"#),
        (with("", "current-context", json!("nope")), r#"current context "nope" not found"#),
        (with(CONTEXT, "namespace", json!("")), r#"current context "provider" has no namespace set"#),
        (
            with(CONTEXT, "namespace", json!("A/B")),
            r#"current context "provider" has an invalid namespace "A/B""#,
        ),
        (with(CONTEXT, "cluster", json!("x")), r#"cluster "x" of the current context not found"#),
        (with(CONTEXT, "user", json!("x")), r#"user "x" of the current context not found"#),
        (
            with(CLUSTER, "server", json!("http://a")),
            r#"cluster "c" needs a server that starts with https://"#,
        ),
        (
            with(CLUSTER, "server", json!("https://u:p@a")),
            r#"cluster "c" needs a server that starts with https://"#,
        ),
        (
            with(CLUSTER, "certificate-authority-data", json!("%%")),
            r#"field "certificate-authority-data" of cluster "c" is not base64"#,
        ),
        (with(USER, "token", json!(7)), r#"field "token" of user "u" is not a string"#),
        (
            with(USER, "token", json!("")),
            r#"user "u" has neither a token nor client-certificate-data with client-key-data"#,
        ),
        (
            json!("just text"),
            "it is not a kubeconfig: expected lists of clusters, contexts and users, and current-context",
        ),
    ];
    for (config, expected) in table {
        assert_eq!(parse_value(&config).unwrap_err().to_string(), expected, "{config}");
    }
}

#[test]
fn broken_yaml_is_located_and_not_repeated() {
    let error = parse(b"users:\n- name: u\n  user: {token: s3cret\n").unwrap_err();
    assert!(matches!(error, KubeconfigError::NotYaml { line: 2.., .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"));
}

#[test]
fn size_is_bounded() {
    assert_eq!(parse(&vec![b' '; MAX_BYTES + 1]).unwrap_err(), KubeconfigError::TooLarge);
    assert_eq!(parse(&[0xff, 0xfe]).unwrap_err(), KubeconfigError::NotText);
}

#[test]
fn whoever_reads_a_whole_cluster_needs_no_namespace() {
    let without = with(CONTEXT, "namespace", Value::Null).to_string();
    assert_eq!(
        parse(without.as_bytes()).unwrap_err(),
        KubeconfigError::NamespaceMissing("provider".to_owned())
    );
    assert_eq!(parse_of_cluster(without.as_bytes()).unwrap().namespace, "default");
    assert_eq!(parse_of_cluster(good().to_string().as_bytes()).unwrap().namespace, "tenant-a");
    assert!(parse_of_cluster(with(CONTEXT, "namespace", json!("No")).to_string().as_bytes()).is_err());
}
