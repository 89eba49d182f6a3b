//! Hashes under keys that only this process has: they tell secrets apart, and say nothing about them.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// Hashes of 128 bits. Two of these have different keys.
///
/// ```
/// use portolan_runtime::keyed_hash::KeyedHash;
///
/// let hashes = KeyedHash::default();
/// assert_eq!(hashes.of("token"), hashes.of("token"));
/// assert_ne!(hashes.of("token"), hashes.of("another"));
/// ```
#[derive(Debug)]
pub struct KeyedHash([RandomState; 2]);

impl Default for KeyedHash {
    fn default() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }
}

impl KeyedHash {
    /// The hash of a value.
    pub fn of(&self, value: impl Hash) -> u128 {
        let [high, low] = self.0.each_ref().map(|key| u128::from(key.hash_one(&value)));
        (high << 64) | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_of_one_process_and_of_the_whole_value() {
        let (one, other) = (KeyedHash::default(), KeyedHash::default());
        assert_eq!(one.of(("a", "b")), one.of(("a", "b")));
        assert_ne!(one.of(("a", "b")), one.of(("ab", "")));
        assert_ne!(one.of("a"), other.of("a"));
        assert_ne!(one.of("a") >> 64, one.of("a") & u128::from(u64::MAX), "both halves count");
    }
}
