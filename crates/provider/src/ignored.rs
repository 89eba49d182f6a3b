//! Objects that a platform puts into every namespace, and that keep none. Pure.

use std::str::FromStr;

use portolan_core::pattern;

/// A kind, and a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredContent {
    /// Plural and group, such as `configmaps` or `sidecars.networking.istio.io`.
    kind: String,
    name: String,
}

/// A text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not KIND/NAME with the kind's plural and group, such as configmaps/istio-ca-root-cert; only NAME may have *"
)]
pub struct InvalidContent(String);

impl IgnoredContent {
    /// Returns `true` if an object is one of these.
    pub fn matches(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && pattern::matches(&self.name, name)
    }
}

impl FromStr for IgnoredContent {
    type Err = InvalidContent;

    fn from_str(text: &str) -> Result<Self, InvalidContent> {
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['*', '/', ' ']);
        match text.split_once('/') {
            Some((kind, name)) if is_plain(kind) && is_plain(&name.replace('*', "x")) => {
                Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
            }
            _ => Err(InvalidContent(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_in_full_and_names_may_be_patterns() {
        let table = [
            ("configmaps/istio-ca-root-cert", "configmaps", "istio-ca-root-cert", true),
            ("configmaps/istio-*", "configmaps", "istio-ca-root-cert", true),
            ("configmaps/istio-*", "secrets", "istio-ca-root-cert", false),
            ("configmaps/istio-*", "configmaps.example.dev", "istio-ca-root-cert", false),
            ("serviceaccounts/builder", "serviceaccounts", "builder-2", false),
            ("sidecars.networking.istio.io/*", "sidecars.networking.istio.io", "any", true),
        ];
        for (text, kind, name, expected) in table {
            let read: IgnoredContent = text.parse().unwrap();
            assert_eq!(read.matches(kind, name), expected, "{text} {kind} {name}");
        }
        for text in ["", "configmaps", "/a", "configmaps/", "*/a", "config*/a", "a/b/c", "a/b c"] {
            assert!(text.parse::<IgnoredContent>().is_err(), "{text:?}");
        }
    }
}
