//! The index of a document: what there is, without the details.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{document::OpenApiDocument, length::line, markdown::described};

/// Name of the group of operations without a tag.
const UNTAGGED: &str = "Other";
const MAX_NAMES: usize = 2_000;

/// Title, servers, operations by tag, and the names of schemas.
pub fn index(document: &OpenApiDocument) -> Value {
    let root = &document.root;
    let info = &root["info"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    json!({
        "title": text(&info["title"]), "version": info["version"].as_str().map_or_else(|| info["version"].to_string(), str::to_owned),
        "description": described(info),
        "servers": servers(document), "tags": tags(document), "schemas": schemas(document),
        "problems": document.problems,
    })
}

/// The URLs at which the API is, as the document says.
pub fn servers(document: &OpenApiDocument) -> Vec<String> {
    let root = &document.root;
    if !document.is_swagger {
        let all = root["servers"].as_array().into_iter().flatten();
        return all.filter_map(|server| server["url"].as_str()).take(20).map(str::to_owned).collect();
    }
    let base = root["basePath"].as_str().unwrap_or_default();
    let Some(host) = root["host"].as_str() else {
        return if base.is_empty() { Vec::new() } else { vec![base.to_owned()] };
    };
    let schemes = root["schemes"].as_array().into_iter().flatten();
    let schemes: Vec<_> = schemes.filter_map(Value::as_str).take(20).collect();
    let schemes = if schemes.is_empty() { vec!["https"] } else { schemes };
    schemes.iter().map(|scheme| format!("{scheme}://{host}{base}")).collect()
}

fn tags(document: &OpenApiDocument) -> Vec<Value> {
    let mut groups: HashMap<&str, Vec<Value>> = HashMap::new();
    let mut met = Vec::new();
    for id in &document.order {
        let Some((path, method, _, operation)) = document.operation(id) else { continue };
        let tag = operation["tags"][0].as_str().unwrap_or(UNTAGGED);
        let group = groups.entry(tag).or_insert_with(|| {
            met.push(tag);
            Vec::new()
        });
        group.push(json!({
            "id": id, "method": method.to_uppercase(), "path": path,
            "summary": line(&operation["summary"]), "deprecated": operation["deprecated"] == true,
        }));
    }
    let mut group = |name: &str, tag: &Value| {
        let operations = groups.remove(name)?;
        Some(json!({"name": name, "description": described(tag), "operations": operations}))
    };
    // Those that the document tells about come first, in its order.
    let told = document.root["tags"].as_array().into_iter().flatten();
    let mut all: Vec<_> = told.filter_map(|tag| group(tag["name"].as_str()?, tag)).collect();
    all.extend(met.into_iter().filter_map(|name| group(name, &Value::Null)));
    all
}

fn schemas(document: &OpenApiDocument) -> Vec<String> {
    let place = if document.is_swagger { "/definitions" } else { "/components/schemas" };
    let all = document.root.pointer(place).and_then(Value::as_object);
    all.into_iter().flatten().take(MAX_NAMES).map(|(name, _)| name.clone()).collect()
}

/// Returns `true` if the document has an operation of this method at this path.
pub fn has(document: &OpenApiDocument, method: &str, path: &str) -> bool {
    let bases: Vec<String> = servers(document).iter().map(|server| base_path(server)).collect();
    document.operations.values().any(|(template, known)| {
        known.eq_ignore_ascii_case(method)
            && (is_like(template, path)
                || bases
                    .iter()
                    .any(|base| path.strip_prefix(base.as_str()).is_some_and(|rest| is_like(template, rest))))
    })
}

/// The path of a server's URL, without the slash at its end.
fn base_path(server: &str) -> String {
    let path = match server.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |start| &rest[start..]),
        None => server,
    };
    path.trim_end_matches('/').to_owned()
}

/// Returns `true` if a path is one of a template: `{name}` stands for one segment.
fn is_like(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(known, given)| match known.split_once('{') {
            Some((before, _)) => given.starts_with(before) && !given.is_empty(),
            None => *known == given,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PETS: &str = "openapi: 3.0.0
info: {title: Pets, version: 1.0.0, description: '*All* <b>pets</b>'}
servers: [{url: 'https://x.org/v1/'}]
tags: [{name: pets, description: d}, {name: unused}]
paths:
  /pets:
    get: {tags: [pets], summary: List, operationId: list}
    post: {tags: [pets], deprecated: true}
  /health:
    get: {}
components: {schemas: {Pet: {}}}
";

    #[test]
    fn an_index_groups_operations_by_tag() {
        let index = index(&OpenApiDocument::parse(PETS).unwrap());
        assert_eq!((&index["title"], &index["version"]), (&json!("Pets"), &json!("1.0.0")));
        assert_eq!(index["description"], "<p><em>All</em> &lt;b&gt;pets&lt;/b&gt;</p>\n");
        let tags = index["tags"].as_array().unwrap();
        let names: Vec<_> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["pets", "Other"]);
        let list =
            json!({"id": "list", "method": "GET", "path": "/pets", "summary": "List", "deprecated": false});
        assert_eq!(tags[0]["operations"][0], list);
        assert_eq!(index["schemas"], json!(["Pet"]));
    }

    #[test]
    fn a_request_is_one_of_the_document() {
        let pets = OpenApiDocument::parse(
            "openapi: 3.0.0\nservers: [{url: 'https://x.org/v1'}]\npaths:\n  /pets/{id}:\n    get: {}\n",
        )
        .unwrap();
        let table = [
            ("GET", "/pets/7", true),
            ("get", "/v1/pets/7", true),
            ("GET", "/pets/", false),
            ("GET", "/pets/7/toys", false),
            ("POST", "/pets/7", false),
            ("GET", "/v2/pets/7", false),
        ];
        for (method, path, expected) in table {
            assert_eq!(has(&pets, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn servers_of_swagger_are_put_together() {
        let of = |text: &str| servers(&OpenApiDocument::parse(&format!("swagger: '2.0'\n{text}")).unwrap());
        assert_eq!(of("host: h\nbasePath: /v1\nschemes: [http, https]"), ["http://h/v1", "https://h/v1"]);
        assert_eq!(of("basePath: /v1"), ["/v1"]);
        assert_eq!(of("paths: {}"), Vec::<String>::new());
    }
}
