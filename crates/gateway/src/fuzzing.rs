//! The entry point that `fuzz/` calls.

use std::sync::Arc;

use serde_json::Value;

use crate::scan::{JsonCursor, JsonWriter, ObjectSelection, SelectedField, ValueShape};

/// Maximum nesting of a selection.
const MAX_DEPTH: usize = 8;
/// Maximum number of its fields.
const MAX_FIELDS: usize = 64;

/// Selects from JSON what the line before it says, such as `metadata{name:t},items[{a:j}`: `[` is a list, `:t` a text, and
/// `:j` the text of JSON.
///
/// # Errors
/// What is selected is not what would be selected from values.
pub fn selection(data: &[u8]) -> Result<(), String> {
    let Some(end) = memchr::memchr(b'\n', data) else { return Ok(()) };
    let (line, json) = (&data[..end], &data[end + 1..]);
    let mut reader = SelectionReader { line, at: 0, left: MAX_FIELDS };
    let shape = ValueShape::Object(Arc::new(reader.fields(0)));
    let mut writer = JsonWriter::default();
    let written = writer.value(&mut JsonCursor::new(json), &shape);
    // What is no JSON may be written or not.
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return Ok(()) };
    written.map_err(|malformed| malformed.to_string())?;
    let got: Value = serde_json::from_slice(&writer.out).map_err(|error| error.to_string())?;
    if agrees(&shape, &value, &got) { Ok(()) } else { Err(format!("{got} is selected from {value}")) }
}

/// Reads a selection.
struct SelectionReader<'l> {
    line: &'l [u8],
    at: usize,
    /// Number of fields that may follow.
    left: usize,
}

impl SelectionReader<'_> {
    fn fields(&mut self, depth: usize) -> ObjectSelection {
        let mut fields = Vec::new();
        while self.left > 0 {
            self.left -= 1;
            let start = self.at;
            while self.line.get(self.at).is_some_and(|byte| !b",{}[:".contains(byte)) {
                self.at += 1;
            }
            let key = String::from_utf8_lossy(&self.line[start..self.at]).into_owned();
            let shape = self.shape(depth);
            fields.push(SelectedField::new(&format!("f{}", fields.len()), &key, shape));
            if !self.takes(b',') {
                break;
            }
        }
        ObjectSelection { fields }
    }

    fn shape(&mut self, depth: usize) -> ValueShape {
        if depth >= MAX_DEPTH {
            return ValueShape::Plain;
        }
        if self.takes(b'[') {
            return ValueShape::List(Box::new(self.shape(depth + 1)));
        }
        if self.takes(b'{') {
            let selection = self.fields(depth + 1);
            self.takes(b'}');
            return ValueShape::Object(Arc::new(selection));
        }
        if !self.takes(b':') {
            return ValueShape::Plain;
        }
        if self.takes(b't') {
            ValueShape::Text
        } else if self.takes(b'j') {
            ValueShape::JsonText
        } else {
            ValueShape::Plain
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.line.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }
}

/// Returns `true` if this is what a value gives in a shape.
fn agrees(shape: &ValueShape, value: &Value, got: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null) => got.is_null(),
        (ValueShape::Text, Value::String(_)) | (ValueShape::Plain, _) => got == value,
        (ValueShape::Text | ValueShape::JsonText, _) => {
            let read = got.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            read.is_some_and(|read| read == *value)
        }
        (ValueShape::List(inner), Value::Array(items)) => got.as_array().is_some_and(|got| {
            got.len() == items.len() && items.iter().zip(got).all(|(item, got)| agrees(inner, item, got))
        }),
        (ValueShape::Object(selection), Value::Object(fields)) => got.as_object().is_some_and(|got| {
            let is_right = |field: &SelectedField| {
                let value = fields.get(&*field.key).unwrap_or(&Value::Null);
                got.get(field.name()).is_some_and(|got| agrees(&field.shape, value, got))
            };
            got.len() == selection.fields.len() && selection.fields.iter().all(is_right)
        }),
        _ => got.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected_is_compared() {
        let data = b"a[{b:t},c:j\n{\"c\":[1],\"a\":[{\"b\":2},null,7]}";
        assert_eq!(selection(data), Ok(()));
        let (inner, value) = (ValueShape::List(Box::new(ValueShape::Text)), serde_json::json!([1, "a", {}]));
        for (got, expected) in [
            (serde_json::json!(["1", "a", "{}"]), true),
            (serde_json::json!(["1", "a"]), false),
            (serde_json::json!([1, "a", "{}"]), false),
            (serde_json::json!(["2", "a", "{}"]), false),
            (Value::Null, false),
        ] {
            assert_eq!(agrees(&inner, &value, &got), expected, "{got}");
        }
    }
}
