//! The form of JSON-RPC: what is a request, a notification or a response.

use serde_json::{Map, Value};

/// A message of a client, whatever it means.
#[derive(Debug, Default)]
pub(super) struct MessageEnvelope {
    /// Its id; none for a message that wants no answer.
    pub id: Option<Value>,
    /// The method; empty for a response.
    pub method: String,
    /// The parameters.
    pub params: Map<String, Value>,
}

impl MessageEnvelope {
    /// Reads it, or says what is wrong.
    pub fn of(value: Value) -> Result<Self, &'static str> {
        // No revision that is spoken here knows batches.
        let Value::Object(mut members) = value else { return Err("the body is not one message of JSON-RPC") };
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err("jsonrpc must be \"2.0\"");
        }
        let method = match members.remove("method") {
            Some(Value::String(method)) => method,
            // A response to what was never asked.
            None if members.contains_key("result") || members.contains_key("error") => {
                return Ok(Self::default());
            }
            _ => return Err("a message needs a method"),
        };
        let id = members.remove("id");
        if !matches!(id, None | Some(Value::String(_) | Value::Number(_))) {
            return Err("id must be a string or a number");
        }
        let params = match members.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err("params must be an object"),
        };
        Ok(Self { id, method, params })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_notifications_and_responses_are_told_apart() {
        let refused = "refused";
        let table = [
            (json!({"id": 1, "method": "m"}), "request"),
            (json!({"id": "a", "method": "m", "params": {}}), "request"),
            (json!({"method": "m"}), "notification"),
            (json!({"id": 1, "result": {}}), "response"),
            (json!({"id": null, "error": {}}), "response"),
            (json!({"id": null, "method": "m"}), refused),
            (json!({"id": {}, "method": "m"}), refused),
            (json!({"id": 1}), refused),
            (json!({"id": 1, "method": 3}), refused),
            (json!({"id": 1, "method": null, "result": {}}), refused),
            (json!({"id": 1, "method": "m", "params": []}), refused),
            (json!({"id": 1, "method": "m", "jsonrpc": "1.0"}), refused),
        ];
        for (mut message, expected) in table {
            let members = message.as_object_mut().unwrap();
            members.entry("jsonrpc").or_insert_with(|| json!("2.0"));
            let found = match MessageEnvelope::of(message.clone()) {
                Ok(MessageEnvelope { id: Some(_), .. }) => "request",
                Ok(MessageEnvelope { method, .. }) if method.is_empty() => "response",
                Ok(_) => "notification",
                Err(_) => refused,
            };
            assert_eq!(found, expected, "{message}");
        }
        for message in [json!([]), json!([{"jsonrpc": "2.0", "id": 1, "method": "m"}]), json!("m")] {
            assert!(MessageEnvelope::of(message.clone()).is_err(), "{message}");
        }
    }
}
