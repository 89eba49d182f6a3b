//! Claims that only a configured rule knows by name, such as `groups` or `tid`, compared where they stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserializer as _,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::UnverifiedToken;

/// Returns `true` if the claims of a token have all of these members. A member that is a list has each of its values.
/// A member that is there twice has none.
///
/// Only for tokens that [`super::IssuerKeys::verify`] has accepted: this looks at no signature.
pub fn has_members(token: &UnverifiedToken<'_>, wanted: &BTreeMap<String, Value>) -> bool {
    wanted.is_empty() || have(token.payload(), wanted)
}

/// One member of the claims as it is written, for tokens that [`super::IssuerKeys::verify`] has accepted.
pub fn member(token: &UnverifiedToken<'_>, name: &str) -> Option<Value> {
    let mut claims: serde_json::Map<String, Value> = serde_json::from_slice(token.payload()).ok()?;
    claims.remove(name)
}

fn have(claims: &[u8], wanted: &BTreeMap<String, Value>) -> bool {
    let found = serde_json::Deserializer::from_slice(claims).deserialize_map(Compare(wanted));
    found.is_ok_and(|right| right == wanted.len())
}

/// Counts the members that are as wanted.
struct Compare<'a>(&'a BTreeMap<String, Value>);

impl<'de> Visitor<'de> for Compare<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<usize, A::Error> {
        let (mut seen, mut right) = (BTreeSet::new(), 0);
        while let Some(name) = claims.next_key::<String>()? {
            let Some(wanted) = self.0.get(&name) else {
                claims.next_value::<IgnoredAny>()?;
                continue;
            };
            right += usize::from(is_or_has(&claims.next_value()?, wanted));
            if !seen.insert(name) {
                return Err(de::Error::custom("a member is there twice"));
            }
        }
        Ok(right)
    }
}

fn is_or_has(claim: &Value, wanted: &Value) -> bool {
    claim == wanted || claim.as_array().is_some_and(|list| list.contains(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_compared_as_they_are_written() {
        let claims = r#"{"tid":"t1","groups":["a","b"],"roles":["x"],"n":1,"d":{"e":1}}"#;
        let table = [
            (claims, json!({"tid": "t1"}), true),
            (claims, json!({"tid": "t1", "groups": "b"}), true),
            (claims, json!({"roles": ["x"], "n": 1, "d": {"e": 1}}), true),
            (claims, json!({"tid": "T1"}), false),
            (claims, json!({"n": "1"}), false),
            (claims, json!({"groups": "c"}), false),
            (claims, json!({"tid": "t1", "absent": true}), false),
            (r#"{"tid":"t2","tid":"t1"}"#, json!({"tid": "t1"}), false),
            ("[]", json!({"tid": "t1"}), false),
        ];
        for (claims, wanted, expected) in table {
            let members = serde_json::from_value(wanted.clone()).unwrap();
            assert_eq!(have(claims.as_bytes(), &members), expected, "{claims} {wanted}");
        }
    }
}
