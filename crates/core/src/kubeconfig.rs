//! Restricted kubeconfigs: what is accepted from a Secret.
//!
//! A kubeconfig can run programs, read files, skip TLS verification and go through proxies. One that comes
//! from a Secret would do so inside our pod, on behalf of whoever can write that Secret. So the fields that
//! only name a server and carry a credential are read, and the others are refused by name.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{SecretSlice, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The largest kubeconfig that is read, in bytes: the API server's own limit for a Secret.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A kubeconfig that can be used without risk to the process that uses it.
#[derive(Clone, Debug)]
pub struct RestrictedKubeconfig {
    /// URL of the API server; always https.
    pub server: String,
    /// Certificate authorities to trust, as PEM. The platform's own when absent.
    pub certificate_authority: Option<Vec<u8>>,
    /// The name to verify the server's certificate against, when it is not the URL's host.
    pub tls_server_name: Option<String>,
    /// The credentials of the user.
    pub credentials: KubeconfigCredentials,
    /// The namespace of the current context: the contract namespace.
    pub namespace: String,
}

/// A credential of a restricted kubeconfig.
#[derive(Clone, Debug)]
pub enum KubeconfigCredentials {
    /// A bearer token.
    Token(SecretString),
    /// A client certificate with its key, both as PEM.
    ClientCertificate {
        /// The certificate chain.
        certificate: Vec<u8>,
        /// The private key.
        key: SecretSlice<u8>,
    },
}

/// Reasons why a kubeconfig cannot be used. No message repeats content of the kubeconfig other than names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// It is larger than [`MAX_BYTES`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// It is not UTF-8 text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is not YAML.
    #[error("it is not YAML (line {line}, column {column})")]
    NotYaml {
        /// Line of the mistake, from 1.
        line: u64,
        /// Column of the mistake, from 1.
        column: u64,
    },
    /// It is YAML of another shape.
    #[error("it is not a kubeconfig: expected lists of clusters, contexts and users, and current-context")]
    NotKubeconfig,
    /// The current context is not set, or names no context.
    #[error("current context {0:?} not found")]
    ContextNotFound(String),
    /// The current context names no namespace.
    #[error("current context {0:?} has no namespace set")]
    NamespaceMissing(String),
    /// The current context's namespace cannot exist.
    #[error("current context {context:?} has an invalid namespace {namespace:?}")]
    NamespaceInvalid {
        /// The context.
        context: String,
        /// Its namespace.
        namespace: String,
    },
    /// The current context names a cluster that is not there.
    #[error("cluster {0:?} of the current context not found")]
    ClusterNotFound(String),
    /// The current context names a user that is not there.
    #[error("user {0:?} of the current context not found")]
    UserNotFound(String),
    /// The server is missing or not an https URL.
    #[error("cluster {0:?} needs a server that starts with https://")]
    ServerInvalid(String),
    /// A field that would act inside our process.
    #[error("field {field:?} of {owner} is refused: {cure}")]
    Refused {
        /// The field.
        field: &'static str,
        /// The entry that has the field, for example `user "admin"`.
        owner: String,
        /// The field to use instead.
        cure: &'static str,
    },
    /// A field of the wrong type or encoding.
    #[error("field {field:?} of {owner} is not {expected}")]
    FieldInvalid {
        /// The field.
        field: &'static str,
        /// The entry that has the field.
        owner: String,
        /// The form that is expected.
        expected: &'static str,
    },
    /// No usable credential.
    #[error("user {0:?} has neither a token nor client-certificate-data with client-key-data")]
    CredentialsMissing(String),
}

const REFUSED_OF_CLUSTER: [(&str, &str); 3] = [
    ("certificate-authority", "use certificate-authority-data"),
    ("insecure-skip-tls-verify", "use certificate-authority-data or tls-server-name"),
    ("proxy-url", "the server must be reached directly"),
];

const REFUSED_OF_USER: [(&str, &str); 12] = [
    ("exec", "use a token or a client certificate"),
    ("auth-provider", "use a token or a client certificate"),
    ("tokenFile", "use token"),
    ("client-certificate", "use client-certificate-data"),
    ("client-key", "use client-key-data"),
    ("username", "use a token or a client certificate"),
    ("password", "use a token or a client certificate"),
    ("as", "use a credential of the identity itself"),
    ("as-uid", "use a credential of the identity itself"),
    ("as-groups", "use a credential of the identity itself"),
    ("as-user-extra", "use a credential of the identity itself"),
    ("impersonate", "use a credential of the identity itself"),
];

/// Reads a kubeconfig from the bytes of a Secret. Only the current context, its cluster and its user count.
///
/// # Examples
///
/// ```
/// use portolan_core::kubeconfig;
///
/// let text = r#"
/// current-context: acme
/// contexts:
/// - {name: acme, context: {cluster: provider, user: konnector, namespace: kube-bind-acme}}
/// clusters:
/// - {name: provider, cluster: {server: "https://provider.example:6443"}}
/// users:
/// - {name: konnector, user: {token: t}}
/// "#;
/// assert_eq!(kubeconfig::parse(text.as_bytes())?.namespace, "kube-bind-acme");
///
/// let error = kubeconfig::parse(text.replace("token: t", "tokenFile: /t").as_bytes()).unwrap_err();
/// assert_eq!(error.to_string(), r#"field "tokenFile" of user "konnector" is refused: use token"#);
/// # Ok::<(), kubeconfig::KubeconfigError>(())
/// ```
///
/// # Errors
/// Says what is wrong with it, and never repeats a credential.
pub fn parse(bytes: &[u8]) -> Result<RestrictedKubeconfig, KubeconfigError> {
    parse_with(bytes, namespace_of)
}

/// The same for whoever has no use for a namespace: one that is not named is `default`.
///
/// # Errors
/// As [`parse`].
pub fn parse_of_cluster(bytes: &[u8]) -> Result<RestrictedKubeconfig, KubeconfigError> {
    parse_with(bytes, |context, name| match text(context, "namespace") {
        "" => Ok("default".to_owned()),
        _ => namespace_of(context, name),
    })
}

fn parse_with(
    bytes: &[u8],
    namespace_of: impl Fn(&Map<String, Value>, &str) -> Result<String, KubeconfigError>,
) -> Result<RestrictedKubeconfig, KubeconfigError> {
    let file = read(bytes)?;
    let context_name = file.current_context.unwrap_or_default();
    let context = entry(file.contexts.as_deref(), &context_name, "context")
        .ok_or_else(|| KubeconfigError::ContextNotFound(context_name.clone()))?;
    let namespace = namespace_of(context, &context_name)?;

    let cluster_name = text(context, "cluster");
    let cluster = entry(file.clusters.as_deref(), cluster_name, "cluster")
        .ok_or_else(|| KubeconfigError::ClusterNotFound(cluster_name.to_owned()))?;
    let user_name = text(context, "user");
    let user = entry(file.users.as_deref(), user_name, "user")
        .ok_or_else(|| KubeconfigError::UserNotFound(user_name.to_owned()))?;

    let cluster = Fields { map: cluster, owner: format!("cluster {cluster_name:?}") };
    let user = Fields { map: user, owner: format!("user {user_name:?}") };
    cluster.refuse(&REFUSED_OF_CLUSTER)?;
    user.refuse(&REFUSED_OF_USER)?;
    Ok(RestrictedKubeconfig {
        server: server_of(cluster.map, cluster_name)?,
        certificate_authority: cluster.base64("certificate-authority-data")?,
        tls_server_name: cluster.string("tls-server-name")?,
        credentials: credentials_of(&user, user_name)?,
        namespace,
    })
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    clusters: Option<Vec<Map<String, Value>>>,
    contexts: Option<Vec<Map<String, Value>>>,
    users: Option<Vec<Map<String, Value>>>,
}

fn read(bytes: &[u8]) -> Result<File, KubeconfigError> {
    if bytes.len() > MAX_BYTES {
        return Err(KubeconfigError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KubeconfigError::NotText)?;
    let value: Value = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        KubeconfigError::NotYaml { line, column }
    })?;
    // A scalar is valid YAML, but whoever stored one did not mean a kubeconfig.
    if !value.is_object() {
        return Err(KubeconfigError::NotKubeconfig);
    }
    serde_json::from_value(value).map_err(|_| KubeconfigError::NotKubeconfig)
}

fn entry<'a>(
    list: Option<&'a [Map<String, Value>]>,
    name: &str,
    field: &str,
) -> Option<&'a Map<String, Value>> {
    let named = |item: &&Map<String, Value>| !name.is_empty() && text(item, "name") == name;
    list?.iter().find(named)?.get(field)?.as_object()
}

fn text<'a>(map: &'a Map<String, Value>, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn namespace_of(context: &Map<String, Value>, name: &str) -> Result<String, KubeconfigError> {
    match text(context, "namespace") {
        "" => Err(KubeconfigError::NamespaceMissing(name.to_owned())),
        namespace if crate::names::is_dns_label(namespace) => Ok(namespace.to_owned()),
        namespace => Err(KubeconfigError::NamespaceInvalid {
            context: name.to_owned(),
            namespace: namespace.chars().take(80).collect(),
        }),
    }
}

fn server_of(cluster: &Map<String, Value>, name: &str) -> Result<String, KubeconfigError> {
    let server = text(cluster, "server").trim_end_matches('/');
    let host = server.strip_prefix("https://").unwrap_or_default();
    // A user name or password in the URL would be sent, and logged, as part of every request.
    let invalid = host.is_empty() || host.contains(['@', ' ', '?', '#']);
    if invalid { Err(KubeconfigError::ServerInvalid(name.to_owned())) } else { Ok(server.to_owned()) }
}

fn credentials_of(user: &Fields<'_>, name: &str) -> Result<KubeconfigCredentials, KubeconfigError> {
    if let Some(token) = user.string("token")? {
        return Ok(KubeconfigCredentials::Token(token.trim().to_owned().into()));
    }
    let certificate = user.base64("client-certificate-data")?;
    let key = user.base64("client-key-data")?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Ok(KubeconfigCredentials::ClientCertificate { certificate, key: key.into() })
        }
        _ => Err(KubeconfigError::CredentialsMissing(name.to_owned())),
    }
}

struct Fields<'a> {
    map: &'a Map<String, Value>,
    owner: String,
}

impl Fields<'_> {
    fn refuse(&self, refused: &[(&'static str, &'static str)]) -> Result<(), KubeconfigError> {
        let says = |field: &str| self.map.get(field).is_some_and(|value| !is_empty(value));
        match refused.iter().find(|(field, _)| says(field)) {
            Some(&(field, cure)) => Err(KubeconfigError::Refused { field, owner: self.owner.clone(), cure }),
            None => Ok(()),
        }
    }

    fn string(&self, field: &'static str) -> Result<Option<String>, KubeconfigError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.invalid(field, "a string")),
        }
    }

    fn base64(&self, field: &'static str) -> Result<Option<Vec<u8>>, KubeconfigError> {
        let Some(text) = self.string(field)? else { return Ok(None) };
        let packed: String = text.split_whitespace().collect();
        BASE64_STANDARD.decode(packed).map(Some).map_err(|_| self.invalid(field, "base64"))
    }

    fn invalid(&self, field: &'static str, expected: &'static str) -> KubeconfigError {
        KubeconfigError::FieldInvalid { field, owner: self.owner.clone(), expected }
    }
}

/// Returns `true` if a field has no effect. Programs write many fields empty that people would leave out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
