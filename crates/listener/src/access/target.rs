//! A reachable cluster: its address, its authorities and our credential, made of what people wrote.

use std::fmt;

use jiff::Timestamp;
use portolan_core::{
    auth::compact::bare,
    digest::sha256_hex,
    kubeconfig::{self, KubeconfigCredentials, RestrictedKubeconfig},
    schema_document::{AuthMetadata, CaMetadata, ClusterMetadata, EncodedSecret},
};
use portolan_runtime::{authorities::CaBundle, tls::CertificateFacts};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{pem, spec};
use crate::problem::Problem;

/// A credential as it was read.
pub enum CredentialMaterial {
    Token(Vec<u8>),
    Kubeconfig(Vec<u8>),
    ClientCertificate { certificate: Vec<u8>, key: Vec<u8> },
}

/// The connection to a cluster.
#[derive(Clone, Debug)]
pub struct ClusterTarget {
    pub connection: RestrictedKubeconfig,
    auth: AuthMetadata,
    /// Changes whenever the connection has to be made again.
    pub fingerprint: TargetFingerprint,
}

/// A hash of everything that a connection depends on.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetFingerprint(String);

impl TargetFingerprint {
    pub fn of(text: &str) -> Self {
        Self(sha256_hex(text.as_bytes()))
    }
}

impl fmt::Debug for TargetFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..12])
    }
}

impl ClusterTarget {
    /// Makes a target of what was read. `host` and `authorities` take precedence over those of a kubeconfig.
    pub fn new(
        host: Option<&str>,
        authorities: Option<Vec<u8>>,
        material: CredentialMaterial,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let authorities = authorities.map(|pem| usable_authorities(&pem, "spec.ca")).transpose()?;
        let (mut connection, auth) = match material {
            CredentialMaterial::Kubeconfig(text) => of_kubeconfig(&text, host, now)?,
            CredentialMaterial::Token(bytes) => of_token(&bytes)?,
            CredentialMaterial::ClientCertificate { certificate, key } => {
                of_certificate(&certificate, &key, now)?
            }
        };
        if let Some(host) = host {
            host.clone_into(&mut connection.server);
        }
        if let Some(authorities) = authorities {
            connection.certificate_authority = Some(authorities);
        }
        let fingerprint = fingerprint(&connection);
        Ok(Self { connection, auth, fingerprint })
    }

    /// The same target, verified against a name other than the host.
    pub fn with_server_name(mut self, name: Option<String>) -> Self {
        self.connection.tls_server_name = name;
        self.fingerprint = fingerprint(&self.connection);
        self
    }

    /// The metadata that gateways get.
    pub fn metadata(
        &self,
        path: &str,
        labels: std::collections::BTreeMap<String, String>,
    ) -> ClusterMetadata {
        ClusterMetadata {
            host: self.connection.server.clone(),
            path: path.to_owned(),
            auth: Some(self.auth.clone()),
            ca: self.connection.certificate_authority.as_deref().map(CaMetadata::of),
            tls_server_name: self.connection.tls_server_name.clone(),
            labels,
        }
    }
}

fn of_token(bytes: &[u8]) -> Result<(RestrictedKubeconfig, AuthMetadata), Problem> {
    let invalid = |why: &str| {
        Problem::lasting("TokenInvalid", format!("the token {why}: put the bare token into the Secret"))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not text"))?;
    let token = bare(text);
    if token.is_empty() {
        return Err(invalid("is empty"));
    }
    if !has_usual_characters(token) {
        return Err(invalid("has characters that no token has"));
    }
    let auth = AuthMetadata::Token { token: Some(EncodedSecret::of(token.as_bytes())) };
    Ok((connection(KubeconfigCredentials::Token(SecretString::from(token.to_owned()))), auth))
}

fn has_usual_characters(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn of_certificate(
    certificate: &[u8],
    key: &[u8],
    now: Timestamp,
) -> Result<(RestrictedKubeconfig, AuthMetadata), Problem> {
    let (certificate, key) = pem::pair(certificate, key)?;
    check_end(&certificate, now)?;
    let auth = AuthMetadata::ClientCertificate {
        cert_data: Some(EncodedSecret::of(&certificate)),
        key_data: Some(EncodedSecret::of(key.expose_secret())),
    };
    Ok((connection(KubeconfigCredentials::ClientCertificate { certificate, key }), auth))
}

fn of_kubeconfig(
    text: &[u8],
    host: Option<&str>,
    now: Timestamp,
) -> Result<(RestrictedKubeconfig, AuthMetadata), Problem> {
    let invalid = |error: kubeconfig::KubeconfigError| {
        Problem::lasting("KubeconfigInvalid", format!("the kubeconfig cannot be used: {error}"))
    };
    let mut connection = kubeconfig::parse_of_cluster(text).map_err(invalid)?;
    if host.is_none() {
        connection.server = spec::host(&connection.server)?;
    }
    if let Some(authorities) = connection.certificate_authority.take() {
        connection.certificate_authority =
            Some(usable_authorities(&authorities, "certificate-authority-data")?);
    }
    match &connection.credentials {
        KubeconfigCredentials::Token(token) if !has_usual_characters(token.expose_secret()) => {
            let why = "the kubeconfig cannot be used: its token has characters that no token has";
            return Err(Problem::lasting("KubeconfigInvalid", why));
        }
        KubeconfigCredentials::Token(_) => {}
        KubeconfigCredentials::ClientCertificate { certificate, key } => {
            let (certificate, key) = pem::pair(certificate, key.expose_secret())?;
            check_end(&certificate, now)?;
            connection.credentials = KubeconfigCredentials::ClientCertificate { certificate, key };
        }
    }
    Ok((connection, AuthMetadata::Kubeconfig { kubeconfig: Some(EncodedSecret::of(text)) }))
}

fn connection(credentials: KubeconfigCredentials) -> RestrictedKubeconfig {
    RestrictedKubeconfig {
        server: String::new(),
        certificate_authority: None,
        tls_server_name: None,
        credentials,
        namespace: "default".to_owned(),
    }
}

/// The usable certificates of a bundle; a bad one does not spoil the others.
fn usable_authorities(pem: &[u8], of: &str) -> Result<Vec<u8>, Problem> {
    let bundle = CaBundle::read(pem)
        .map_err(|error| Problem::lasting("CaInvalid", format!("{of} cannot be used: {error}")))?;
    bundle.warn(of);
    Ok(bundle.to_pem().into_bytes())
}

fn check_end(certificate: &[u8], now: Timestamp) -> Result<(), Problem> {
    let facts = CertificateDer::from_pem_slice(certificate).ok().and_then(|der| CertificateFacts::of(&der));
    match facts.filter(|facts| facts.not_after < now) {
        None => Ok(()),
        Some(facts) => Err(Problem::lasting(
            "ClientCertificateExpired",
            format!("the client certificate ended at {}: renew it", facts.not_after),
        )),
    }
}

fn fingerprint(connection: &RestrictedKubeconfig) -> TargetFingerprint {
    let RestrictedKubeconfig { server, certificate_authority, tls_server_name, credentials, .. } = connection;
    let (a, b) = match credentials {
        KubeconfigCredentials::Token(token) => (b"token".as_slice(), token.expose_secret().as_bytes()),
        KubeconfigCredentials::ClientCertificate { certificate, key } => {
            (certificate.as_slice(), key.expose_secret())
        }
    };
    let ca = certificate_authority.as_deref().unwrap_or_default();
    let name = tls_server_name.as_deref().unwrap_or_default();
    let parts = [server.as_bytes(), ca, name.as_bytes(), a, b].map(sha256_hex);
    TargetFingerprint::of(&parts.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2030-01-01T00:00:00Z".parse().unwrap()
    }

    type KubeconfigEdit = fn(&mut Value);

    fn token(text: &str) -> Result<ClusterTarget, Problem> {
        ClusterTarget::new(
            Some("https://h"),
            None,
            CredentialMaterial::Token(text.as_bytes().to_vec()),
            now(),
        )
    }

    fn kubeconfig(change: impl FnOnce(&mut Value)) -> Result<ClusterTarget, Problem> {
        let mut value = json!({
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://k:6443", "tls-server-name": "kubernetes"}}],
            "users": [{"name": "u", "user": {"token": "s3cret"}}],
        });
        change(&mut value);
        ClusterTarget::new(None, None, CredentialMaterial::Kubeconfig(value.to_string().into_bytes()), now())
    }

    fn certificate(not_after: i32) -> (String, String) {
        let mut parameters = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(not_after, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn of_pair((certificate, key): (String, String)) -> Result<ClusterTarget, Problem> {
        let material = CredentialMaterial::ClientCertificate {
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        };
        ClusterTarget::new(Some("https://h"), None, material, now())
    }

    #[test]
    fn tokens_are_trimmed() {
        let metadata = token(" s3cret\n").unwrap().metadata("p", [("a".to_owned(), "b".to_owned())].into());
        let wire = serde_json::to_value(&metadata).unwrap();
        assert_eq!(wire["auth"], json!({"type": "token", "token": "czNjcmV0"}));
        assert_eq!(
            (&wire["host"], &wire["path"], &wire["labels"]),
            (&json!("https://h"), &json!("p"), &json!({"a": "b"}))
        );
        for bad in ["", "\n", "a b", "a\u{7}"] {
            assert_eq!(token(bad).unwrap_err().reason, "TokenInvalid", "{bad:?}");
        }
    }

    #[test]
    fn another_credential_is_another_connection() {
        assert_eq!(token("a").unwrap().fingerprint, token("a\n").unwrap().fingerprint);
        assert_ne!(token("a").unwrap().fingerprint, token("b").unwrap().fingerprint);
    }

    #[test]
    fn kubeconfigs_are_read_without_risk() {
        let target = kubeconfig(|_| ()).unwrap();
        let metadata = target.metadata("p", std::collections::BTreeMap::new());
        assert_eq!(metadata.host, "https://k:6443");
        assert_eq!(metadata.tls_server_name.as_deref(), Some("kubernetes"));
        assert!(!format!("{target:?}").contains("s3cret"));
        let table: [(KubeconfigEdit, &str); 9] = [
            (|v| v["users"][0]["user"]["token"] = json!("a\nb"), "its token has characters"),
            (|v| v["users"][0]["user"] = json!({"exec": {"command": "sh"}}), "exec"),
            (
                |v| v["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = json!(true),
                "insecure-skip-tls-verify",
            ),
            (|v| v["clusters"][0]["cluster"]["proxy-url"] = json!("http://p"), "proxy-url"),
            (|v| v["users"][0]["user"]["as"] = json!("admin"), "\"as\""),
            (|v| v["current-context"] = json!("gone"), "gone"),
            (|v| v["contexts"][0]["context"]["user"] = Value::Null, "user"),
            (|v| *v = json!("garbage"), "not a kubeconfig"),
            (|v| v["users"][0]["user"] = json!({}), "neither a token nor"),
        ];
        for (change, named) in table {
            let problem = kubeconfig(change).unwrap_err();
            assert_eq!(problem.reason, "KubeconfigInvalid");
            assert!(problem.message.contains(named), "{problem}");
        }
        let path = kubeconfig(|v| v["clusters"][0]["cluster"]["server"] = json!("https://k/clusters/a"));
        assert_eq!(path.unwrap_err().reason, "HostInvalid");
        let ca = kubeconfig(|v| v["clusters"][0]["cluster"]["certificate-authority-data"] = json!("Q0E="));
        assert_eq!(ca.unwrap_err().reason, "CaInvalid");
    }

    #[test]
    fn a_client_certificate_must_be_valid() {
        let target = of_pair(certificate(2040)).unwrap();
        let wire = serde_json::to_value(target.metadata("p", std::collections::BTreeMap::new())).unwrap();
        assert_eq!(wire["auth"]["type"], "clientCert");
        assert_eq!(of_pair(certificate(2025)).unwrap_err().reason, "ClientCertificateExpired");
        let (_, key) = certificate(2040);
        assert_eq!(of_pair((certificate(2040).0, key)).unwrap_err().reason, "ClientCertificateInvalid");
    }
}
