//! Variables of an operation as a JSON Schema.

use apollo_compiler::{
    Name, Node, Schema,
    ast::{Type, Value as Literal, VariableDefinition},
    schema::ExtendedType,
};
use serde_json::{Map, Value, json};

/// Levels of input objects that are described. Below, an object is only called an object.
const MAX_DEPTH: usize = 3;

/// The schema of the variables.
pub(super) fn of_variables(schema: &Schema, variables: &[Node<VariableDefinition>]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for variable in variables {
        let mut property = of_type(schema, &variable.ty, MAX_DEPTH);
        match &variable.default_value {
            Some(default) => property["default"] = literal(default),
            None if variable.ty.is_non_null() => required.push(json!(variable.name.as_str())),
            None => {}
        }
        properties.insert(variable.name.to_string(), property);
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn of_type(schema: &Schema, ty: &Type, depth: usize) -> Value {
    let name = match ty {
        Type::List(inner) | Type::NonNullList(inner) => {
            return json!({"type": "array", "items": of_type(schema, inner, depth)});
        }
        Type::Named(name) | Type::NonNullNamed(name) => name,
    };
    match name.as_str() {
        "String" | "ID" => json!({"type": "string"}),
        "Int" | "Long" => json!({"type": "integer"}),
        "Float" => json!({"type": "number"}),
        "Boolean" => json!({"type": "boolean"}),
        "JSONString" => json!({"type": "string", "description": "JSON, as text."}),
        "StringMap_Input" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        _ => match schema.types.get(name) {
            Some(ExtendedType::Enum(values)) => {
                let values: Vec<_> = values.values.keys().map(Name::as_str).collect();
                json!({"type": "string", "enum": values})
            }
            Some(ExtendedType::InputObject(_)) if depth == 0 => json!({"type": "object"}),
            Some(ExtendedType::InputObject(object)) => {
                let properties: Map<_, _> = object
                    .fields
                    .iter()
                    .map(|(name, field)| (name.to_string(), of_type(schema, &field.ty, depth - 1)))
                    .collect();
                json!({"type": "object", "properties": properties})
            }
            // Any JSON.
            _ => json!({}),
        },
    }
}

fn literal(value: &Literal) -> Value {
    match value {
        Literal::Null | Literal::Variable(_) => Value::Null,
        Literal::Enum(name) => json!(name.as_str()),
        Literal::String(text) => json!(text),
        Literal::Boolean(is) => json!(is),
        Literal::Int(number) => serde_json::from_str(number.as_str()).unwrap_or_default(),
        Literal::Float(number) => serde_json::from_str(number.as_str()).unwrap_or_default(),
        Literal::List(all) => all.iter().map(|value| literal(value)).collect(),
        Literal::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.to_string(), literal(value))).collect())
        }
    }
}
