//! Pure: values of an answer that do not come from the API server: what a cluster is, and what it does not have.

use serde_json::Value;

use super::CLUSTER;
use crate::{
    error::GraphError,
    plan::{FieldSource, PlanField},
    scan::quoted,
};

/// A value that does not come from the API server.
#[derive(Debug, PartialEq)]
pub struct FixedValue {
    /// The path of the field in the answer.
    pub path: Vec<String>,
    /// Its source.
    pub source: FixedSource,
}

/// The source of such a value.
#[derive(Clone, Debug, PartialEq)]
pub enum FixedSource {
    /// The name of the cluster.
    Name,
    /// Its error as a whole.
    Error,
    /// Its labels.
    Labels,
    /// The type of the block.
    TypeName,
    /// Nothing is left of the fields.
    Empty,
    /// The cluster cannot be asked for it.
    Missing(MissingField),
}

/// A field that a cluster cannot be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingField {
    /// Its path in the schema.
    pub what: String,
    /// The error in its arguments or its fields. None if the cluster does not have it at all.
    pub why: Option<Box<GraphError>>,
}

impl MissingField {
    /// The error, for people.
    pub fn says(&self) -> String {
        match &self.why {
            Some(error) => format!("{} does not fit the cluster: {}", self.what, error.message),
            None => format!("the cluster does not have {}", self.what),
        }
    }
}

impl FixedValue {
    /// The field, if the cluster cannot be asked for it.
    pub fn missing(&self) -> Option<(Vec<String>, MissingField)> {
        match &self.source {
            FixedSource::Missing(missing) => Some((self.path.clone(), missing.clone())),
            _ => None,
        }
    }
}

/// The message about the fields of a block that its cluster cannot be asked for.
pub fn says_missing(all: &[FixedValue]) -> Option<String> {
    let (mut absent, mut said) = (Vec::new(), Vec::new());
    for fixed in all {
        match &fixed.source {
            FixedSource::Missing(missing) if missing.why.is_some() => said.push(missing.says()),
            FixedSource::Missing(missing) => absent.push(missing.what.as_str()),
            _ => {}
        }
    }
    if !absent.is_empty() {
        said.insert(0, format!("the cluster does not have {}", absent.join(", ")));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// Puts a value into a plan.
pub fn put(fields: &mut [PlanField], path: &[String], json: &str) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(field) = fields.iter_mut().find(|field| *field.name == **first) else { return };
    match (&mut field.does, rest) {
        (FieldSource::Group(fields), [_, ..]) => put(fields, rest, json),
        (does, []) => *does = FieldSource::Constant(json.into()),
        _ => {}
    }
}

/// The JSON of a value.
pub fn json(source: &FixedSource, name: &str, labels: &str, error: Option<&str>) -> String {
    match source {
        FixedSource::Name => Value::from(name).to_string(),
        FixedSource::Error => error.map_or_else(|| "null".to_owned(), |text| Value::from(text).to_string()),
        FixedSource::Labels => labels.to_owned(),
        FixedSource::TypeName => quoted(CLUSTER).to_string(),
        FixedSource::Empty => "{}".to_owned(),
        FixedSource::Missing(_) => "null".to_owned(),
    }
}
