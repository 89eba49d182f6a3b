//! References between definitions: `{"$ref": "#/definitions/NAME"}`.

use serde_json::Value;

/// Prefix of every reference.
pub const REF_PREFIX: &str = "#/definitions/";

/// Names every definition that a schema refers to, once per reference.
pub fn referred(schema: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    collect(schema, &mut names);
    names
}

fn collect<'a>(schema: &'a Value, names: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str);
            names.extend(target.and_then(|target| target.strip_prefix(REF_PREFIX)));
            members.values().for_each(|member| collect(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

/// Renames the target of every reference for which `renamed` returns a name.
pub fn rewrite(schema: &mut Value, renamed: &impl Fn(&str) -> Option<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref")
                && let Some(name) = target.strip_prefix(REF_PREFIX).and_then(renamed)
            {
                *target = format!("{REF_PREFIX}{name}");
            }
            members.values_mut().for_each(|member| rewrite(member, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, renamed)),
        _ => {}
    }
}
