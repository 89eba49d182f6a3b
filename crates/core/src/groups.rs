//! API groups that people accept from a provider, and the one that nobody can bind. Pure.

use crate::{api::kubebind::GROUP, pattern::matches};

/// Returns `true` if a group is that of bindings and exports themselves: it is never exported and never bound.
pub fn is_own(group: &str) -> bool {
    group == GROUP
}

/// The groups that somebody takes, as patterns in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPatterns(Vec<String>);

/// A pattern that no group can be meant by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern of API groups such as example.org or *.example.org")]
pub struct InvalidPattern(String);

impl GroupPatterns {
    /// Reads patterns with commas between them. An empty list takes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::groups::GroupPatterns;
    ///
    /// let groups = GroupPatterns::parse("*.example.org, cert-manager.io")?;
    /// assert!(groups.accept("toys.example.org"));
    /// assert!(!groups.accept("example.com"));
    /// # Ok::<(), portolan_core::groups::InvalidPattern>(())
    /// ```
    ///
    /// # Errors
    /// Names the first pattern that cannot be one.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let pattern = |part: &str| {
            let lower = part.to_ascii_lowercase();
            if is_pattern(&lower) { Ok(lower) } else { Err(InvalidPattern(part.chars().take(80).collect())) }
        };
        parts.map(pattern).collect::<Result<_, _>>().map(Self)
    }

    /// Returns `true` if the group is accepted.
    pub fn accept(&self, group: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, group))
    }
}

fn is_pattern(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '*');
    text.chars().all(known) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_the_groups_that_they_describe() {
        for (patterns, group, expected) in [
            ("*", "anything.dev", true),
            ("", "anything.dev", false),
            (" , ", "anything.dev", false),
            ("cert-manager.io", "cert-manager.io", true),
            ("cert-manager.io", "acme.cert-manager.io", false),
            ("*.example.org,cert-manager.io", "db.example.org", true),
            ("*.example.org,cert-manager.io", "a.b.example.org", true),
            ("*.example.org, cert-manager.io", "cert-manager.io", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "evilexample.org", false),
            ("*.example.org", "db.example.org.evil.dev", false),
            ("*.k8s.io", "gateway.networking.k8s.io", true),
            ("*.Example.org", "db.example.org", true),
        ] {
            assert_eq!(
                GroupPatterns::parse(patterns).unwrap().accept(group),
                expected,
                "{patterns:?} {group}"
            );
        }
    }

    #[test]
    fn what_no_group_can_be_meant_by_is_named() {
        for bad in
            ["https://example.org", "a b", "example.org/v1", "!example.org", "a..b", "[a-z].dev", "ä.dev"]
        {
            let error = GroupPatterns::parse(&format!("good.dev,{bad}")).unwrap_err();
            assert_eq!(error, InvalidPattern(bad.to_owned()));
        }
    }

    #[test]
    fn only_the_group_of_bindings_is_our_own() {
        assert!(is_own("kube-bind.io"));
        for group in ["", "bind.io", "x.kube-bind.io", "kube-bind.io.example.org", "not-kube-bind.io"] {
            assert!(!is_own(group), "{group}");
        }
    }
}
