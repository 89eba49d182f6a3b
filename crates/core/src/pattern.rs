//! Patterns in which `*` stands for any text, also none. Pure.

/// Returns `true` if a text matches a pattern. The time it takes grows with the length of both and not faster.
///
/// # Examples
///
/// ```
/// use portolan_core::pattern;
///
/// assert!(pattern::matches("*.example.org", "toys.example.org"));
/// assert!(!pattern::matches("*.example.org", "example.org"));
/// ```
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, pattern)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pattern = pattern;
    while let Some((part, later)) = pattern.split_once('*') {
        let Some(found) = rest.find(part) else { return false };
        (rest, pattern) = (&rest[found + part.len()..], later);
    }
    rest.ends_with(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "a.b", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*.b", "a.b", true),
            ("*.b", "a.a.b", true),
            ("*.b", "b", false),
            ("*.b", ".b", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "bxa", false),
            ("**", "x", true),
            ("ä*ö", "äüö", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
        assert!(!matches(&"*a".repeat(100), &"b".repeat(10_000)));
    }
}
