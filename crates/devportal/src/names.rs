//! Names of objects, and labels made of names that may be too long for labels.

use std::fmt;

use kube::ResourceExt;
use portolan_core::{
    api::devportal::{previous_secret_name, secret_name},
    digest::sha256_hex,
    names::is_dns_subdomain,
};

/// Longest value of a label.
const LABEL_LENGTH: usize = 63;
/// Digits of the hash that tells shortened names apart.
const HASH_DIGITS: usize = 8;

/// An object of a namespaced kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A requester in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequesterAt {
    pub namespace: String,
    pub user: String,
}

impl fmt::Display for RequesterAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.user, self.namespace)
    }
}

/// Returns `true` if a text can be the name of a label: a DNS subdomain and a slash, if it likes, and a word.
pub fn is_label_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, word)) => is_dns_subdomain(prefix) && is_label_word(word),
        None => is_label_word(text),
    }
}

/// Returns `true` if a text can be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_word(text)
}

fn is_label_word(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| ends(c) || matches!(c, '.' | '-' | '_');
    text.len() <= LABEL_LENGTH && text.chars().all(inner) && text.starts_with(ends) && text.ends_with(ends)
}

/// The value of a label for the name of an object: the name, or its beginning and a hash if it is too long.
pub fn label(name: &str) -> String {
    if name.len() <= LABEL_LENGTH {
        return name.to_owned();
    }
    let hash = sha256_hex(name.as_bytes());
    let beginning = &name[..name.floor_char_boundary(LABEL_LENGTH - HASH_DIGITS - 1)];
    format!("{}-{}", beginning.trim_end_matches(['.', '-', '_']), &hash[..HASH_DIGITS])
}

/// The name of the key that a Secret is for, which the name of the Secret says.
pub fn key_of_secret(secret: &str) -> Option<&str> {
    let suffixes = [secret_name(""), previous_secret_name("")];
    suffixes.iter().find_map(|suffix| secret.strip_suffix(suffix.as_str()))
}

/// The value of the label for a user, whose name may be anything.
pub fn requester_label(user: &str) -> String {
    sha256_hex(user.as_bytes())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_the_api_server_takes() {
        let long = "x".repeat(64);
        for (text, is_name, is_value) in [
            ("app", true, true),
            ("a.b-c_D9", true, true),
            ("example.com/app", true, false),
            ("", false, true),
            ("/app", false, false),
            ("example.com/", false, false),
            ("Example.com/app", false, false),
            ("a/b/c", false, false),
            ("two words", false, false),
            ("-a", false, false),
            ("a.", false, false),
            ("ä", false, false),
            (long.as_str(), false, false),
            (&long[1..], true, true),
        ] {
            assert_eq!((is_label_name(text), is_label_value(text)), (is_name, is_value), "{text:?}");
        }
    }

    #[test]
    fn secrets_say_by_their_names_whose_they_are() {
        for (secret, key) in [
            ("k1-apikey-secret", Some("k1")),
            ("k1-apikey-secret-previous", Some("k1")),
            ("k1-apikey-secret-apikey-secret", Some("k1-apikey-secret")),
            ("k1", None),
        ] {
            assert_eq!(key_of_secret(secret), key, "{secret}");
        }
    }

    #[test]
    fn labels_are_short_and_differ_where_names_do() {
        assert_eq!(label("my-api-product"), "my-api-product");
        let (a, b) = (label(&format!("{}a", "x".repeat(252))), label(&format!("{}b", "x".repeat(252))));
        assert!(a.len() <= LABEL_LENGTH && b.len() <= LABEL_LENGTH && a != b);
        let dotted = label(&format!("{}.{}", "x".repeat(53), "y".repeat(60)));
        assert!(!dotted.contains(".-"), "{dotted}");
        assert_eq!(requester_label("https://issuer#ä").len(), 32);
    }
}
