//! YAML 1.1 as Kubernetes reads it, and output that means the same in 1.1 and 1.2.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Maximum depth of objects that are written.
const MAX_DEPTH: usize = 200;

/// The documents of a text, with numbers and Booleans of YAML 1.1.
pub fn read_all(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// An object as YAML, keys in order, indented by four.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => object(fields, 0, &mut out),
        Value::Array(items) if !items.is_empty() => array(items, 0, &mut out),
        other => {
            scalar(other, 0, &mut out);
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    (0..depth).for_each(|_| out.push_str("    "));
}

fn object(fields: &Map<String, Value>, depth: usize, out: &mut String) {
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 || depth > 0 {
            start(depth, out);
        }
        out.push_str(&text(key));
        out.push(':');
        below(value, depth, out);
    }
}

/// Begins a line, unless the dash of a list has just begun one.
fn start(depth: usize, out: &mut String) {
    if !out.ends_with("- ") {
        indent(depth, out);
    }
}

fn array(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        start(depth, out);
        out.push('-');
        match item {
            Value::Object(fields) if !fields.is_empty() && depth < MAX_DEPTH => {
                // Two more spaces align the fields four further in.
                out.push_str("   ");
                let mut inner = String::from("- ");
                object(fields, depth + 1, &mut inner);
                out.push_str(&inner["- ".len()..]);
            }
            other => below(other, depth, out),
        }
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() && depth < MAX_DEPTH => {
            out.push('\n');
            object(fields, depth + 1, out);
        }
        Value::Array(items) if !items.is_empty() && depth < MAX_DEPTH => {
            out.push('\n');
            array(items, depth + 1, out);
        }
        other => {
            out.push(' ');
            scalar(other, depth + 1, out);
        }
    }
}

fn scalar(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::String(content) if is_block(content) => return block(content, depth, out),
        Value::String(content) => out.push_str(&text(content)),
        Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            // JSON is YAML.
            let _ = write!(out, "{value}");
        }
    }
    out.push('\n');
}

/// Returns `true` if a text can be written as a block of lines.
fn is_block(content: &str) -> bool {
    let is_plain = |c: char| c == '\n' || c == '\t' || (c >= ' ' && c != '\u{7f}' && !is_break(c));
    content.contains('\n')
        && !content.starts_with([' ', '\n', '\t'])
        && content.chars().all(is_plain)
        && content.lines().all(|line| !line.ends_with([' ', '\t']))
}

/// Recognizes characters that end a line in YAML 1.1, or that YAML does not allow.
const fn is_break(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn block(content: &str, depth: usize, out: &mut String) {
    let body = content.trim_end_matches('\n');
    let ends = content.len() - body.len();
    out.push_str(match ends {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in body.split('\n') {
        if !line.is_empty() {
            indent(depth, out);
            out.push_str(line);
        }
        out.push('\n');
    }
    (1..ends).for_each(|_| out.push('\n'));
}

/// A string, without quotes if it cannot be mistaken for anything else.
fn text(content: &str) -> String {
    if is_plain(content) { content.to_owned() } else { quoted(content) }
}

fn is_plain(content: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];
    let first = |c: char| c.is_ascii_alphabetic() || c == '/' || c == '_';
    let inner = |c: char| c.is_ascii_alphanumeric() || " _-./:=@+,()~;$".contains(c);
    content.starts_with(first)
        && content.chars().all(inner)
        && !content.ends_with([' ', ':'])
        && !content.contains(": ")
        && !WORDS.contains(&content.to_ascii_lowercase().as_str())
}

fn quoted(content: &str) -> String {
    let json = Value::from(content).to_string();
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if is_break(c) || c == '\u{7f}' {
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(yaml: &str) -> Value {
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
    }

    #[test]
    fn it_looks_as_the_reference_writes_it() {
        let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "labels": {}}, "data": {"key": "val"}});
        assert_eq!(
            write(&object),
            "apiVersion: v1\ndata:\n    key: val\nkind: ConfigMap\nmetadata:\n    labels: {}\n    name: a\n"
        );
        let list = json!({"a": [{"b": 1, "c": [2, [3]]}, "x"], "d": "l1\nl2\n"});
        assert_eq!(read(&write(&list)), list, "{}", write(&list));
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for content in [
            "yes",
            "1e3",
            "0x1F",
            "010",
            "1_000",
            "null",
            "~",
            "2001-01-01",
            "1:30",
            "=",
            "",
            ".inf",
            "a: b",
            " x ",
            "x\n",
            "x\n\n",
            "\ttab",
            "#c",
            "- x",
            "a #b",
            "a:",
            "\u{85}",
            "\u{feff}a",
            "y",
            "No",
            "OFF",
            "a\u{2028}b",
            "x\n  y\n",
            "\n",
            "a\r\nb",
        ] {
            let object = json!({"a": {"k": content}, "l": [content]});
            let written = write(&object);
            assert_eq!(read(&written), object, "{written}");
            if !content.contains('\n') {
                assert!(written.contains('"'), "{written}");
            }
        }
    }

    #[test]
    fn what_kubernetes_reads_is_version_1_1() {
        let read = read_all("mode: 0644\nhost: yes\ntext: \"on\"\nplain: 644\n---\na: 1\n").unwrap();
        assert_eq!(read, [json!({"mode": 420, "host": true, "text": "on", "plain": 644}), json!({"a": 1})]);
        assert!(read_all("a: [").is_err());
    }

    #[test]
    fn numbers_stay_as_they_are() {
        let object: Value = serde_json::from_str(r#"{"a":9007199254740993,"b":1.5}"#).unwrap();
        assert_eq!(write(&object), "a: 9007199254740993\nb: 1.5\n");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(content in "\\PC*|[ \\n\\ta:#-]{0,8}", key in "[a-zA-Z0-9:# -]{1,8}") {
            let object = json!({key: {"k": content, "l": [content, {"m": content}]}});
            let written = write(&object);
            prop_assert_eq!(read(&written), object, "{}", written);
        }
    }
}
