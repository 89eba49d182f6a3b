//! One operation of a document in full, in one shape for all versions.

use serde_json::{Map, Value, json};

use super::{
    document::OpenApiDocument,
    length::{length, line},
    markdown::described,
    schema::SchemaTrees,
};

/// Parameters, media types and answers of one operation.
const MAX_PARTS: usize = 100;
/// Longest example.
const MAX_EXAMPLE: usize = 16 * 1024;

/// The operation of an id.
pub fn operation(document: &OpenApiDocument, id: &str) -> Option<Value> {
    let (path, method, item, operation) = document.operation(id)?;
    let mut trees = SchemaTrees::new(document);
    let all = parameters(document, item, operation);
    let mut json = json!({
        "id": id, "method": method.to_uppercase(), "path": path,
        "summary": line(&operation["summary"]),
        "description": described(operation),
        "deprecated": operation["deprecated"] == true,
        "parameters": all.iter().filter(|one| !is_body(one)).map(|one| parameter(&mut trees, one)).collect::<Vec<_>>(),
        "security": security(document, operation),
    });
    if let Some(body) = body(document, &mut trees, operation, &all) {
        json["requestBody"] = body;
    }
    json["responses"] = responses(document, &mut trees, operation).into();
    Some(json)
}

/// Parameters of the path and of the operation, which come first where both have one.
fn parameters<'a>(document: &'a OpenApiDocument, item: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    let of = |value: &'a Value| {
        let all = value["parameters"].as_array().into_iter().flatten().take(MAX_PARTS);
        all.map(|one| document.resolve(one))
    };
    let mut all: Vec<&Value> = of(operation).collect();
    for inherited in of(item) {
        let is_known = all.iter().any(|one| one["name"] == inherited["name"] && one["in"] == inherited["in"]);
        if !is_known {
            all.push(inherited);
        }
    }
    all.retain(|one| one.is_object());
    all.truncate(MAX_PARTS);
    all
}

fn is_body(parameter: &Value) -> bool {
    parameter["in"] == "body" || parameter["in"] == "formData"
}

fn parameter(trees: &mut SchemaTrees<'_>, parameter: &Value) -> Value {
    let content = parameter["content"].as_object().and_then(|all| all.values().next());
    let schema = parameter.get("schema").or_else(|| content.and_then(|content| content.get("schema")));
    json!({
        "name": line(&parameter["name"]), "in": line(&parameter["in"]),
        "required": parameter["required"] == true,
        "description": described(parameter),
        // Swagger 2.0 has type and format at the parameter itself.
        "schema": trees.tree(schema.unwrap_or(parameter)),
    })
}

fn body(
    document: &OpenApiDocument,
    trees: &mut SchemaTrees<'_>,
    operation: &Value,
    all: &[&Value],
) -> Option<Value> {
    if !document.is_swagger {
        let body = document.resolve(operation.get("requestBody")?);
        return Some(json!({
            "description": described(body), "required": body["required"] == true,
            "content": contents(document, trees, &body["content"]),
        }));
    }
    let kinds = kinds(document, operation, "consumes");
    if let Some(body) = all.iter().find(|one| one["in"] == "body") {
        let schema = trees.tree(&body["schema"]);
        let content: Vec<_> = kinds.iter().map(|kind| json!({"type": kind, "schema": schema})).collect();
        return Some(
            json!({"description": described(body), "required": body["required"] == true, "content": content}),
        );
    }
    let fields: Vec<_> = all.iter().filter(|one| one["in"] == "formData").collect();
    if fields.is_empty() {
        return None;
    }
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
    let properties: Map<String, Value> = fields.iter().map(|one| (name(one), (***one).clone())).collect();
    let required: Vec<_> = fields.iter().filter(|one| one["required"] == true).map(|one| name(one)).collect();
    let mut properties = Value::Object(properties);
    for property in properties.as_object_mut().into_iter().flatten() {
        if let Some(members) = property.1.as_object_mut() {
            members.remove("required");
        }
    }
    let schema = trees.tree(&json!({"type": "object", "properties": properties, "required": required}));
    let kind = kinds.into_iter().find(|kind| kind.contains("form"));
    let kind = kind.unwrap_or_else(|| "application/x-www-form-urlencoded".to_owned());
    Some(
        json!({"description": "", "required": !required.is_empty(), "content": [{"type": kind, "schema": schema}]}),
    )
}

/// Media types that an operation of Swagger 2.0 takes or gives.
fn kinds(document: &OpenApiDocument, operation: &Value, member: &str) -> Vec<String> {
    let own = operation[member].as_array().or_else(|| document.root[member].as_array());
    let kinds: Vec<_> =
        own.into_iter().flatten().filter_map(Value::as_str).take(20).map(str::to_owned).collect();
    if kinds.is_empty() { vec!["application/json".to_owned()] } else { kinds }
}

fn contents(document: &OpenApiDocument, trees: &mut SchemaTrees<'_>, content: &Value) -> Vec<Value> {
    let all = content.as_object().into_iter().flatten().take(20);
    all.map(|(kind, media)| {
        let mut json = json!({"type": kind, "schema": trees.tree(&media["schema"])});
        let named = media["examples"].as_object().and_then(|all| all.values().next());
        let named = named.map(|example| &document.resolve(example)["value"]);
        let schema = &document.resolve(&media["schema"])["example"];
        let found =
            [media.get("example"), named, Some(schema)].into_iter().flatten().find(|one| !one.is_null());
        if let Some(example) = found.filter(|example| length(example, MAX_EXAMPLE).is_some()) {
            json["example"] = example.clone();
        }
        json
    })
    .collect()
}

fn responses(document: &OpenApiDocument, trees: &mut SchemaTrees<'_>, operation: &Value) -> Vec<Value> {
    let all = operation["responses"].as_object().into_iter().flatten().take(MAX_PARTS);
    all.map(|(status, response)| {
        let response = document.resolve(response);
        let content = if document.is_swagger {
            let schema = response.get("schema").map(|schema| trees.tree(schema));
            let kinds = kinds(document, operation, "produces");
            let of =
                |schema: Value| kinds.iter().map(|kind| json!({"type": kind, "schema": schema})).collect();
            schema.map_or_else(Vec::new, of)
        } else {
            contents(document, trees, &response["content"])
        };
        json!({"status": status, "description": described(response), "content": content})
    })
    .collect()
}

/// Names of the schemes that an operation asks for.
fn security(document: &OpenApiDocument, operation: &Value) -> Vec<String> {
    let own = operation["security"].as_array().or_else(|| document.root["security"].as_array());
    let choices = own.into_iter().flatten().filter_map(Value::as_object);
    let mut names: Vec<_> = choices.flat_map(|choice| choice.keys().cloned()).take(20).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_of_version_3_is_shown_in_full() {
        let text = "openapi: 3.0.0
paths:
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    put:
      operationId: put
      description: 'A <script>'
      security: [{key: []}]
      parameters: [{$ref: '#/components/parameters/Dry'}]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}, example: {name: x}}}}
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}}
components:
  parameters: {Dry: {name: dry, in: query, description: d, schema: {type: boolean}}}
  schemas: {Pet: {type: object, properties: {name: {type: string}}}}
";
        let found = operation(&OpenApiDocument::parse(text).unwrap(), "put").unwrap();
        let names: Vec<_> = found["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["dry", "id"]);
        assert_eq!(found["description"], "<p>A &lt;script&gt;</p>\n");
        assert_eq!(found["requestBody"]["content"][0]["example"], json!({"name": "x"}));
        assert_eq!(found["responses"][0]["content"][0]["schema"]["title"], "Pet");
        assert_eq!(found["security"], json!(["key"]));
        assert!(operation(&OpenApiDocument::parse(text).unwrap(), "none").is_none());
    }

    /// Every description in an answer.
    fn descriptions(value: &Value) -> Vec<&str> {
        let own = value.get("description").and_then(Value::as_str);
        let below: Vec<&Value> = match value {
            Value::Object(members) => members.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        own.into_iter().chain(below.into_iter().flat_map(descriptions)).collect()
    }

    #[test]
    fn no_description_is_markup_wherever_it_stands() {
        let three = "openapi: 3.0.0
paths:
  /a:
    post:
      operationId: x
      description: BAD
      parameters: [{name: q, in: query, description: BAD, schema: {type: string, description: BAD}}]
      requestBody: {description: BAD, content: {a/b: {schema: {description: BAD, properties: {p: {description: BAD}}}}}}
      responses: {'200': {description: BAD, content: {a/b: {schema: {items: {description: BAD}}}}}}
";
        let two = "swagger: '2.0'
paths:
  /a:
    post:
      operationId: x
      description: BAD
      parameters: [{name: q, in: query, description: BAD}, {name: b, in: body, description: BAD, schema: {description: BAD}}]
      responses: {'200': {description: BAD, schema: {additionalProperties: {description: BAD}}}}
";
        let form = "swagger: '2.0'
paths: {/a: {post: {operationId: x, parameters: [{name: f, in: formData, description: BAD}], responses: {}}}}
";
        for (text, expected) in [(three, 8), (two, 7), (form, 1)] {
            let text = text.replace("BAD", "'<meta http-equiv=refresh content=0><form action=x>'");
            let found = operation(&OpenApiDocument::parse(&text).unwrap(), "x").unwrap();
            let all: Vec<_> = descriptions(&found).into_iter().filter(|text| !text.is_empty()).collect();
            assert_eq!(all.len(), expected, "{found}");
            for text in all {
                assert!(
                    text.contains("&lt;meta") && !text.contains("<meta") && !text.contains("<form"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn an_operation_of_version_2_has_the_same_shape() {
        let text = "swagger: '2.0'
consumes: [application/json]
paths:
  /pets:
    post:
      operationId: add
      parameters: [{name: pet, in: body, required: true, schema: {$ref: '#/definitions/Pet'}}, {name: n, in: query, type: integer}]
      responses: {'200': {description: ok, schema: {$ref: '#/definitions/Pet'}}}
  /upload:
    post:
      operationId: upload
      parameters: [{name: file, in: formData, type: string, required: true}]
      responses: {}
definitions: {Pet: {type: object}}
";
        let document = OpenApiDocument::parse(text).unwrap();
        let add = operation(&document, "add").unwrap();
        assert_eq!(add["parameters"][0]["schema"]["type"], "integer");
        assert_eq!(add["requestBody"]["content"][0]["type"], "application/json");
        assert_eq!(add["responses"][0]["content"][0]["schema"]["title"], "Pet");
        let upload = operation(&document, "upload").unwrap();
        let schema = &upload["requestBody"]["content"][0]["schema"];
        assert_eq!(schema["properties"][0]["name"], "file");
        assert_eq!(schema["properties"][0]["required"], true);
    }
}
