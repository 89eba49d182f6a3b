//! The claims of a cluster's token, read once and strictly. Times are compared with one that is passed in.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};

use super::{TokenRefusal, UnverifiedToken};
use crate::object::{self, Object};

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// More audiences than anybody asks for.
const MAX_AUDIENCES: usize = 64;

/// The claims of a token. A member that is there twice, or of another type, makes the whole token malformed; unknown
/// members are skipped, not kept.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenClaims {
    /// Issuer.
    pub iss: String,
    /// Subject.
    pub sub: Option<String>,
    /// Audiences: a text or a list of texts.
    #[serde(default, deserialize_with = "object::or_default")]
    pub aud: TokenAudiences,
    /// End.
    pub exp: Option<NumericDate>,
    /// Begin.
    pub nbf: Option<NumericDate>,
    /// Time of issue.
    pub iat: Option<NumericDate>,
    /// Id of the token.
    pub jti: Option<String>,
    /// The claim of Kubernetes about the account.
    #[serde(default, rename = "kubernetes.io", deserialize_with = "object::optional")]
    pub kubernetes: Option<KubernetesClaim>,
    /// Events that the token tells of, which tokens for bearers do not (RFC 8417).
    pub events: Option<IgnoredAny>,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub(super) legacy_namespace: Option<String>,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub(super) legacy_name: Option<String>,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub(super) legacy_uid: Option<String>,
}

/// The private claims of Kubernetes.
#[derive(Clone, Debug, Deserialize)]
pub struct KubernetesClaim {
    /// Namespace of the account.
    pub namespace: String,
    /// The account.
    #[serde(deserialize_with = "object::required")]
    pub serviceaccount: Reference,
    /// The pod that the token is bound to.
    #[serde(default, deserialize_with = "object::optional")]
    pub pod: Option<Reference>,
    /// The node of the pod, or the one that the token is bound to.
    #[serde(default, deserialize_with = "object::optional")]
    pub node: Option<Reference>,
}

/// Name and uid of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default, deserialize_with = "object::or_default")]
    pub name: String,
    /// Its uid.
    #[serde(default, deserialize_with = "object::or_default")]
    pub uid: String,
}

impl TokenClaims {
    /// The claims of a token that somebody else judges. Nothing here is trusted before it has.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn unverified(token: &UnverifiedToken<'_>) -> Result<Self, TokenRefusal> {
        Self::parse(token.payload())
    }

    /// Reads the claims.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, TokenRefusal> {
        serde_json::from_slice(payload).map(|Object(claims)| claims).map_err(|_| TokenRefusal::Malformed)
    }

    /// Checks that the token is valid at `now`. The end must be there. `leeway` is for clocks that differ.
    ///
    /// # Errors
    /// `Malformed` without an end, `Expired` or `NotYet`.
    pub fn check_time(&self, now: Timestamp, leeway: SignedDuration) -> Result<(), TokenRefusal> {
        let (now, leeway) = (now.as_second(), leeway.as_secs());
        let end = self.exp.ok_or(TokenRefusal::Malformed)?.0;
        if end <= now - leeway {
            return Err(TokenRefusal::Expired);
        }
        let later = |date: Option<NumericDate>| date.is_some_and(|date| date.0 > now + leeway);
        if later(self.nbf) || later(self.iat) { Err(TokenRefusal::NotYet) } else { Ok(()) }
    }
}

/// Whole seconds since 1970. JSON has an integer or a finite fraction; nothing before 1970 or after 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(pub i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;
        impl Visitor<'_> for Seconds {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<NumericDate, E> {
                let seconds = i64::try_from(value).ok().filter(|seconds| *seconds <= LAST_SECOND);
                seconds.map(NumericDate).ok_or_else(|| E::custom("out of range"))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<NumericDate, E> {
                #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
                let seconds = (0.0..=253_402_300_799.0).contains(&value).then(|| value.floor() as i64);
                seconds.map(NumericDate).ok_or_else(|| E::custom("out of range"))
            }
        }
        deserializer.deserialize_any(Seconds)
    }
}

/// The `aud` claim.
#[derive(Clone, Debug, Default)]
pub struct TokenAudiences(pub Vec<String>);

impl<'de> Deserialize<'de> for TokenAudiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = TokenAudiences;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<TokenAudiences, E> {
                Ok(TokenAudiences(vec![value.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TokenAudiences, A::Error> {
                let mut list = Vec::new();
                while let Some(audience) = seq.next_element()? {
                    if list.len() == MAX_AUDIENCES {
                        return Err(de::Error::custom("too many audiences"));
                    }
                    list.push(audience);
                }
                Ok(TokenAudiences(list))
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}
