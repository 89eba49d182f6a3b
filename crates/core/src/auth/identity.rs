//! Identity of a token's holder: user name, uid, groups and extra, as kube-apiserver derives them.

use std::{borrow::Cow, collections::BTreeMap};

use super::{TokenClaims, TokenRefusal, UnverifiedToken, claims::Reference};
use crate::names::{is_dns_label, is_dns_subdomain};

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// More values under more keys.
pub type UserExtra = BTreeMap<Cow<'static, str>, Vec<String>>;

/// A user as a TokenReview describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserIdentity {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
    /// The uid of the account.
    pub uid: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Pod, node and id of the credential.
    pub extra: UserExtra,
}

impl UserIdentity {
    /// The `ServiceAccount` of the claims. The subject must say the same as the claims of Kubernetes.
    ///
    /// # Errors
    /// `Identity` when it does not, or when the names could not be those of a `ServiceAccount`.
    pub fn of(claims: &TokenClaims) -> Result<Self, TokenRefusal> {
        let kubernetes = claims.kubernetes.as_ref().ok_or(TokenRefusal::Identity)?;
        let account = &kubernetes.serviceaccount;
        let mut identity = Self::account(&kubernetes.namespace, &account.name, &account.uid)?;
        if claims.sub.as_deref() != Some(&identity.username) {
            return Err(TokenRefusal::Identity);
        }
        identity.extra = extra(claims, kubernetes.pod.as_ref(), kubernetes.node.as_ref());
        Ok(identity)
    }

    /// The `ServiceAccount` that a token names which the cluster itself will judge: only to compare it with
    /// the cluster's answer. Tokens kept in Secrets name it in claims of their own.
    ///
    /// # Errors
    /// `Malformed` or `Identity`.
    pub fn unverified(token: &UnverifiedToken<'_>) -> Result<Self, TokenRefusal> {
        let claims = TokenClaims::parse(token.payload())?;
        if !token.claims_to_be_legacy() {
            return Self::of(&claims);
        }
        let part = |part: &Option<String>| part.clone().ok_or(TokenRefusal::Identity);
        let (namespace, name) = (part(&claims.legacy_namespace)?, part(&claims.legacy_name)?);
        let identity = Self::account(&namespace, &name, &part(&claims.legacy_uid)?)?;
        if claims.sub.as_deref() == Some(&identity.username) {
            Ok(identity)
        } else {
            Err(TokenRefusal::Identity)
        }
    }

    fn account(namespace: &str, name: &str, uid: &str) -> Result<Self, TokenRefusal> {
        if !is_dns_label(namespace) || !is_dns_subdomain(name) || uid.is_empty() {
            return Err(TokenRefusal::Identity);
        }
        Ok(Self {
            username: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
            extra: UserExtra::new(),
        })
    }
}

fn extra(claims: &TokenClaims, pod: Option<&Reference>, node: Option<&Reference>) -> UserExtra {
    let mut extra = UserExtra::new();
    let mut put = |key: &'static str, value: String| extra.insert(key.into(), vec![value]);
    if let Some(jti) = claims.jti.as_ref().filter(|jti| !jti.is_empty()) {
        put(CREDENTIAL_ID, format!("JTI={jti}"));
    }
    if let Some(pod) = pod.filter(|pod| !pod.name.is_empty() && !pod.uid.is_empty()) {
        put(POD_NAME, pod.name.clone());
        put(POD_UID, pod.uid.clone());
    }
    if let Some(node) = node.filter(|node| !node.name.is_empty()) {
        put(NODE_NAME, node.name.clone());
        if !node.uid.is_empty() {
            put(NODE_UID, node.uid.clone());
        }
    }
    extra
}
