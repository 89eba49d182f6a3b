//! The outer form of a token, and the little that may be read from it before its signature is checked. Every
//! door takes tokens through here, so that one token has one verdict wherever it is shown.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

use super::{SigningAlgorithm, TokenRefusal};
use crate::object::Object;

/// Longer than any token that a cluster issues; those have one to two kilobytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The issuer of tokens that are kept in Secrets and never end, whatever the cluster calls itself otherwise.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
const MAX_KEY_ID_BYTES: usize = 512;
/// The types that a bearer token may have (RFC 7519, RFC 9068). One of another type, such as a logout token, was
/// made for something else (RFC 8725, 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// The token of a text: without the white space around it, which files and variables bring along and
/// kube-apiserver does not mind.
pub fn bare(text: &str) -> &str {
    text.trim()
}

/// A token that nobody has vouched for. It gives what is needed to find a key, and nothing else: use nothing
/// of it to decide.
pub struct UnverifiedToken<'a> {
    unverified_algorithm: SigningAlgorithm,
    unverified_key_id: Option<String>,
    unverified_issuer: String,
    claims_to_be_legacy: bool,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'a str,
    text: &'a str,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Outline {
    iss: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<IgnoredAny>,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    legacy_name: Option<IgnoredAny>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a compact JWS apart: three parts, URL-safe base64 without padding or stray bits, a header that
    /// names an asymmetric algorithm, a type of bearer tokens or none, and nothing critical, claims that name an
    /// issuer, each member once. White space around it does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::auth::UnverifiedToken;
    ///
    /// let text = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSJ9.AA";
    /// assert_eq!(UnverifiedToken::parse(text)?.unverified_issuer(), "https://a.example");
    /// # Ok::<(), portolan_core::auth::TokenRefusal>(())
    /// ```
    ///
    /// # Errors
    /// `TooLarge`, `Malformed`, `Algorithm` or `Type`.
    pub fn parse(text: &'a str) -> Result<Self, TokenRefusal> {
        let token = bare(text);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefusal::Malformed)?;
        // A dot is no base64: two of them are the only ones that pass.
        let header = decode(header)?;
        let Object::<Header<'_>>(header) =
            serde_json::from_slice(&header).map_err(|_| TokenRefusal::Malformed)?;
        let unverified_algorithm = header.alg.as_deref().and_then(SigningAlgorithm::parse);
        let unverified_algorithm = unverified_algorithm.ok_or(TokenRefusal::Algorithm)?;
        let long_key_id = header.kid.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_BYTES);
        if header.crit.is_some() || header.b64.is_some() || long_key_id {
            return Err(TokenRefusal::Malformed);
        }
        if !header.typ.as_deref().is_none_or(is_for_bearers) {
            return Err(TokenRefusal::Type);
        }
        let payload = decode(payload)?;
        let Object::<Outline>(outline) =
            serde_json::from_slice(&payload).map_err(|_| TokenRefusal::Malformed)?;
        let signature = decode(signature)?;
        Ok(Self {
            unverified_algorithm,
            unverified_key_id: header.kid,
            unverified_issuer: outline.iss,
            claims_to_be_legacy: outline.legacy_name.is_some() && outline.kubernetes.is_none(),
            payload,
            signature,
            signed,
            text: token,
        })
    }

    /// The algorithm that the token claims to be signed with.
    pub const fn unverified_algorithm(&self) -> SigningAlgorithm {
        self.unverified_algorithm
    }

    /// The id of the key that the token claims to be signed with.
    pub fn unverified_key_id(&self) -> Option<&str> {
        self.unverified_key_id.as_deref()
    }

    /// The issuer that the token claims. Use it only to choose whose keys to check it with.
    pub fn unverified_issuer(&self) -> &str {
        &self.unverified_issuer
    }

    /// Returns `true` if the token has the shape of those that were kept in Secrets. Their issuer does not tell: some
    /// clusters call themselves so.
    pub const fn claims_to_be_legacy(&self) -> bool {
        self.claims_to_be_legacy
    }

    /// Returns `true` if a cluster with these issuers can be the one that the token claims to come from. A token is
    /// shown to no other.
    pub fn claims_to_be_of(&self, issuers: &[String]) -> bool {
        let issuer = &self.unverified_issuer;
        issuers.contains(issuer) || self.claims_to_be_legacy && issuer == LEGACY_ISSUER
    }

    /// The whole token, for the cluster that is to judge it.
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The bytes that the signature covers.
    pub(super) const fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// The signature, in the form of JWS.
    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The text of the claims, for who has checked the signature or lets somebody else decide.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl std::fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnverifiedToken(..)")
    }
}

/// The `application/` of a type may be left out, and its case does not count (RFC 7515, 4.1.9).
fn is_for_bearers(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    TYPES.contains(&kind.strip_prefix("application/").unwrap_or(&kind))
}

fn decode(part: &str) -> Result<Vec<u8>, TokenRefusal> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefusal::Malformed)
}
