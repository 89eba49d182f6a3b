//! Validation of a ClusterAccess. The CRD refuses most mistakes; an older version of it may not.

use http::Uri;
use portolan_core::api::gateway::{
    ClusterAccess, ClusterAccessAuth, ClusterAccessCa, KeyReference, SecretReference,
    ServiceAccountReference, check_path,
};

use crate::problem::Problem;

/// A valid ClusterAccess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedAccess {
    pub path: String,
    /// The API server. If none, that of the kubeconfig.
    pub host: Option<String>,
    pub credential: CredentialSource,
    pub authorities: Option<AuthoritySource>,
}

/// The source of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    Token(KeyReference),
    Kubeconfig(KeyReference),
    ClientCertificate(SecretReference),
    ServiceAccount(ServiceAccountReference),
}

/// The source of the authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthoritySource {
    Secret(KeyReference),
    ConfigMap(KeyReference),
}

/// Validates a ClusterAccess on its own, without its references.
pub fn validate(access: &ClusterAccess) -> Result<ValidatedAccess, Problem> {
    let path = access.path().into_owned();
    check_path(&path).map_err(|error| Problem::lasting("PathInvalid", error.to_string()))?;
    let credential = credential(access.spec.auth.as_ref())?;
    let host = access.spec.host.as_deref().map(host).transpose()?;
    if host.is_none() && !matches!(credential, CredentialSource::Kubeconfig(_)) {
        let message = "host is required unless kubeconfigSecretRef auth is used";
        return Err(Problem::lasting("HostMissing", message));
    }
    let authorities = access.spec.ca.as_ref().map(authorities).transpose()?.flatten();
    Ok(ValidatedAccess { path, host, credential, authorities })
}

fn credential(auth: Option<&ClusterAccessAuth>) -> Result<CredentialSource, Problem> {
    let auth = auth.cloned().unwrap_or_default();
    let tokens = [auth.secret_ref, auth.token_secret_ref];
    let mut named: Vec<_> = tokens.into_iter().flatten().map(CredentialSource::Token).collect();
    named.extend(auth.kubeconfig_secret_ref.map(CredentialSource::Kubeconfig));
    named.extend(auth.client_certificate_ref.map(CredentialSource::ClientCertificate));
    named.extend(auth.service_account_ref.map(CredentialSource::ServiceAccount));
    match (named.pop(), named.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Problem::lasting(
            "AuthMissing",
            "spec.auth names no credential: set secretRef, kubeconfigSecretRef, clientCertificateRef or serviceAccountRef",
        )),
        (Some(_), false) => Err(Problem::lasting(
            "AuthAmbiguous",
            "only one of secretRef, tokenSecretRef, kubeconfigSecretRef, clientCertificateRef, or serviceAccountRef can be set",
        )),
    }
}

fn authorities(ca: &ClusterAccessCa) -> Result<Option<AuthoritySource>, Problem> {
    match (ca.secret_ref.clone(), ca.config_map_ref.clone()) {
        (Some(_), Some(_)) => Err(Problem::lasting(
            "CaAmbiguous",
            "only one of secretRef or configMapRef can be set in spec.ca",
        )),
        (Some(secret), None) => Ok(Some(AuthoritySource::Secret(secret))),
        (None, Some(config_map)) => Ok(Some(AuthoritySource::ConfigMap(config_map))),
        (None, None) => Ok(None),
    }
}

/// The URL of an API server, without a trailing slash.
pub fn host(text: &str) -> Result<String, Problem> {
    let wrong = |why: &str| {
        let text: String = text.chars().take(200).collect();
        Err(Problem::lasting("HostInvalid", format!("host {text:?} {why}, such as https://my-cluster:6443")))
    };
    if !text.contains("://") {
        return wrong("has no scheme: give the URL of the API server");
    }
    let Ok(url) = text.parse::<Uri>() else { return wrong("is not a URL: give that of the API server") };
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return wrong("is not a URL: give that of the API server");
    };
    if scheme != "https" {
        return wrong("is not https, and credentials are sent over TLS only: give an https URL");
    }
    if authority.as_str().contains('@') {
        return Err(Problem::lasting(
            "HostInvalid",
            "host holds a user name or password: put the credential into a Secret",
        ));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || text.contains('#') {
        return wrong("has a path: give scheme, host and port only");
    }
    let name = authority.host();
    if name.is_empty() {
        return wrong("names no host: give scheme, host and port");
    }
    // A port that cannot be read would be taken for the usual one: the credential would go to another server.
    match authority.as_str().strip_prefix(name) {
        Some("" | ":") => Ok(format!("https://{name}")),
        Some(port) if is_port(port) => Ok(format!("https://{authority}")),
        _ => wrong("has a port that is no number from 1 to 65535: give scheme, host and port"),
    }
}

/// Returns `true` for a colon and a number that a port may have.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: &Value) -> Result<ValidatedAccess, Problem> {
        let mut spec = spec.clone();
        spec["apiVersion"] = "gateway.platform-mesh.io/v1alpha1".into();
        spec["kind"] = "ClusterAccess".into();
        let access = json!({"metadata": {"name": "my-target-cluster"}, "spec": spec});
        validate(&serde_json::from_value(access).unwrap())
    }

    fn reason(spec: &Value) -> &'static str {
        of(spec).unwrap_err().reason
    }

    #[test]
    fn the_samples_of_the_document_are_sound() {
        let reference = || json!({"name": "s", "namespace": "default"});
        for auth in [
            "secretRef",
            "tokenSecretRef",
            "kubeconfigSecretRef",
            "clientCertificateRef",
            "serviceAccountRef",
        ] {
            let wanted = of(&json!({"host": "https://h:6443/", "auth": {auth: reference()}})).unwrap();
            assert_eq!(
                (wanted.path.as_str(), wanted.host.as_deref()),
                ("my-target-cluster", Some("https://h:6443"))
            );
        }
        let from_kubeconfig =
            of(&json!({"path": "prod.eu", "auth": {"kubeconfigSecretRef": reference()}})).unwrap();
        assert_eq!((from_kubeconfig.path.as_str(), from_kubeconfig.host), ("prod.eu", None));
        let ca = of(
            &json!({"host": "https://h", "auth": {"secretRef": reference()}, "ca": {"configMapRef": reference()}}),
        );
        assert!(matches!(ca.unwrap().authorities, Some(AuthoritySource::ConfigMap(_))));
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_or_without() {
        for (text, expected) in [
            ("https://h", "https://h"),
            ("https://h/", "https://h"),
            ("https://h:", "https://h"),
            ("HTTPS://My-Cluster.example:06443/", "https://My-Cluster.example:06443"),
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
            ("https://[::1]:6443/", "https://[::1]:6443"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "https://h:0",
            "https://h:65536",
            "https://h:abc",
            "https://h:+1",
            "https://:6443",
            "https://[::1]x:1",
            "https://h:1:2",
            "https://a b",
            " https://h",
            "//h",
            "://h",
        ] {
            assert_eq!(host(text).unwrap_err().reason, "HostInvalid", "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let token = || json!({"secretRef": {"name": "s", "namespace": "default"}});
        let both = json!({"secretRef": {"name": "s"}, "kubeconfigSecretRef": {"name": "k"}});
        let table = [
            (json!({"host": "https://h", "auth": both}), "AuthAmbiguous"),
            (json!({"host": "https://h"}), "AuthMissing"),
            (json!({"auth": token()}), "HostMissing"),
            (json!({"host": "h:6443", "auth": token()}), "HostInvalid"),
            (json!({"host": "http://h", "auth": token()}), "HostInvalid"),
            (json!({"host": "https://h/clusters/a", "auth": token()}), "HostInvalid"),
            (json!({"host": "https://h?x=1", "auth": token()}), "HostInvalid"),
            (json!({"host": "https://u:p@h", "auth": token()}), "HostInvalid"),
            (json!({"host": "https://", "auth": token()}), "HostInvalid"),
            (json!({"path": "a/../../x", "host": "https://h", "auth": token()}), "PathInvalid"),
            (json!({"path": "graphql", "host": "https://h", "auth": token()}), "PathInvalid"),
            (
                json!({"host": "https://h", "auth": token(), "ca": {"secretRef": {"name": "a"}, "configMapRef": {"name": "b"}}}),
                "CaAmbiguous",
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(reason(&spec), expected, "{spec}");
        }
        let secret = of(&json!({"host": "https://u:hunter2@h", "auth": token()})).unwrap_err();
        assert!(!secret.message.contains("hunter2"), "{secret}");
    }
}
