//! How much a value of a stranger's document takes, and what fits a page of it.

use std::io;

use serde_json::Value;

/// Longest name or summary, in characters.
const MAX_LINE: usize = 1_000;

/// The text of a value, cut to what a line has room for; of anything else, nothing.
pub fn line(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().take(MAX_LINE).collect()
}

/// Length of a value as JSON, unless that is more than `most`. Nothing is kept of a longer one.
pub fn length(value: &Value, most: usize) -> Option<usize> {
    let mut room = RemainingBytes(most);
    serde_json::to_writer(&mut room, value).ok()?;
    Some(most - room.0)
}

/// Bytes that are left; what is written is counted alone.
struct RemainingBytes(usize);

impl io::Write for RemainingBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_length_is_that_of_the_text_up_to_a_limit() {
        for value in [json!(null), json!("a\"b"), json!({"a": [1, 2.5, "x"]})] {
            let bytes = value.to_string().len();
            assert_eq!(length(&value, bytes), Some(bytes), "{value}");
            assert_eq!(length(&value, bytes - 1), None, "{value}");
        }
    }

    #[test]
    fn a_line_is_short() {
        assert_eq!((line(&json!("ä")), line(&json!(1))), ("ä".to_owned(), String::new()));
        assert_eq!(line(&json!("ä".repeat(2_000))).chars().count(), MAX_LINE);
    }
}
