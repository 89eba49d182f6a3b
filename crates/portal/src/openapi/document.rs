//! A document as it was read: JSON or YAML, bounded, with references that are followed inside it only.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::length::line;

/// The longest text that is read; the controller keeps no longer ones.
const MAX_TEXT: usize = 8 * 1024 * 1024;
/// References that are followed one after another.
const MAX_HOPS: usize = 16;
/// Operations of one document.
pub const MAX_OPERATIONS: usize = 5_000;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// A document that cannot be shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the document has more than {MAX_TEXT} bytes")]
    TooLarge,
    #[error("the document is neither JSON nor YAML: {0}")]
    Syntax(String),
    #[error("the document says neither swagger: \"2.0\" nor openapi: 3.0 or 3.1")]
    Version,
}

/// A document, and where its operations are.
pub struct OpenApiDocument {
    pub root: Value,
    /// Path and method by the id of the operation.
    pub operations: BTreeMap<String, (String, &'static str)>,
    /// The ids in the order of the document.
    pub order: Vec<String>,
    pub problems: Vec<String>,
    pub is_swagger: bool,
    /// Size of the text.
    pub bytes: usize,
}

impl OpenApiDocument {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.len() > MAX_TEXT {
            return Err(DocumentError::TooLarge);
        }
        let root = value(text)?;
        let is_swagger = root["swagger"] == "2.0" || root["swagger"].as_f64() == Some(2.0);
        let version = match &root["openapi"] {
            Value::String(version) => version.clone(),
            Value::Number(version) => version.to_string(),
            _ => String::new(),
        };
        if !is_swagger && !version.starts_with("3.") {
            return Err(DocumentError::Version);
        }
        let mut document = Self {
            root,
            operations: BTreeMap::new(),
            order: Vec::new(),
            problems: Vec::new(),
            is_swagger,
            bytes: text.len(),
        };
        document.find_operations();
        Ok(document)
    }

    fn find_operations(&mut self) {
        let mut found = Vec::new();
        for (path, item) in self.root["paths"].as_object().into_iter().flatten() {
            if found.len() > MAX_OPERATIONS {
                break;
            }
            let item = self.resolve(item);
            for method in METHODS {
                if item[method].is_object() {
                    found.push((path.clone(), method, line(&item[method]["operationId"])));
                }
            }
        }
        if found.len() > MAX_OPERATIONS {
            self.problems.push(format!("only the first {MAX_OPERATIONS} operations are shown"));
            found.truncate(MAX_OPERATIONS);
        }
        let mut numbers = HashMap::new();
        for (path, method, named) in found {
            let derived = format!("{method}{}", path.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            let mut id = if named.is_empty() { derived.clone() } else { named.clone() };
            if self.operations.contains_key(&id) {
                if id == named {
                    self.problems.push(format!("operationId {named:?} is there more than once"));
                }
                id = derived;
            }
            let first = id.clone();
            while self.operations.contains_key(&id) {
                let number = numbers.entry(first.clone()).or_insert(2);
                id = format!("{first}-{number}");
                *number += 1;
            }
            self.order.push(id.clone());
            self.operations.insert(id, (path, method));
        }
    }

    /// Follows a reference within this document. Returns the value itself if it is none, null if it leads nowhere.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..MAX_HOPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
            let Some(found) = self.at(reference) else { return &Value::Null };
            value = found;
        }
        &Value::Null
    }

    /// The place that a local reference names.
    pub fn at(&self, reference: &str) -> Option<&Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// The item and the operation of an id.
    pub fn operation(&self, id: &str) -> Option<(&str, &'static str, &Value, &Value)> {
        let (path, method) = self.operations.get(id)?;
        let item = self.resolve(self.root["paths"].get(path)?);
        Some((path.as_str(), *method, item, item.get(*method)?))
    }
}

fn value(text: &str) -> Result<Value, DocumentError> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| DocumentError::Syntax(error.to_string()));
    }
    // As many as a text of the permitted length has in practice: large documents have a node for every ten bytes.
    let budget = serde_saphyr::budget! { max_nodes: 1_000_000, max_events: 2_000_000 };
    let options = serde_saphyr::options! { budget: budget };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let said: String = error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
        DocumentError::Syntax(said)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn large_documents_are_read() {
        let mut text = "openapi: 3.0.3\npaths: {}\nx-list:\n".to_owned();
        text.push_str(&"- {a: b}\n".repeat(200_000));
        assert!(OpenApiDocument::parse(&text).is_ok());
    }

    #[test]
    fn documents_of_all_versions_are_read() {
        for text in [
            "swagger: \"2.0\"\npaths: {}",
            "swagger: 2.0\npaths: {}",
            "openapi: 3.0.3\npaths: {}",
            "openapi: 3.1.0",
            "{\"openapi\": \"3.1.0\"}",
        ] {
            assert!(OpenApiDocument::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a: b", "openapi: 4.0.0", "swagger: 1.2", "[]", "7"] {
            assert_eq!(OpenApiDocument::parse(text).err(), Some(DocumentError::Version), "{text}");
        }
        assert!(matches!(OpenApiDocument::parse("{"), Err(DocumentError::Syntax(_))));
        assert!(matches!(OpenApiDocument::parse("a: [b"), Err(DocumentError::Syntax(_))));
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let text = "openapi: 3.0.0\npaths:\n  /a/{id}:\n    get: {}\n    post: {operationId: same}\n  /b:\n    get: {operationId: same}\n  /a-{id}:\n    get: {}\n";
        let document = OpenApiDocument::parse(text).unwrap();
        let mut ids = document.order.clone();
        ids.sort();
        assert_eq!(ids, ["get-a--id-", "get-a--id--2", "get-b", "same"]);
        assert_eq!(document.problems, ["operationId \"same\" is there more than once"]);
        assert_eq!(document.operation("get-b").unwrap().0, "/b");
    }

    #[test]
    fn many_operations_get_ids_soon() {
        // Each letter becomes a dash, so that all of them would have the same id.
        let letter = |number: u32| char::from_u32(0x4e00 + number).unwrap();
        let path =
            |number: u32| (format!("/{}{}", letter(number / 80), letter(number % 80)), json!({"get": {}}));
        let paths: serde_json::Map<String, Value> = (0..6_000).map(path).collect();
        let document =
            OpenApiDocument::parse(&json!({"openapi": "3.1.0", "paths": paths}).to_string()).unwrap();
        assert_eq!((document.operations.len(), document.order.len()), (MAX_OPERATIONS, MAX_OPERATIONS));
        assert_eq!(document.problems, ["only the first 5000 operations are shown"]);
        assert!(document.operation("get----5000").is_some());
    }

    #[test]
    fn references_that_lead_nowhere_or_in_circles_are_nothing() {
        let text = "openapi: 3.0.0\na: {$ref: '#/b'}\nb: {$ref: '#/a'}\nc: {$ref: '#/d'}\nd: {x: 1}\ne: {$ref: 'http://x/y'}\nf: {$ref: '#/none'}";
        let document = OpenApiDocument::parse(text).unwrap();
        let resolved = |name: &str| document.resolve(&document.root[name]).clone();
        for name in ["a", "e", "f"] {
            assert_eq!(resolved(name), Value::Null, "{name}");
        }
        assert_eq!(resolved("c")["x"], 1);
    }

    #[test]
    fn a_bomb_of_aliases_does_not_burst() {
        let mut text = String::from("openapi: 3.0.0\nl0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let all = vec![format!("*l{}", level - 1); 10].join(", ");
            text = format!("{text}l{level}: &l{level} [{all}]\n");
        }
        assert!(matches!(OpenApiDocument::parse(&text), Err(DocumentError::Syntax(_))));
    }
}
