//! JSON that is kept as its text: as nested maps, a small object takes several KB of memory.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value. Equal values have equal texts, and clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The value, read again.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Returns `true` for `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self::from(&Value::Null)
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl PartialEq<Value> for JsonText {
    fn eq(&self, other: &Value) -> bool {
        self.value() == *other
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from(&value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_the_same_again() {
        let table = [
            json!(null),
            json!({"b": [1, 0.1, -3e300, "\u{1f}\"é"], "a": {"c": null, "d": true}}),
            json!("text"),
            json!(18_446_744_073_709_551_615_u64),
        ];
        for value in table {
            let text: JsonText = serde_json::from_str(&value.to_string()).unwrap();
            assert_eq!((&text, text.value()), (&JsonText::from(&value), value.clone()));
            assert_eq!(serde_json::to_value(&text).unwrap(), value);
            assert_eq!(text, value);
            assert_eq!(text.is_null(), value.is_null());
        }
        let read = |text| serde_json::from_str::<JsonText>(text).unwrap();
        assert_eq!(read(r#"{"a": 1, "b": 2}"#), read(r#"{"b":2,"a":1}"#));
        assert_eq!(JsonText::default(), Value::Null);
    }
}
