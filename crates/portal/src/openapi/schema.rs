//! Schemas as trees that end: references are followed, circles and depths are cut off by name.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::{document::OpenApiDocument, length::length, markdown::clean};

const MAX_DEPTH: usize = 12;
/// Nodes of all trees of one operation, with the references and the parts of `allOf` that lead to them.
const MAX_NODES: usize = 8_000;
/// Bytes of the texts in all trees of one operation.
const MAX_BYTES: usize = 1024 * 1024;
/// Values of an enumeration, and choices.
const MAX_VALUES: usize = 200;
/// Longest text of one node, in characters.
const MAX_TEXT: usize = 4_000;
/// Members of a schema that are drawn.
const MEMBERS: [&str; 17] = [
    "type",
    "format",
    "pattern",
    "title",
    "description",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "nullable",
    "deprecated",
    "enum",
    "properties",
    "required",
    "items",
    "additionalProperties",
];
const CHOICES: [&str; 2] = ["oneOf", "anyOf"];
/// Types of one schema.
const MAX_TYPES: usize = 10;
/// What stands for whatever is not drawn any more.
const CUT: &str = "…";

/// Draws trees of one operation.
pub struct SchemaTrees<'a> {
    document: &'a OpenApiDocument,
    nodes: usize,
    bytes: usize,
    /// References that lead to the node in the making.
    above: Vec<String>,
}

/// What a schema and the parts of its `allOf` say, by the name of the member.
#[derive(Default)]
struct SchemaKeywords<'m>(BTreeMap<&'static str, Vec<&'m Value>>);

impl<'m> SchemaKeywords<'m> {
    fn first(&self, member: &str) -> Option<&'m Value> {
        self.0.get(member)?.first().copied()
    }

    /// The entries of a list, whoever has them.
    fn listed(&self, member: &str) -> impl Iterator<Item = &'m Value> {
        self.0.get(member).into_iter().flatten().copied().filter_map(Value::as_array).flatten()
    }

    /// Properties in the order of the document; the last part that has one says what it is.
    fn properties(&self) -> Vec<(&'m str, &'m Value)> {
        let mut all: Vec<(&str, &Value)> = Vec::new();
        let mut places = HashMap::new();
        let parts = self.0.get("properties").into_iter().flatten();
        let entries = parts.copied().filter_map(Value::as_object).flatten().take(MAX_NODES);
        for (name, schema) in entries {
            let place = *places.entry(name.as_str()).or_insert(all.len());
            match all.get_mut(place) {
                Some(known) => known.1 = schema,
                None => all.push((name.as_str(), schema)),
            }
        }
        all
    }
}

impl<'a> SchemaTrees<'a> {
    pub const fn new(document: &'a OpenApiDocument) -> Self {
        Self { document, nodes: 0, bytes: 0, above: Vec::new() }
    }

    /// The tree of a schema.
    pub fn tree(&mut self, schema: &Value) -> Value {
        self.node(schema, 0)
    }

    /// Returns `true` once the trees are as large as a page can show.
    const fn is_full(&self) -> bool {
        self.nodes > MAX_NODES || self.bytes > MAX_BYTES
    }

    fn node(&mut self, schema: &Value, depth: usize) -> Value {
        self.nodes += 1;
        if self.is_full() {
            return json!({"ref": CUT});
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.referenced(reference, depth);
        }
        if depth > MAX_DEPTH {
            return json!({"ref": CUT});
        }
        let mut said = SchemaKeywords::default();
        self.gather(schema, depth, &mut said);
        self.drawn(&said, depth)
    }

    fn referenced(&mut self, reference: &str, depth: usize) -> Value {
        let name = self.text(name_of(reference));
        let is_circle = self.above.iter().any(|above| above == reference);
        let document = self.document;
        let target = document.at(reference).filter(|_| !is_circle && depth <= MAX_DEPTH);
        let Some(target) = target else { return json!({"ref": name}) };
        self.above.push(reference.to_owned());
        let mut node = self.node(target, depth + 1);
        self.above.pop();
        if node.get("title").is_none() && node.get("ref").is_none() {
            node["title"] = name.into();
        }
        node
    }

    /// Adds what a schema says, and then what the parts of its `allOf` say.
    fn gather<'m>(&mut self, schema: &'m Value, depth: usize, said: &mut SchemaKeywords<'m>)
    where
        'a: 'm,
    {
        for member in MEMBERS.into_iter().chain(CHOICES) {
            if let Some(value) = schema.get(member) {
                said.0.entry(member).or_default().push(value);
            }
        }
        let document = self.document;
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten().take(MAX_VALUES) {
            self.nodes += 1;
            let reference = part.get("$ref").and_then(Value::as_str);
            let is_circle =
                reference.is_some_and(|reference| self.above.iter().any(|above| above == reference));
            if is_circle || depth > MAX_DEPTH || self.is_full() {
                continue;
            }
            self.gather(document.resolve(part), depth + 1, said);
        }
    }

    fn drawn(&mut self, said: &SchemaKeywords<'_>, depth: usize) -> Value {
        let mut node = json!({"type": self.text(&type_of(said))});
        for member in ["format", "pattern", "title"] {
            if let Some(text) = said.first(member).and_then(Value::as_str) {
                node[member] = self.text(text).into();
            }
        }
        if let Some(text) = said.first("description").and_then(Value::as_str) {
            let html = clean(&short(text));
            self.bytes += html.len();
            node["description"] = html.into();
        }
        for member in ["default", "minimum", "maximum", "minLength", "maxLength", "nullable", "deprecated"] {
            let found = said.first(member).filter(|value| !value.is_object() && !value.is_array());
            if let Some(value) = found {
                node[member] = self.value(value);
            }
        }
        if said.first("enum").is_some_and(Value::is_array) {
            let values = said.listed("enum").take(MAX_VALUES);
            node["enum"] = values.map(|value| self.value(value)).collect();
        }
        if said.first("properties").is_some_and(Value::is_object) {
            node["properties"] = self.properties(said, depth).into();
        }
        if let Some(items) = said.first("items").filter(|items| items.is_object()) {
            node["items"] = self.node(items, depth + 1);
        }
        for member in CHOICES {
            if said.first(member).is_some_and(Value::is_array) {
                let choices = said.listed(member).take(MAX_VALUES);
                node["oneOf"] = choices.map(|choice| self.node(choice, depth + 1)).collect();
            }
        }
        if let Some(values) = said.first("additionalProperties").filter(|values| values.is_object()) {
            node["additionalProperties"] = self.node(values, depth + 1);
        }
        node
    }

    fn properties(&mut self, said: &SchemaKeywords<'_>, depth: usize) -> Vec<Value> {
        let required: HashSet<&str> =
            said.listed("required").filter_map(Value::as_str).take(MAX_NODES).collect();
        let mut drawn = Vec::new();
        for (name, property) in said.properties() {
            if self.is_full() {
                break;
            }
            let schema = self.node(property, depth + 1);
            let is_required = required.contains(name);
            drawn.push(json!({"name": self.text(name), "required": is_required, "schema": schema}));
        }
        drawn
    }

    /// A text, as long as a page shows it.
    fn text(&mut self, text: &str) -> String {
        let text = short(text);
        self.bytes += text.len();
        text
    }

    /// A value that is shown as it is, if it is not too long for that.
    fn value(&mut self, value: &Value) -> Value {
        if let Value::String(text) = value {
            return self.text(text).into();
        }
        let length = length(value, MAX_TEXT);
        self.bytes += length.unwrap_or(MAX_TEXT);
        if length.is_some() { value.clone() } else { CUT.into() }
    }
}

/// The type in words: 3.1 has lists of them.
fn type_of(said: &SchemaKeywords<'_>) -> String {
    match said.first("type") {
        Some(Value::String(name)) => short(name),
        Some(Value::Array(names)) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).take(MAX_TYPES).map(short).collect();
            names.join(" | ")
        }
        _ if said.first("properties").is_some() => "object".to_owned(),
        _ if said.first("items").is_some() => "array".to_owned(),
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
    use serde_json::Map;

    use super::*;

    fn tree(schemas: &Value, schema: &Value) -> Value {
        let text = json!({"openapi": "3.1.0", "components": {"schemas": schemas}}).to_string();
        SchemaTrees::new(&OpenApiDocument::parse(&text).unwrap()).tree(schema)
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

    #[test]
    fn parts_of_parts_end_however_many_they_are() {
        let level = |number: usize| {
            let part = json!({"$ref": format!("#/components/schemas/L{}", number + 1)});
            (format!("L{number}"), json!({"allOf": vec![part; 50]}))
        };
        let mut schemas: Map<String, Value> = (0..12).map(level).collect();
        schemas.insert("L12".to_owned(), json!({"properties": {"end": {"type": "string"}}}));
        let drawn = tree(&Value::Object(schemas), &json!({"$ref": "#/components/schemas/L0"})).to_string();
        assert!(drawn.len() < 1_000, "{drawn}");
    }

    #[test]
    fn long_texts_are_cut_however_often_they_are_said() {
        let long = "x".repeat(100_000);
        let word = json!({"type": "string", "enum": [long, [long]], "default": long, "title": long});
        let reference = json!({"$ref": "#/components/schemas/Word"});
        let properties: Map<String, Value> =
            (0..2_000).map(|number| (format!("p{number}"), reference.clone())).collect();
        let drawn = tree(&json!({"Word": word}), &json!({"properties": properties})).to_string();
        assert!(drawn.len() < 2 * MAX_BYTES, "{}", drawn.len());
    }
}
