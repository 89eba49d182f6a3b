//! The keys of one issuer: read from a JWKS that may hold anything, used to check signatures.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Algorithm, Claims, Refusal, UnverifiedToken,
    jwk::{Jwk, VerificationKey, usable},
};

/// More keys than an issuer has, even while it rotates them.
const MAX_KEYS: usize = 256;
/// How many keys a token may be tried with when it names none, or when several have its id.
const MAX_CANDIDATES: usize = 8;

/// The usable keys of an issuer.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    by_id: HashMap<String, Vec<VerificationKey>>,
    nameless: Vec<VerificationKey>,
    /// How many entries were skipped.
    pub skipped: usize,
}

/// A JWKS that gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Not a JSON object with a list `keys`.
    #[error("it is not a JSON Web Key Set")]
    NotASet,
    /// More than [`MAX_KEYS`].
    #[error("it has too many keys")]
    TooMany,
    /// Empty, or nothing usable in it.
    #[error("it has no usable key")]
    Empty,
}

impl Keys {
    /// Reads a JWKS. `algorithms` has those that the issuer says it uses. What is not usable is skipped one by one; a set without any usable key is an error, so
    /// that the last good one stays.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, InvalidKeys> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Set<'_> = serde_json::from_slice(json).map_err(|_| InvalidKeys::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let mut keys = Self::default();
        for entry in set.keys {
            let jwk = serde_json::from_str::<Jwk>(entry.get()).map_err(|_| "it is not a key");
            match jwk.and_then(|jwk| usable(&jwk, algorithms)) {
                Ok(key) => keys.add(key),
                Err(_reason) => keys.skipped += 1,
            }
        }
        if keys.is_empty() { Err(InvalidKeys::Empty) } else { Ok(keys) }
    }

    fn add(&mut self, key: VerificationKey) {
        match &key.id {
            Some(id) => self.by_id.entry(id.clone()).or_default().push(key),
            None => self.nameless.push(key),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.nameless.is_empty()
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.by_id.values().flatten().chain(&self.nameless)
    }

    /// Whether a key has this id.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The claims of a token that one of these keys has signed, and that is valid at `now`.
    ///
    /// # Errors
    /// `UnknownKey` when no key has the token's id; asking the issuer again may help then. Everything else is
    /// about the token.
    pub fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> Result<Claims, Refusal> {
        if token.unverified_issuer() != rules.issuer {
            return Err(Refusal::Issuer);
        }
        self.check_signature(token, rules.require_key_id)?;
        let claims = Claims::parse(token.payload())?;
        claims.check_time(now, rules.leeway)?;
        Ok(claims)
    }

    fn check_signature(&self, token: &UnverifiedToken<'_>, require_key_id: bool) -> Result<(), Refusal> {
        let algorithm = token.unverified_algorithm();
        let named = match token.unverified_key_id() {
            Some(id) => self.by_id.get(id).ok_or(Refusal::UnknownKey)?.iter().collect::<Vec<_>>(),
            None if require_key_id => return Err(Refusal::UnknownKey),
            None => self.iter().collect(),
        };
        let mut candidates =
            named.into_iter().filter(|key| key.is_for(algorithm)).take(MAX_CANDIDATES).peekable();
        if candidates.peek().is_none() {
            return Err(Refusal::Algorithm);
        }
        let right = candidates.any(|key| key.verifies(algorithm, token.signed(), token.signature()));
        if right { Ok(()) } else { Err(Refusal::Signature) }
    }
}

/// What a cluster asks of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The issuer, byte for byte.
    pub issuer: &'a str,
    /// For clocks that differ.
    pub leeway: SignedDuration,
    /// Whether a token must name its key. Those of Kubernetes do.
    pub require_key_id: bool,
}
