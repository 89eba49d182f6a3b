//! Label selectors in the notation of kubectl: `team=a,tier in (gold,silver),!internal`. Pure.

use kube::core::{Expression, Selector};

/// Longest name part of a label key, and longest label value.
const MAX_LENGTH: usize = 63;
/// Longest prefix of a label key.
const MAX_PREFIX_LENGTH: usize = 253;

/// A selector that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a label requirement: use key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
)]
pub struct InvalidSelector(String);

/// Reads a selector. The empty one selects everything.
pub fn parse(text: &str) -> Result<Selector, InvalidSelector> {
    if text.trim().is_empty() {
        return Ok(Selector::default());
    }
    let requirement =
        |part: &str| requirement(part.trim()).ok_or_else(|| InvalidSelector(part.trim().to_owned()));
    split(text).into_iter().map(requirement).collect()
}

/// Splits at commas that do not stand in parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Expression> {
    if let Some(key) = part.strip_prefix('!') {
        return key_of(key).map(Expression::DoesNotExist);
    }
    let end = part.find(|c: char| c.is_whitespace() || matches!(c, '=' | '!' | '(')).unwrap_or(part.len());
    let (key, operation) = (key_of(&part[..end])?, part[end..].trim());
    if operation.is_empty() {
        return Some(Expression::Exists(key));
    }
    if let Some(value) = operation.strip_prefix("!=") {
        return Some(Expression::NotEqual(key, value_of(value)?));
    }
    if let Some(value) = operation.strip_prefix("==").or_else(|| operation.strip_prefix('=')) {
        return Some(Expression::Equal(key, value_of(value)?));
    }
    if let Some(set) = operation.strip_prefix("notin") {
        return Some(Expression::NotIn(key, set_of(set)?));
    }
    Some(Expression::In(key, set_of(operation.strip_prefix("in")?)?))
}

fn set_of(text: &str) -> Option<std::collections::BTreeSet<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    inner.split(',').map(value_of).collect()
}

fn key_of(text: &str) -> Option<String> {
    let text = text.trim();
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefix_holds = prefix.is_none_or(|p| p.len() <= MAX_PREFIX_LENGTH && p.split('.').all(is_dns_part));
    (prefix_holds && !name.is_empty() && is_label_text(name)).then(|| text.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    is_label_text(text).then(|| text.to_owned())
}

fn is_dns_part(text: &str) -> bool {
    portolan_core::names::is_dns_label(text)
}

/// The characters of label values and of the name part of keys; the empty text is one.
fn is_label_text(text: &str) -> bool {
    let at_ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= MAX_LENGTH
        && text.chars().all(|c| at_ends(c) || matches!(c, '-' | '_' | '.'))
        && text.chars().next().is_none_or(at_ends)
        && text.chars().last().is_none_or(at_ends)
}

#[cfg(test)]
mod tests {
    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn selectors_choose_as_kubectl_does() {
        let labels = [("team", "a"), ("tier", "gold"), ("example.com/kind", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let table = [
            ("", true),
            ("team=a", true),
            ("team==a,tier = gold", true),
            ("team=b", false),
            ("team!=b", true),
            ("absent!=b", true),
            ("tier in (silver, gold)", true),
            ("tier in(silver)", false),
            ("tier notin (silver,bronze),team", true),
            ("absent notin (x)", true),
            ("absent", false),
            ("!absent", true),
            ("!team", false),
            ("example.com/kind=", true),
            ("inner", false),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).unwrap().matches(&labels), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_selector_is_refused() {
        let bad = [
            "=", "a=b,", ",", "a b", "a in b", "a in (b", "-a", "a=b=c", "a>1", "a=b c", "!", "/a", "a/",
            "a=(b)", "ä",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("a={}", "b".repeat(64))).is_err());
    }
}
