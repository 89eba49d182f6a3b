//! Schemas as trees that end: references are followed, circles and depths are cut off by name.

use serde_json::{Map, Value, json};

use super::{document::Document, markdown::clean};

const MAX_DEPTH: usize = 12;
/// Nodes of all trees of one operation.
const MAX_NODES: usize = 4_000;
/// Values of an enumeration.
const MAX_VALUES: usize = 200;
/// Longest description of one node.
const MAX_TEXT: usize = 4_000;

/// Draws trees of one operation.
pub struct Trees<'a> {
    document: &'a Document,
    nodes: usize,
    /// References that lead to the node in the making.
    above: Vec<String>,
}

impl<'a> Trees<'a> {
    pub const fn new(document: &'a Document) -> Self {
        Self { document, nodes: 0, above: Vec::new() }
    }

    /// The tree of a schema.
    pub fn tree(&mut self, schema: &Value) -> Value {
        self.node(schema, 0)
    }

    fn node(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.referenced(reference, depth);
        }
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return json!({"ref": "…"});
        }
        let merged = self.merged(schema, depth);
        self.drawn(&merged, depth)
    }

    fn referenced(&mut self, reference: &str, depth: usize) -> Value {
        let name = name_of(reference);
        let is_circle = self.above.iter().any(|above| above == reference);
        let document = self.document;
        let target = document.at(reference).filter(|_| !is_circle && depth <= MAX_DEPTH);
        let Some(target) = target.filter(|_| self.nodes <= MAX_NODES) else { return json!({"ref": name}) };
        self.above.push(reference.to_owned());
        let mut node = self.node(target, depth + 1);
        self.above.pop();
        if node.get("title").is_none() && node.get("ref").is_none() {
            node["title"] = name.into();
        }
        node
    }

    /// A schema with the members of its `allOf`.
    fn merged(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let mut merged = schema.as_object().cloned().unwrap_or_default();
        let Some(Value::Array(parts)) = merged.remove("allOf") else { return merged };
        for part in parts.iter().take(MAX_VALUES) {
            let is_circle = part
                .get("$ref")
                .and_then(Value::as_str)
                .is_some_and(|reference| self.above.iter().any(|above| above == reference));
            if is_circle || depth > MAX_DEPTH {
                continue;
            }
            let part = self.merged(self.document.resolve(part), depth + 1);
            for (member, value) in part {
                match (merged.get_mut(&member), value) {
                    (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                    (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                    (Some(_), _) => {}
                    (None, value) => {
                        merged.insert(member, value);
                    }
                }
            }
        }
        merged
    }

    fn drawn(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let mut node = json!({"type": type_of(schema)});
        for member in ["format", "pattern", "title"] {
            if let Some(Value::String(text)) = schema.get(member) {
                node[member] = short(text).into();
            }
        }
        if let Some(Value::String(text)) = schema.get("description") {
            node["description"] = clean(&short(text)).into();
        }
        for member in ["default", "minimum", "maximum", "minLength", "maxLength", "nullable", "deprecated"] {
            if let Some(value) = schema.get(member).filter(|value| !value.is_object() && !value.is_array()) {
                node[member] = value.clone();
            }
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            node["enum"] = values.iter().take(MAX_VALUES).cloned().collect();
        }
        if let Some(Value::Object(properties)) = schema.get("properties") {
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
            let mut drawn = Vec::new();
            for (name, property) in properties {
                if self.nodes > MAX_NODES {
                    break;
                }
                let schema = self.node(property, depth + 1);
                drawn.push(json!({"name": name, "required": is_required(name), "schema": schema}));
            }
            node["properties"] = drawn.into();
        }
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            node["items"] = self.node(items, depth + 1);
        }
        for member in ["oneOf", "anyOf"] {
            if let Some(Value::Array(choices)) = schema.get(member) {
                let drawn: Vec<_> =
                    choices.iter().take(MAX_VALUES).map(|choice| self.node(choice, depth + 1)).collect();
                node["oneOf"] = drawn.into();
            }
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            let schema = self.node(values, depth + 1);
            node["additionalProperties"] = schema;
        }
        node
    }
}

/// The type in words: 3.1 has lists of them.
fn type_of(schema: &Map<String, Value>) -> String {
    match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        _ if schema.contains_key("properties") => "object".to_owned(),
        _ if schema.contains_key("items") => "array".to_owned(),
        _ => "any".to_owned(),
    }
}

/// The last segment of a reference.
pub fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(reference)
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(schemas: &Value, schema: &Value) -> Value {
        let text = json!({"openapi": "3.1.0", "components": {"schemas": schemas}}).to_string();
        Trees::new(&Document::parse(&text).unwrap()).tree(schema)
    }

    #[test]
    fn a_tree_has_what_a_reader_needs() {
        let pet = json!({
            "required": ["name"],
            "properties": {"name": {"type": "string", "description": "d"}, "tags": {"type": "array", "items": {"type": ["string", "null"]}}},
        });
        let drawn = tree(&json!({"Pet": pet}), &json!({"$ref": "#/components/schemas/Pet"}));
        let expected = json!({"type": "object", "title": "Pet", "properties": [
            {"name": "name", "required": true, "schema": {"type": "string", "description": "<p>d</p>\n"}},
            {"name": "tags", "required": false, "schema": {"type": "array", "items": {"type": "string | null"}}},
        ]});
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_circle_is_cut_by_name() {
        let node = json!({"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}});
        let drawn = tree(&json!({"Node": node}), &json!({"$ref": "#/components/schemas/Node"}));
        assert_eq!(drawn["properties"][0]["schema"], json!({"ref": "Node"}));
        let own = json!({"allOf": [{"$ref": "#/components/schemas/Own"}], "type": "object"});
        assert_eq!(
            tree(&json!({"Own": own}), &json!({"$ref": "#/components/schemas/Own"}))["type"],
            "object"
        );
        assert_eq!(tree(&json!({}), &json!({"$ref": "https://x/y#/Z"})), json!({"ref": "Z"}));
    }

    #[test]
    fn parts_of_all_of_are_one() {
        let base = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}});
        let schema = json!({"allOf": [{"$ref": "#/components/schemas/Base"}, {"required": ["b"], "properties": {"b": {"type": "integer"}}}]});
        let drawn = tree(&json!({"Base": base}), &schema);
        let names: Vec<_> = drawn["properties"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["name"], &one["required"]))
            .collect();
        assert_eq!(names, [(&json!("a"), &json!(true)), (&json!("b"), &json!(true))]);
    }

    #[test]
    fn a_tree_ends_however_wide_it_is() {
        let level = |number: usize| {
            let child = format!("#/components/schemas/L{}", number + 1);
            let properties: Map<String, Value> =
                (0..10).map(|place| (format!("p{place}"), json!({"$ref": child}))).collect();
            (format!("L{number}"), json!({"properties": properties}))
        };
        let schemas: Map<String, Value> = (0..10).map(level).collect();
        let drawn = tree(&Value::Object(schemas), &json!({"$ref": "#/components/schemas/L0"})).to_string();
        assert!(drawn.len() < 1_000_000, "{}", drawn.len());
    }
}
