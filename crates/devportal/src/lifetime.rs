//! Spans of time in annotations: `90d`, `12h`, `30m`, `10s`.

use jiff::SignedDuration;

/// Reads a span; `None` if it is none.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: i64 = text[..digits].parse().ok()?;
    let seconds = match &text[digits..] {
        "d" => 24 * 60 * 60,
        "h" => 60 * 60,
        "m" => 60,
        "s" => 1,
        "" if number == 0 => 1,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_number_and_one_unit() {
        for (text, seconds) in [
            ("90d", Some(7_776_000)),
            (" 12h", Some(43_200)),
            ("30m", Some(1800)),
            ("10s", Some(10)),
            ("0", Some(0)),
            ("0h", Some(0)),
            ("", None),
            ("d", None),
            ("5", None),
            ("-5d", None),
            ("5w", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(parse(text).map(|span| span.as_secs()), seconds, "{text:?}");
        }
    }
}
