//! `x-cluster-metadata`: the connection to a cluster. `Debug` does not show its secrets.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::object::or_default;

/// The name of a cluster and the connection to it. `A` is its credential: who uses none reads `IgnoredAny`, and never
/// holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterMetadata<A = AuthMetadata> {
    /// URL of the API server.
    pub host: String,
    /// The path under which the cluster is served.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// The credential. Documents of other programs may have none.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub auth: Option<A>,
    /// The authorities of the server's certificate. If absent, the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaMetadata>,
    /// The name to verify the server's certificate against, if that is not the host of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Labels of the ClusterAccess.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Unlike a derived default, it asks nothing of `A`.
const fn none<A>() -> Option<A> {
    None
}

/// A credential in one of the document's forms. Its content is absent unless it was requested.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type")]
pub enum AuthMetadata {
    /// A bearer token.
    #[serde(rename = "token")]
    Token {
        /// The token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<EncodedSecret>,
    },
    /// A kubeconfig.
    #[serde(rename = "kubeconfig")]
    Kubeconfig {
        /// Its text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kubeconfig: Option<EncodedSecret>,
    },
    /// A client certificate.
    #[serde(rename = "clientCert", rename_all = "camelCase")]
    ClientCertificate {
        /// The certificate chain, as PEM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cert_data: Option<EncodedSecret>,
        /// The private key, as PEM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_data: Option<EncodedSecret>,
    },
}

/// Authorities of a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CaMetadata {
    /// PEM certificates, in base64.
    pub data: String,
}

impl ClusterMetadata {
    /// The same without the credential's content.
    #[must_use]
    pub fn without_credentials(&self) -> Self {
        Self { auth: self.auth.as_ref().map(AuthMetadata::without_content), ..self.clone() }
    }
}

impl AuthMetadata {
    fn without_content(&self) -> Self {
        match self {
            Self::Token { .. } => Self::Token { token: None },
            Self::Kubeconfig { .. } => Self::Kubeconfig { kubeconfig: None },
            Self::ClientCertificate { .. } => Self::ClientCertificate { cert_data: None, key_data: None },
        }
    }
}

impl CaMetadata {
    /// Encodes PEM certificates.
    pub fn of(pem: &[u8]) -> Self {
        Self { data: BASE64_STANDARD.encode(pem) }
    }

    /// The PEM certificates.
    ///
    /// # Errors
    /// If it is not base64.
    pub fn pem(&self) -> Result<Vec<u8>, base64::DecodeError> {
        decode(&self.data)
    }
}

/// Secret bytes that are base64 on the wire and hidden everywhere else.
#[derive(Clone)]
pub struct EncodedSecret(SecretSlice<u8>);

impl EncodedSecret {
    /// Encodes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec().into())
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for EncodedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl PartialEq for EncodedSecret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for EncodedSecret {}

impl Serialize for EncodedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.expose()))
    }
}

impl<'de> Deserialize<'de> for EncodedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The error of the base64 library reveals a byte of the secret.
        decode(&text).map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("a secret is not base64"))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64_STANDARD.decode(text.split_ascii_whitespace().collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;

    fn round_trip(value: &Value) -> ClusterMetadata {
        let metadata: ClusterMetadata = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(&serde_json::to_value(&metadata).unwrap(), value);
        metadata
    }

    #[test]
    fn the_wire_shape_is_that_of_the_document() {
        let with = |auth: Value| json!({"host": "https://h:6443", "path": "my", "auth": auth, "ca": {"data": "Q0E="}});
        let token = round_trip(&with(json!({"type": "token", "token": "czNjcmV0"})));
        let Some(AuthMetadata::Token { token: Some(secret) }) = &token.auth else { panic!("{token:?}") };
        assert_eq!(secret.expose(), b"s3cret");
        assert_eq!(token.ca.as_ref().unwrap().pem().unwrap(), b"CA");
        let kubeconfig = round_trip(&with(json!({"type": "kubeconfig", "kubeconfig": "czNjcmV0"})));
        let certificate =
            round_trip(&with(json!({"type": "clientCert", "certData": "czNjcmV0", "keyData": "czNjcmV0"})));
        for metadata in [token, kubeconfig, certificate] {
            assert!(!format!("{metadata:?}").contains("s3cret"), "{metadata:?}");
            let wire = serde_json::to_string(&metadata.without_credentials()).unwrap();
            assert!(!wire.contains("czNjcmV0") && wire.contains("\"type\""), "{wire}");
        }
    }

    #[test]
    fn what_others_wrote_is_read() {
        let table = [
            json!({"host": "https://h", "auth": {"type": "token", "token": "YQ=="}, "introspectionPath": "/x"}),
            json!({"host": "https://h"}),
            json!({"host": "https://h", "path": "p", "auth": {"type": "clientCert", "certData": "Y\nQ=="}}),
        ];
        for value in table {
            let read = serde_json::from_value::<ClusterMetadata>(value.clone());
            assert!(read.is_ok(), "{value}: {read:?}");
        }
        let unknown =
            json!({"host": "h", "path": null, "labels": null, "auth": {"type": "oidc", "token": 1}});
        assert!(serde_json::from_value::<ClusterMetadata<IgnoredAny>>(unknown).is_ok());
        let wrong = json!({"host": "h", "auth": {"type": "token", "token": "s3cret!"}});
        let error = serde_json::from_value::<ClusterMetadata>(wrong).unwrap_err().to_string();
        assert!(error.contains("not base64") && !error.contains("s3cret"), "{error}");
    }
}
