//! The keys of one issuer: read from a JWKS that may hold anything, used to check signatures.

use std::{collections::HashMap, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    SigningAlgorithm, TokenClaims, TokenRefusal, UnverifiedToken,
    jwk::{Jwk, VerificationKey, usable},
};
use crate::{object::Object, text::quoted};

/// More keys than an issuer has, even while it rotates them.
const MAX_KEYS: usize = 256;
/// Limit on the keys that a token is tried with when it names none, or when several have its id.
const MAX_CANDIDATES: usize = 8;
/// Of so many skipped keys people are told why; of the others, how many there are.
const MAX_TOLD: usize = 4;

/// The usable keys of an issuer.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys {
    by_id: HashMap<String, Vec<VerificationKey>>,
    nameless: Vec<VerificationKey>,
    /// Keys of the set that cannot be used.
    pub skipped: SkippedKeys,
}

/// An entry of a set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Its place in the set, from 1.
    pub place: usize,
    /// The reason why it cannot be used.
    pub reason: &'static str,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "key {}: {}", quoted(id), self.reason),
            None => write!(f, "key number {}: {}", self.place, self.reason),
        }
    }
}

/// The entries of a set that cannot be used, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedKeys(pub Vec<SkippedKey>);

impl SkippedKeys {
    /// The reason why the key with this id cannot be used.
    pub fn reason(&self, id: &str) -> Option<&'static str> {
        self.0.iter().find(|key| key.id.as_deref() == Some(id)).map(|key| key.reason)
    }
}

impl fmt::Display for SkippedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().take(MAX_TOLD).enumerate() {
            write!(f, "{}{key}", if index == 0 { "" } else { "; " })?;
        }
        let more = self.0.len().saturating_sub(MAX_TOLD);
        if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
    }
}

/// A JWKS that gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson,
    /// Not a JSON object with a list `keys`.
    #[error("it is not a JSON Web Key Set: it has no list \"keys\"")]
    NotASet,
    /// More than [`MAX_KEYS`].
    #[error("it has too many keys")]
    TooMany,
    /// No key in it.
    #[error("it has no key")]
    Empty,
    /// Nothing usable in it.
    #[error("it has no usable key: {0}")]
    Unusable(SkippedKeys),
}

impl IssuerKeys {
    /// Reads a JWKS. `algorithms` has those that the issuer says it uses. What is not usable is skipped one by
    /// one; a set without any usable key is an error, so that the last good one stays.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn parse(json: &[u8], algorithms: &[SigningAlgorithm]) -> Result<Self, InvalidKeys> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Result<Object<Set<'_>>, _> = serde_json::from_slice(json);
        let Object(set) = set.map_err(|error| not_a_set(&error))?;
        if set.keys.len() > MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let mut keys = Self::default();
        for (index, entry) in set.keys.into_iter().enumerate() {
            match understood(entry.get(), algorithms) {
                Ok(key) => keys.add(key),
                Err((id, reason)) => keys.skipped.0.push(SkippedKey { id, place: index + 1, reason }),
            }
        }
        match (keys.is_empty(), keys.skipped.0.is_empty()) {
            (false, _) => Ok(keys),
            (true, true) => Err(InvalidKeys::Empty),
            (true, false) => Err(InvalidKeys::Unusable(keys.skipped)),
        }
    }

    fn add(&mut self, key: VerificationKey) {
        match &key.id {
            Some(id) => self.by_id.entry(id.clone()).or_default().push(key),
            None => self.nameless.push(key),
        }
    }

    /// Number of usable keys.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns `true` if no key is usable.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.nameless.is_empty()
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.by_id.values().flatten().chain(&self.nameless)
    }

    /// Returns `true` if a key has this id.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The claims of a token that one of these keys has signed, and that is valid at `now`.
    ///
    /// # Examples
    ///
    /// ```
    /// use jiff::{SignedDuration, Timestamp};
    /// use portolan_core::auth::{IssuerKeys, UnverifiedToken, keys::TokenRules};
    ///
    /// // The key and the token of RFC 7515, A.3.
    /// let keys = IssuerKeys::parse(
    ///     br#"{"keys": [{
    ///         "kty": "EC", "crv": "P-256",
    ///         "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    ///         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    ///     }]}"#,
    ///     &[],
    /// )?;
    /// let token = UnverifiedToken::parse(
    ///     "eyJhbGciOiJFUzI1NiJ9.\
    ///      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
    ///      DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    /// )
    /// .expect("a compact JWS");
    /// let issuers = ["joe".to_owned()];
    /// let rules = TokenRules { issuers: &issuers, leeway: SignedDuration::ZERO, require_key_id: false };
    /// let at = |second| Timestamp::from_second(second).expect("a time");
    /// assert_eq!(keys.verify(&token, &rules, at(1_300_819_379)).expect("a valid token").iss, "joe");
    /// assert!(keys.verify(&token, &rules, at(1_300_819_381)).is_err());
    /// # Ok::<(), portolan_core::auth::keys::InvalidKeys>(())
    /// ```
    ///
    /// # Errors
    /// `UnknownKey` when no key has the token's id; asking the issuer again may help then. Everything else is
    /// about the token.
    pub fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        rules: &TokenRules<'_>,
        now: Timestamp,
    ) -> Result<TokenClaims, TokenRefusal> {
        if !rules.issuers.iter().any(|issuer| issuer == token.unverified_issuer()) {
            return Err(TokenRefusal::Issuer);
        }
        self.check_signature(token, rules.require_key_id)?;
        let claims = TokenClaims::parse(token.payload())?;
        claims.check_time(now, rules.leeway)?;
        Ok(claims)
    }

    fn check_signature(&self, token: &UnverifiedToken<'_>, require_key_id: bool) -> Result<(), TokenRefusal> {
        let algorithm = token.unverified_algorithm();
        let named = match token.unverified_key_id() {
            Some(id) => self.by_id.get(id).ok_or(TokenRefusal::UnknownKey)?.iter().collect::<Vec<_>>(),
            None if require_key_id => return Err(TokenRefusal::UnknownKey),
            None => self.iter().collect(),
        };
        let mut candidates =
            named.into_iter().filter(|key| key.is_for(algorithm)).take(MAX_CANDIDATES).peekable();
        if candidates.peek().is_none() {
            return Err(TokenRefusal::Algorithm);
        }
        let right = candidates.any(|key| key.verifies(algorithm, token.signed(), token.signature()));
        if right { Ok(()) } else { Err(TokenRefusal::Signature) }
    }
}

fn not_a_set(error: &serde_json::Error) -> InvalidKeys {
    if error.is_data() { InvalidKeys::NotASet } else { InvalidKeys::NotJson }
}

/// The key of an entry, or its id and why it cannot be used.
fn understood(
    entry: &str,
    algorithms: &[SigningAlgorithm],
) -> Result<VerificationKey, (Option<String>, &'static str)> {
    #[derive(Deserialize)]
    struct Named {
        kid: Option<String>,
    }
    let named = || serde_json::from_str::<Object<Named>>(entry).ok().and_then(|Object(named)| named.kid);
    let jwk = serde_json::from_str::<Object<Jwk>>(entry);
    let Object(jwk) = jwk.map_err(|_| (named(), "it is not a JSON Web Key"))?;
    usable(&jwk, algorithms).map_err(|reason| (jwk.kid.clone(), reason))
}

/// The rules of a cluster for its tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenRules<'a> {
    /// Its issuers, byte for byte: one, or during a change the new and the old one.
    pub issuers: &'a [String],
    /// For clocks that differ.
    pub leeway: SignedDuration,
    /// `true` if a token must name its key. Those of Kubernetes do.
    pub require_key_id: bool,
}
