//! Maps and lists that a consumer has emptied. Pure.
//!
//! When the last item that we own goes, server-side apply leaves `null` in its place, or nothing at all. A schema may
//! refuse the one, and the other is not what the consumer says. So the answer is checked where something is empty,
//! and what is refused is taken out item by item before.

use portolan_runtime::apply::escaped;
use serde_json::{Value, json};

/// Returns `true` if a body has an empty map or list.
pub(super) fn has_empty(body: &Value) -> bool {
    match body {
        Value::Object(map) => map.is_empty() || map.values().any(has_empty),
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty),
        _ => false,
    }
}

/// Removals that make an object's maps and lists as empty as in `wanted`, as operations of a JSON patch (RFC 6902).
/// Only what is `ours` is removed.
pub(super) fn removals(live: &Value, ours: &Value, wanted: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    collect("", [live, ours, wanted], &mut operations);
    operations
}

fn collect(path: &str, [live, ours, wanted]: [&Value; 3], into: &mut Vec<Value>) {
    let remove = |part: &str| json!({"op": "remove", "path": format!("{path}/{part}")});
    match (live, ours, wanted) {
        (Value::Object(live), Value::Object(ours), Value::Object(wanted)) if wanted.is_empty() => {
            into.extend(ours.keys().filter(|key| live.contains_key(*key)).map(|key| remove(&escaped(key))));
        }
        (Value::Object(live), Value::Object(ours), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                if let (Some(live), Some(ours)) = (live.get(key), ours.get(key)) {
                    collect(&format!("{path}/{}", escaped(key)), [live, ours, wanted], into);
                }
            }
        }
        (Value::Array(live), Value::Array(ours), Value::Array(wanted)) if wanted.is_empty() => {
            // The last first: the places of the others stay.
            let gone = live.iter().enumerate().rev().filter(|(_, item)| ours.contains(item));
            into.extend(gone.map(|(index, _)| remove(&index.to_string())));
        }
        (Value::Array(live), Value::Array(ours), Value::Array(wanted))
            if live.len() == ours.len() && live.len() == wanted.len() =>
        {
            for (index, ((live, ours), wanted)) in live.iter().zip(ours).zip(wanted).enumerate() {
                collect(&format!("{path}/{index}"), [live, ours, wanted], into);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_map_or_list_is_found_at_any_depth() {
        for (body, expected) in [
            (json!({"spec": {"a": 1, "b": [1]}}), false),
            (json!({"spec": {}}), true),
            (json!({"spec": {"a": [{"b": {}}]}}), true),
            (json!({"spec": {"a": []}}), true),
        ] {
            assert_eq!(has_empty(&body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_ours_goes_from_what_is_to_be_empty_and_nothing_else() {
        let live = json!({"spec": {
            "opts": {"a/b": 1, "theirs": 2}, "kept": {"c": 3}, "set": ["x", "theirs", "y"],
            "rules": [{"host": "h", "selector": {"d": 4}}], "odd": {"e": 5},
        }});
        let ours = json!({"spec": {
            "opts": {"a/b": 1}, "kept": {"c": 3}, "set": ["x", "y"],
            "rules": [{"host": "h", "selector": {"d": 4}}], "odd": {"e": 5},
        }});
        let wanted = json!({"spec": {
            "opts": {}, "kept": {"c": 3}, "set": [], "rules": [{"host": "h", "selector": {}}], "odd": [],
        }});
        let operations = removals(&live, &ours, &wanted);
        let mut paths: Vec<_> = operations.iter().map(|o| o["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/spec/opts/a~1b", "/spec/rules/0/selector/d", "/spec/set/0", "/spec/set/2"]);
        let place = |path: &str| operations.iter().position(|operation| operation["path"] == path);
        assert!(place("/spec/set/2") < place("/spec/set/0"));
    }
}
