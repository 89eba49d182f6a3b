//! Text from others, made safe for a log or a terminal: quoted, on one line, and short.

use std::fmt::Write as _;

/// More of a foreign text is not shown.
const MAX_SHOWN: usize = 120;

/// A foreign text in quotation marks, with its control characters spelt out, cut off where it is long.
///
/// # Examples
///
/// ```
/// use portolan_core::text;
///
/// assert_eq!(text::quoted("two\nlines"), r#""two\nlines""#);
/// ```
pub fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            shown.push_str("...");
            break;
        }
        // Writing to a text does not fail.
        let _ = write!(shown, "{}", character.escape_debug());
    }
    shown.push('"');
    shown
}

/// Two texts that should be one, side by side, with a word on what is easily overlooked.
pub fn differing(found: &str, expected: &str) -> String {
    let slash = found.trim_end_matches('/') == expected.trim_end_matches('/');
    let case = found.eq_ignore_ascii_case(expected);
    let blanks = found.trim() == expected.trim();
    let why = match (slash, case, blanks) {
        (true, ..) => "; they differ by the slash at the end",
        (_, true, _) => "; they differ by upper and lower case",
        (.., true) => "; they differ by white space",
        _ => "",
    };
    format!("{} instead of {}{why}", quoted(found), quoted(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreign_cannot_act_and_stays_short() {
        assert_eq!(quoted("a\n\u{1b}[31m\"b"), r#""a\n\u{1b}[31m\"b""#);
        let long = quoted(&"x".repeat(10_000));
        assert!(long.len() < 130 && long.ends_with("...\""), "{long}");
    }

    #[test]
    fn what_is_easily_overlooked_is_said() {
        let table = [
            ("https://a/", "https://a", "slash"),
            ("https://a", "https://a/", "slash"),
            ("https://A", "https://a", "case"),
            ("https://a ", "https://a", "white space"),
        ];
        for (found, expected, word) in table {
            let said = differing(found, expected);
            assert!(said.contains(&quoted(found)) && said.contains(&quoted(expected)), "{said}");
            assert!(said.ends_with(word) || said.contains(word), "{said}");
        }
        assert_eq!(differing("b", "a"), r#""b" instead of "a""#);
    }
}
