//! Where relations lead.

use serde_json::{Value, json};

use super::leads::selector_text;

#[test]
fn selectors_are_read_in_both_forms() {
    let table: [(Value, bool, Option<&str>); 8] = [
        (json!({"app": "web", "tier": "front"}), true, Some("app=web,tier=front")),
        (json!({}), true, None),
        (json!({}), false, Some("")),
        (json!({"matchLabels": {"app": "web"}}), false, Some("app=web")),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "x", "operator": "NotIn", "values": ["y"]},
                {"key": "z", "operator": "Exists"},
            ]}),
            false,
            Some("app=web,tier in (a,b),!old,x notin (y),z"),
        ),
        (json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}), false, None),
        (json!(null), false, None),
        (json!({"a": 1}), true, None),
    ];
    for (selector, by_labels, expected) in table {
        assert_eq!(selector_text(&selector, by_labels).as_deref(), expected, "{selector}");
    }
}
