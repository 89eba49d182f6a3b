//! A cursor over JSON text that builds no values.

use memchr::memchr2;

/// Text that is not JSON. At its end, it may be the beginning of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not JSON at byte {at}")]
pub struct MalformedJson {
    /// The position.
    pub at: usize,
}

impl MalformedJson {
    /// The text is sound, but what is selected from it is longer than permitted.
    pub const TOO_LONG: Self = Self { at: usize::MAX };
}

/// A position in JSON text.
#[derive(Clone, Copy, Debug)]
pub struct JsonCursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> JsonCursor<'a> {
    /// The beginning of a text.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// An error at this position.
    pub const fn malformed(&self) -> MalformedJson {
        MalformedJson { at: self.at }
    }

    /// An error at the end of the text, where more of it is missing.
    const fn cut(&self) -> MalformedJson {
        MalformedJson { at: self.bytes.len() }
    }

    /// The number of bytes that are consumed.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next byte after white space.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, MalformedJson> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(self.malformed()),
            }
        }
    }

    /// Consumes this byte, or fails.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), MalformedJson> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    /// Consumes a byte if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> Result<bool, MalformedJson> {
        let is_next = self.peek()? == byte;
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// After an entry of an object or array, returns `true` if another one follows.
    #[inline]
    pub fn another(&mut self, end: u8) -> Result<bool, MalformedJson> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.malformed()),
        }
    }

    /// Consumes a key and its colon. Returns the bytes between the quotes, with escapes.
    #[inline]
    pub fn key(&mut self) -> Result<&'a [u8], MalformedJson> {
        self.peek()?;
        let key = self.string()?;
        self.expect(b':')?;
        self.peek()?;
        Ok(key)
    }

    /// Consumes a string. Returns the bytes between the quotes, with escapes.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], MalformedJson> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.malformed());
        }
        let start = self.at + 1;
        let mut from = start;
        loop {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else { return Err(self.cut()) };
            if rest[found] == b'"' {
                self.at = from + found + 1;
                return Ok(&self.bytes[start..from + found]);
            }
            from += found + 2;
        }
    }

    /// Consumes a value, and returns its text.
    #[inline]
    pub fn value(&mut self) -> Result<&'a [u8], MalformedJson> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.container()?,
            _ => self.literal()?,
        }
        Ok(&self.bytes[start..self.at])
    }

    fn container(&mut self) -> Result<(), MalformedJson> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Err(self.malformed()),
            }
            self.at += 1;
        }
    }

    /// Consumes a number, `true`, `false` or `null`.
    fn literal(&mut self) -> Result<(), MalformedJson> {
        let rest = &self.bytes[self.at..];
        for word in [&b"null"[..], b"true", b"false"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
            if word.starts_with(rest) {
                return Err(self.cut());
            }
        }
        let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_number(byte)).count();
        if length == 0 || !matches!(rest[0], b'0'..=b'9' | b'-') {
            return Err(self.malformed());
        }
        if !rest[length - 1].is_ascii_digit() {
            return Err(MalformedJson { at: self.at + length });
        }
        self.at += length;
        Ok(())
    }

    /// Goes to the value of a key of the object that follows. Returns `false` if there is none.
    fn enter(&mut self, wanted: &str) -> Result<bool, MalformedJson> {
        if !self.take(b'{')? || self.take(b'}')? {
            return Ok(false);
        }
        loop {
            if says(self.key()?, wanted) {
                return Ok(true);
            }
            self.value()?;
            if !self.another(b'}')? {
                return Ok(false);
            }
        }
    }

    /// The text consumed since another position.
    pub fn since(&self, start: Self) -> &'a [u8] {
        self.bytes.get(start.at..self.at).unwrap_or_default()
    }

    /// Fails if anything follows.
    pub fn end(&mut self) -> Result<(), MalformedJson> {
        match self.peek() {
            Ok(_) => Err(self.malformed()),
            Err(_) => Ok(()),
        }
    }
}

/// Returns `true` if the bytes between two quotes stand for this text.
#[inline]
pub fn says(written: &[u8], text: &str) -> bool {
    // Only escapes give a text several spellings, and never its own.
    if memchr::memchr(b'\\', written).is_none() {
        return written == text.as_bytes();
    }
    unescaped(written).is_some_and(|written| written == text)
}

/// The text that the bytes between two quotes stand for.
pub fn unescaped(written: &[u8]) -> Option<String> {
    let quoted = [b"\"", written, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}

/// The text of the value at a path of keys. What follows it is not read.
pub fn at<'a, S: AsRef<str>>(json: &'a [u8], path: &[S]) -> Result<Option<&'a [u8]>, MalformedJson> {
    let mut cursor = JsonCursor::new(json);
    for key in path {
        if !cursor.enter(key.as_ref())? {
            return Ok(None);
        }
    }
    cursor.value().map(Some)
}

/// The string at a path of keys.
pub fn text_at(json: &[u8], path: &[&str]) -> Option<String> {
    let written = at(json, path).ok()??;
    serde_json::from_slice(written).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_what_is_written() {
        let json = br#" {"a" : [1,{"b":"]}"}], "c\u0064":{"e":"\"x\\"},"n":9007199254740993}"#;
        let find = |path: &[&str]| at(json, path).unwrap().map(|found| std::str::from_utf8(found).unwrap());
        assert_eq!(find(&["n"]), Some("9007199254740993"));
        assert_eq!(find(&["cd", "e"]), Some(r#""\"x\\""#));
        assert_eq!(find(&["a"]), Some(r#"[1,{"b":"]}"}]"#));
        assert_eq!((find(&["x"]), find(&["a", "b"]), find(&["cd", "x"])), (None, None, None));
        assert_eq!(
            (find(&["cd"]), find(&[])),
            (Some(r#"{"e":"\"x\\"}"#), Some(std::str::from_utf8(json).unwrap().trim()))
        );
        // Nothing behind a value is read, so that a name costs no more than what comes before it.
        assert_eq!(at(br#"{"a":{"b":1,"c":"#, &["a", "b"]), Ok(Some(&b"1"[..])));
        assert_eq!(text_at(json, &["cd", "e"]).as_deref(), Some("\"x\\"));
        assert!(says(br"\u0061", "a") && !says(br"\u0061", r"\u0061") && says(br"\\", r"\"));
    }

    #[test]
    fn what_is_no_json_is_told() {
        for text in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":x}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":\"\\",
            "{\"a\":-}",
            "{\"a\":[1",
        ] {
            assert!(at(text.as_bytes(), &["b"]).is_err(), "{text}");
        }
    }
}
