//! The values of API keys: 256 random bits with a prefix and a checksum, so that scanners for leaked secrets know them.

use aws_lc_rs::rand;
use portolan_core::digest::sha256_hex;
use secrecy::SecretString;

/// Prefix of every key.
pub const PREFIX: &str = "ptlk_";
/// Number of random characters: 43 of 62 kinds are 256 bits.
const LENGTH: usize = 43;
/// Digits of the checksum: the beginning of the SHA-256 of prefix and random characters.
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes from here on would make some characters likelier than others.
const FAIR: u8 = 248;

/// A fresh key.
///
/// # Errors
/// When the system has no random numbers.
pub fn fresh() -> Result<SecretString, NoRandomness> {
    let mut text = String::with_capacity(PREFIX.len() + LENGTH + CHECKSUM);
    text.push_str(PREFIX);
    while text.len() < PREFIX.len() + LENGTH {
        let mut bytes = [0; LENGTH];
        rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        let fair = bytes.into_iter().filter(|byte| *byte < FAIR);
        let wanted = PREFIX.len() + LENGTH - text.len();
        text.extend(fair.take(wanted).map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])));
    }
    let checksum = checksum(&text);
    text.push_str(&checksum);
    Ok(SecretString::from(text))
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system has no random numbers")]
pub struct NoRandomness;

fn checksum(text: &str) -> String {
    sha256_hex(text.as_bytes())[..CHECKSUM].to_owned()
}

/// Returns `true` if a text is a key of ours.
pub fn is_key(text: &str) -> bool {
    let Some(body) = text.len().checked_sub(CHECKSUM) else { return false };
    text.is_ascii()
        && text.starts_with(PREFIX)
        && text.len() == PREFIX.len() + LENGTH + CHECKSUM
        && checksum(&text[..body]) == text[body..]
}

/// Hides keys that somebody has written into a text.
pub fn masked(text: &str) -> String {
    let whole = PREFIX.len() + LENGTH + CHECKSUM;
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        shown.push_str(&rest[..at]);
        let end = at + whole;
        if rest.get(at..end).is_some_and(is_key) {
            shown.push_str(PREFIX);
            shown.push_str("***");
            rest = &rest[end..];
        } else {
            shown.push_str(PREFIX);
            rest = &rest[at + PREFIX.len()..];
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn keys_are_known_by_prefix_and_checksum_and_never_repeat() {
        let keys: BTreeSet<_> = (0..100).map(|_| fresh().unwrap().expose_secret().to_owned()).collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| key.len() == 54 && is_key(key)));
        let one = keys.first().unwrap();
        let other = if one.as_bytes()[10] == b'a' { "b" } else { "a" };
        let changed = format!("{}{other}{}", &one[..10], &one[11..]);
        assert!(!is_key(&changed) && !is_key(&one[1..]) && !is_key("") && !is_key(PREFIX));
    }

    #[test]
    fn keys_in_texts_are_masked() {
        let key = fresh().unwrap();
        let text = format!("ä leaked {} twice {}, ptlk_not", key.expose_secret(), key.expose_secret());
        assert_eq!(masked(&text), "ä leaked ptlk_*** twice ptlk_***, ptlk_not");
    }
}
