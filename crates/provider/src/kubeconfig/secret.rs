//! The Secret in the contract namespace that holds the consumer's kubeconfig, and when to renew it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{LABEL_MANAGED_BY, PROVIDER_KUBECONFIG},
    kubeconfig,
};

use super::render::{Access, render};
use crate::MANAGED_BY;

/// Annotation on the Secret: when its token was issued, RFC 3339.
pub const ANNOTATION_ISSUED: &str = "kube-bind.io/token-issued";
/// Annotation on the Secret: when its token expires, RFC 3339.
pub const ANNOTATION_EXPIRES: &str = "kube-bind.io/token-expires";
/// The token is renewed after this part of its life.
const RENEW_AFTER: f64 = 0.8;

/// The life of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    pub issued: Timestamp,
    pub expires: Timestamp,
}

impl TokenLife {
    /// Reads the life of the token from its Secret.
    pub fn of(secret: &Secret) -> Option<Self> {
        let time = |key: &str| secret.annotations().get(key)?.parse().ok();
        Some(Self { issued: time(ANNOTATION_ISSUED)?, expires: time(ANNOTATION_EXPIRES)? })
    }

    /// Lifetime of the token, in seconds.
    pub fn seconds(self) -> i64 {
        self.expires.as_second() - self.issued.as_second()
    }

    /// Time until the token is to be renewed; zero when it is due.
    pub fn left(self, now: Timestamp) -> std::time::Duration {
        let whole = self.expires.duration_since(self.issued);
        let due = self.issued.as_second() + whole.mul_f64(RENEW_AFTER).as_secs();
        std::time::Duration::from_secs(u64::try_from(due - now.as_second()).unwrap_or_default())
    }
}

/// The Secret to write.
pub fn secret(access: &Access, life: TokenLife) -> Secret {
    let annotations = [(ANNOTATION_ISSUED, life.issued), (ANNOTATION_EXPIRES, life.expires)];
    let content = ByteString(render(access).into_bytes());
    Secret {
        metadata: ObjectMeta {
            name: Some(PROVIDER_KUBECONFIG.to_owned()),
            labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
            annotations: Some(annotations.map(|(key, time)| (key.to_owned(), time.to_string())).into()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(PROVIDER_KUBECONFIG.to_owned(), content)])),
        ..Secret::default()
    }
}

/// The kubeconfig for a way in.
pub fn text(access: &Access) -> String {
    render(access)
}

/// The way in that a Secret describes, with another token. The error is for people.
pub fn with_token(secret: &Secret, token: String) -> Result<Access, String> {
    let content = secret.data.as_ref().and_then(|data| data.get(PROVIDER_KUBECONFIG));
    let content = content.ok_or_else(|| format!("it has no key {PROVIDER_KUBECONFIG}"))?;
    let known = kubeconfig::parse(&content.0).map_err(|error| error.to_string())?;
    let authority = known.certificate_authority.map(String::from_utf8).transpose();
    Ok(Access {
        server: known.server,
        tls_server_name: known.tls_server_name,
        certificate_authority: authority.map_err(|_| "its certificate authority is not PEM".to_owned())?,
        token,
        namespace: known.namespace,
    })
}

#[cfg(test)]
mod tests {
    use portolan_core::kubeconfig::KubeconfigCredentials;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn token_of(secret: &Secret) -> String {
        let content = &secret.data.as_ref().unwrap()[PROVIDER_KUBECONFIG];
        match kubeconfig::parse(&content.0).unwrap().credentials {
            KubeconfigCredentials::Token(token) => token.expose_secret().to_owned(),
            KubeconfigCredentials::ClientCertificate { .. } => panic!("a token is expected"),
        }
    }

    #[test]
    fn a_renewed_secret_differs_in_its_token_only() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let life = TokenLife { issued: time(1000), expires: time(2000) };
        let access = Access {
            server: "https://provider.example:6443".to_owned(),
            tls_server_name: Some("kubernetes".to_owned()),
            certificate_authority: None,
            token: "first".to_owned(),
            namespace: "kube-bind-a".to_owned(),
        };
        let first = secret(&access, life);
        assert_eq!(TokenLife::of(&first), Some(life));
        let renewed = secret(&with_token(&first, "second".to_owned()).unwrap(), life);
        assert_eq!((token_of(&first), token_of(&renewed)), ("first".to_owned(), "second".to_owned()));
        let back = secret(&with_token(&renewed, "first".to_owned()).unwrap(), life);
        assert_eq!(back, first);
        assert!(with_token(&Secret::default(), String::new()).is_err());
    }

    #[test]
    fn a_token_is_renewed_after_four_fifths_of_its_life() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let life = TokenLife { issued: time(1000), expires: time(2000) };
        for (now, left) in [(1000, 800), (1799, 1), (1800, 0), (9999, 0)] {
            assert_eq!(life.left(time(now)).as_secs(), left, "{now}");
        }
    }
}
