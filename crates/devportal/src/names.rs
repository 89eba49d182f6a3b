//! Names of objects, and labels made of names that may be too long for labels.

use std::fmt;

use kube::ResourceExt;
use portolan_core::digest::sha256_hex;

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

/// The value of a label for the name of an object: the name, or its beginning and a hash if it is too long.
pub fn label(name: &str) -> String {
    if name.len() <= LABEL_LENGTH {
        return name.to_owned();
    }
    let hash = sha256_hex(name.as_bytes());
    let beginning = &name[..name.floor_char_boundary(LABEL_LENGTH - HASH_DIGITS - 1)];
    format!("{}-{}", beginning.trim_end_matches(['.', '-', '_']), &hash[..HASH_DIGITS])
}

/// The value of the label for a user, whose name may be anything.
pub fn requester_label(user: &str) -> String {
    sha256_hex(user.as_bytes())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
