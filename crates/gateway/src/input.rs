//! Arguments: from a query and its variables to JSON with the keys of the API server.
//!
//! Absent fields stay absent: in a merge patch, null removes. Numbers are passed on as they are written.

use apollo_compiler::{
    Name,
    ast::{Type, Value},
    response::{JsonMap, JsonValue},
    schema::ExtendedType,
};

use crate::{
    error::{ErrorCode, GraphError},
    scan::quote,
    schema::{ClusterApi, FieldKey},
};

/// An argument of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanArgument {
    /// Constant JSON.
    Json(Box<str>),
    /// The value of a variable of this type.
    Variable(Box<str>, Type),
    /// A list.
    List(Vec<Self>),
    /// An object, by the keys of the API server.
    Object(Vec<(Box<str>, Self)>),
}

fn invalid(message: impl Into<String>) -> GraphError {
    GraphError::new(ErrorCode::Invalid, message)
}

/// An argument from the text of a query.
pub fn literal(api: &ClusterApi, value: &Value, ty: &Type) -> Result<PlanArgument, GraphError> {
    if let Value::Variable(name) = value {
        return Ok(PlanArgument::Variable(name.as_str().into(), ty.clone()));
    }
    if value.is_null() {
        return Ok(PlanArgument::Json("null".into()));
    }
    let name = match ty {
        Type::List(inner) | Type::NonNullList(inner) => {
            let entries = match value {
                Value::List(entries) => {
                    entries.iter().map(|entry| literal(api, entry, inner)).collect::<Result<_, _>>()?
                }
                one => vec![literal(api, one, inner)?],
            };
            return Ok(PlanArgument::List(entries));
        }
        Type::Named(name) | Type::NonNullNamed(name) => name,
    };
    match (name.as_str(), value) {
        ("StringMap_Input", value) => string_map(value),
        ("JSONString", Value::String(text)) => Ok(PlanArgument::Json(checked_json(text)?.into())),
        ("Long", Value::Int(number)) => Ok(PlanArgument::Json(number.as_str().into())),
        ("Long", _) => Err(invalid("a Long is a whole number")),
        (_, Value::Object(fields)) => match api.schema.types.get(name) {
            Some(ExtendedType::InputObject(_)) => object(api, name, fields),
            _ => untyped(value),
        },
        _ => untyped(value),
    }
}

fn object(
    api: &ClusterApi,
    ty: &Name,
    fields: &[(Name, apollo_compiler::Node<Value>)],
) -> Result<PlanArgument, GraphError> {
    let mut all: Vec<(Box<str>, PlanArgument)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let Some(field) = field_type(api, ty, name) else { continue };
        let argument = literal(api, value, field)?;
        put(&mut all, key(api, ty, name), argument);
    }
    Ok(PlanArgument::Object(all))
}

fn put(all: &mut Vec<(Box<str>, PlanArgument)>, key: &str, argument: PlanArgument) {
    // A field and its `_json` sibling have the same key: the last one counts.
    all.retain(|(known, _)| **known != *key);
    all.push((key.into(), argument));
}

fn field_type<'a>(api: &'a ClusterApi, ty: &Name, field: &str) -> Option<&'a Type> {
    let input = api.schema.get_input_object(ty)?;
    input.fields.get(field).map(|field| &*field.ty)
}

fn key<'a>(api: &'a ClusterApi, ty: &Name, field: &'a Name) -> &'a str {
    match api.keys.get(&(ty.clone(), field.clone())) {
        Some(FieldKey::Of(key)) => key,
        Some(FieldKey::Whole) | None => field,
    }
}

fn checked_json(text: &str) -> Result<&str, GraphError> {
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    read.map(|_| text).map_err(|_| invalid("a JSONString must be the text of JSON"))
}

/// An object with strings, or a list of keys and values.
fn string_map(value: &Value) -> Result<PlanArgument, GraphError> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                put(&mut all, name, text_or_null(value)?);
            }
        }
        Value::List(entries) => {
            for entry in entries {
                let Some(fields) = entry.as_object() else {
                    return Err(invalid("expected a list of {key, value}"));
                };
                let part =
                    |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
                let key = part("key").and_then(|key| key.as_str());
                let key = key.ok_or_else(|| invalid("a key must be a string"))?;
                let value = part("value").ok_or_else(|| invalid("a value must be a string"))?;
                put(&mut all, key, text_or_null(value)?);
            }
        }
        _ => return Err(invalid("expected an object with strings, or a list of {key, value}")),
    }
    Ok(PlanArgument::Object(all))
}

fn text_or_null(value: &Value) -> Result<PlanArgument, GraphError> {
    match value {
        Value::String(_) | Value::Null | Value::Variable(_) => untyped(value),
        _ => Err(invalid("a value must be a string")),
    }
}

/// A value without a known type.
fn untyped(value: &Value) -> Result<PlanArgument, GraphError> {
    Ok(match value {
        Value::Null => PlanArgument::Json("null".into()),
        Value::Variable(name) => {
            PlanArgument::Variable(name.as_str().into(), Type::Named(Name::new_unchecked("JSON")))
        }
        Value::Enum(name) => PlanArgument::Json(quoted(name)),
        Value::String(text) => PlanArgument::Json(quoted(text)),
        Value::Int(number) => PlanArgument::Json(number.as_str().into()),
        Value::Float(number) => PlanArgument::Json(number.as_str().into()),
        Value::Boolean(value) => PlanArgument::Json(value.to_string().into()),
        Value::List(entries) => {
            PlanArgument::List(entries.iter().map(|entry| untyped(entry)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (name, value) in fields {
                put(&mut all, name, untyped(value)?);
            }
            PlanArgument::Object(all)
        }
    })
}

fn quoted(text: &str) -> Box<str> {
    crate::scan::quoted(text)
}

/// Evaluates arguments with the values of variables.
pub struct ArgumentEvaluator<'a> {
    /// The schema.
    pub api: &'a ClusterApi,
    /// The variables, coerced.
    pub variables: &'a JsonMap,
}

impl ArgumentEvaluator<'_> {
    /// The JSON of the argument of this name. Behind a variable is the default, for where it was not given.
    pub fn named(
        &self,
        arguments: &[(Box<str>, PlanArgument)],
        name: &str,
    ) -> Result<Option<Vec<u8>>, GraphError> {
        for (_, argument) in arguments.iter().filter(|(known, _)| **known == *name) {
            if let Some(json) = self.json(argument)? {
                return Ok(Some(json));
            }
        }
        Ok(None)
    }

    /// The JSON of an argument, unless it is a variable that was not given.
    pub fn json(&self, argument: &PlanArgument) -> Result<Option<Vec<u8>>, GraphError> {
        let mut out = Vec::new();
        let is_there = self.write(argument, &mut out)?;
        Ok(is_there.then_some(out))
    }

    fn write(&self, argument: &PlanArgument, out: &mut Vec<u8>) -> Result<bool, GraphError> {
        match argument {
            PlanArgument::Json(json) => out.extend_from_slice(json.as_bytes()),
            PlanArgument::Variable(name, ty) => match self.variables.get(&**name) {
                Some(value) => self.value(value, ty, out)?,
                None => return Ok(false),
            },
            PlanArgument::List(entries) => {
                out.push(b'[');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    if !self.write(entry, out)? {
                        out.extend_from_slice(b"null");
                    }
                }
                out.push(b']');
            }
            PlanArgument::Object(fields) => {
                out.push(b'{');
                let start = out.len();
                for (key, value) in fields {
                    let before = out.len();
                    Self::label(key, out, start);
                    if !self.write(value, out)? {
                        out.truncate(before);
                    }
                }
                out.push(b'}');
            }
        }
        Ok(true)
    }

    fn label(key: &str, out: &mut Vec<u8>, start: usize) {
        if out.len() > start {
            out.push(b',');
        }
        quote(key.as_bytes(), out);
        out.push(b':');
    }

    /// Writes the value of a variable.
    fn value(&self, value: &JsonValue, ty: &Type, out: &mut Vec<u8>) -> Result<(), GraphError> {
        if value.is_null() {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let name = match ty {
            Type::List(inner) | Type::NonNullList(inner) => {
                let one = std::slice::from_ref(value);
                out.push(b'[');
                for (index, entry) in value.as_array().map_or(one, Vec::as_slice).iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(entry, inner, out)?;
                }
                out.push(b']');
                return Ok(());
            }
            Type::Named(name) | Type::NonNullNamed(name) => name,
        };
        match (name.as_str(), value) {
            ("JSONString", JsonValue::String(text)) => {
                out.extend_from_slice(checked_json(text.as_str())?.as_bytes());
            }
            ("StringMap_Input", value) => Self::string_map(value, out)?,
            ("Long", JsonValue::Number(number)) if number.is_i64() || number.is_u64() => {
                out.extend_from_slice(number.to_string().as_bytes());
            }
            ("Long", _) => return Err(invalid("a Long is a whole number")),
            (_, JsonValue::Object(fields)) if self.api.schema.get_input_object(name).is_some() => {
                self.object(fields, name, out)?;
            }
            _ => plain(value, out),
        }
        Ok(())
    }

    fn object(&self, fields: &JsonMap, ty: &Name, out: &mut Vec<u8>) -> Result<(), GraphError> {
        out.push(b'{');
        let start = out.len();
        for (name, value) in fields {
            let name = Name::new(name.as_str()).map_err(|_| invalid("not a field"))?;
            let Some(field) = field_type(self.api, ty, &name) else {
                return Err(invalid(format!("{ty} has no field {name}")));
            };
            Self::label(key(self.api, ty, &name), out, start);
            self.value(value, field, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn string_map(value: &JsonValue, out: &mut Vec<u8>) -> Result<(), GraphError> {
        let mut entries: Vec<(&str, &JsonValue)> = Vec::new();
        match value {
            JsonValue::Object(fields) => {
                entries.extend(fields.iter().map(|(key, value)| (key.as_str(), value)));
            }
            JsonValue::Array(list) => {
                for entry in list {
                    let key = entry.get("key").and_then(JsonValue::as_str);
                    let value = entry.get("value");
                    let (Some(key), Some(value)) = (key, value) else {
                        return Err(invalid("expected a list of {key, value}"));
                    };
                    entries.push((key, value));
                }
            }
            _ => return Err(invalid("expected an object with strings, or a list of {key, value}")),
        }
        out.push(b'{');
        let start = out.len();
        for (key, value) in entries {
            if !value.is_string() && !value.is_null() {
                return Err(invalid(format!("the value of {key:?} must be a string")));
            }
            Self::label(key, out, start);
            plain(value, out);
        }
        out.push(b'}');
        Ok(())
    }
}

fn plain(value: &JsonValue, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, value);
}
