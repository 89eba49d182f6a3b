//! Short digests of JSON values: what a store keeps instead of a whole object.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// 128 bits of SHA-256 over a value's canonical form. Equal values have equal digests, whatever the
/// order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::digest::Digest;
    /// use serde_json::json;
    ///
    /// assert_eq!(Digest::of(&json!({"a": 1, "b": 2})), Digest::of(&json!({"b": 2, "a": 1})));
    /// assert_ne!(Digest::of(&json!(null)), Digest::ABSENT);
    /// ```
    pub fn of(value: &Value) -> Self {
        let mut hasher = Sha256::new();
        feed(&mut hasher, value);
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize()[..16]);
        Self(short)
    }

    /// The digest of nothing at all, which differs from that of `null`.
    pub const ABSENT: Self = Self([0; 16]);

    /// The digest of what this is the digest of, together with numbers.
    #[must_use]
    pub fn with(self, numbers: &[i64]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        for number in numbers {
            hasher.update(number.to_le_bytes());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize()[..16]);
        Self(short)
    }

    /// The digest of a value that may be missing.
    pub fn of_option(value: Option<&Value>) -> Self {
        value.map_or(Self::ABSENT, Self::of)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest that is made of parts, one after the other.
pub(crate) struct Feed(Sha256);

impl Feed {
    /// Of a kind of value.
    pub(crate) fn new(tag: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(tag);
        Self(hasher)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        feed_bytes(&mut self.0, b"", bytes);
        self
    }

    pub(crate) fn digest(mut self, digest: Digest) -> Self {
        self.0.update(digest.0);
        self
    }

    pub(crate) fn finish(self) -> Digest {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0.finalize()[..16]);
        Digest(short)
    }
}

/// The full SHA-256 of text, in lower-case hexadecimal.
pub fn sha256_hex(text: &[u8]) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        hex
    })
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => feed_bytes(hasher, b"#", number.to_string().as_bytes()),
        Value::String(text) => feed_bytes(hasher, b"\"", text.as_bytes()),
        Value::Array(items) => {
            feed_bytes(hasher, b"[", &[]);
            for item in items {
                feed(hasher, item);
            }
            hasher.update(b"]");
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| key.as_str());
            hasher.update(b"{");
            for (key, field) in fields {
                feed_bytes(hasher, b":", key.as_bytes());
                feed(hasher, field);
            }
            hasher.update(b"}");
        }
    }
}

/// The length stands before the bytes, so that no two sequences of values run together.
fn feed_bytes(hasher: &mut Sha256, tag: &[u8], bytes: &[u8]) {
    hasher.update(tag);
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// Values of which no two are equal.
    pub(crate) fn different() -> Vec<Value> {
        vec![
            json!(null),
            json!(0),
            json!("0"),
            json!(false),
            json!([]),
            json!({}),
            json!([[], []]),
            json!([[[]]]),
            json!(["a", "b"]),
            json!(["ab"]),
            json!({"a": "b"}),
            json!({"a": {"b": null}}),
            json!({"a": null, "b": null}),
        ]
    }

    /// Checks that no two of these values have one digest.
    pub(crate) fn assert_all_differ(values: &[Value], digest: impl Fn(&Value) -> Digest) {
        for (i, a) in values.iter().enumerate() {
            for b in &values[i + 1..] {
                assert_ne!(digest(a), digest(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn different_values_have_different_digests() {
        let values = different();
        assert_all_differ(&values, Digest::of);
        assert!(values.iter().all(|value| Digest::of(value) != Digest::ABSENT));
    }

    #[test]
    fn hexadecimal_is_that_of_the_standard() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
