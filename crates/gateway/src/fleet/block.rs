//! Pure: the `clusters` fields of a query, and which clusters each of them means.

use std::collections::BTreeMap;

use apollo_compiler::{
    Name, Node,
    ast::{Argument, Field, Selection, Value},
    request::{RequestError, coerce_variable_values},
    response::{JsonMap, JsonValue},
    validation::Valid,
};

use super::{
    schema::own,
    unfit::unfit,
    written::{WrittenQuery, type_name},
};
use crate::{
    error::{ErrorCode, GraphError},
    memory::ObjectSelector,
    plan,
};

/// Maximum number of names in one field.
const MAX_NAMES: usize = 1000;

/// A root field of the query.
pub enum RootField {
    /// `clusters`, by its place among the blocks.
    Clusters(String, usize),
    /// `__typename`.
    TypeName(String),
    /// The schema.
    Introspect(String),
}

/// One `clusters` field.
pub struct ClustersBlock {
    selector: Option<ObjectSelector>,
    names: Option<Vec<String>>,
    arguments: Vec<Node<Argument>>,
    /// The selections for each cluster.
    pub selections: Vec<Selection>,
}

/// The root fields of a query in their order, its blocks, and its fields of introspection.
pub struct QueryRoots {
    /// The fields.
    pub fields: Vec<RootField>,
    /// The blocks.
    pub blocks: Vec<ClustersBlock>,
    /// `__schema` and `__type`.
    pub introspection: Vec<Selection>,
}

impl QueryRoots {
    /// Reads the root of a query.
    pub fn of(written: &WrittenQuery) -> Result<Self, Vec<GraphError>> {
        let fields = written.roots().map_err(|error| vec![error])?;
        let variables = checked(written, &fields)?;
        Self::read(fields, &variables).map_err(|error| vec![error])
    }

    fn read(fields: Vec<Node<Field>>, variables: &JsonMap) -> Result<Self, GraphError> {
        let mut roots = Self { fields: Vec::new(), blocks: Vec::new(), introspection: Vec::new() };
        for field in fields {
            let key = field.alias.as_ref().unwrap_or(&field.name).to_string();
            let known = roots.fields.iter().find(|root| root.key() == key);
            match (field.name.as_str(), known) {
                ("clusters", Some(RootField::Clusters(_, index))) => {
                    let block = &mut roots.blocks[*index];
                    if block.arguments != field.arguments {
                        return Err(unfit(format!("{key} is there twice with different arguments")));
                    }
                    block.selections.extend(field.selection_set.iter().cloned());
                }
                ("clusters", None) => {
                    roots.fields.push(RootField::Clusters(key, roots.blocks.len()));
                    roots.blocks.push(ClustersBlock::of(&field, variables)?);
                }
                ("__typename", None) => roots.fields.push(RootField::TypeName(key)),
                ("__typename", Some(RootField::TypeName(_))) => {}
                ("__schema" | "__type", Some(RootField::Introspect(_)) | None) => {
                    if known.is_none() {
                        roots.fields.push(RootField::Introspect(key));
                    }
                    roots.introspection.push(Selection::Field(field));
                }
                (_, Some(_)) => return Err(unfit(format!("{key} is there twice with different fields"))),
                (name, None) => {
                    let message = format!(
                        "type `Query` of the fleet has no field `{name}`: clusters are below `clusters`"
                    );
                    return Err(unfit(message));
                }
            }
        }
        Ok(roots)
    }
}

impl RootField {
    fn key(&self) -> &str {
        match self {
            Self::Clusters(key, _) | Self::TypeName(key) | Self::Introspect(key) => key,
        }
    }
}

/// Checks the arguments of `clusters` by the schema of the fleet. Returns the variables in them.
fn checked(written: &WrittenQuery, fields: &[Node<Field>]) -> Result<JsonMap, Vec<GraphError>> {
    let bare = |(place, field): (usize, &Node<Field>)| {
        // Fields of one name are compared elsewhere.
        let alias = Some(Name::new_unchecked(&format!("c{place}")));
        let selection_set = vec![Selection::Field(type_name(None))];
        Selection::Field(Node::new(Field { alias, selection_set, ..Field::clone(field) }))
    };
    let clusters = fields.iter().filter(|field| field.name == "clusters");
    let bare: Vec<_> = clusters.enumerate().map(bare).collect();
    if bare.is_empty() {
        return Ok(JsonMap::new());
    }
    let document = written.alone(bare);
    let document = document
        .to_executable_validate(own())
        .map_err(|invalid| plan::told(ErrorCode::ValidationFailed, &invalid.errors))?;
    let wrong = |error: RequestError| vec![GraphError::new(ErrorCode::Invalid, error.message().to_string())];
    let operation = document.operations.get(None).map_err(wrong)?;
    coerce_variable_values(own(), operation, &written.given).map(Valid::into_inner).map_err(wrong)
}

impl ClustersBlock {
    fn of(field: &Node<Field>, variables: &JsonMap) -> Result<Self, GraphError> {
        let mut block = Self {
            selector: None,
            names: None,
            arguments: field.arguments.clone(),
            selections: field.selection_set.clone(),
        };
        if block.selections.is_empty() {
            return Err(unfit("`clusters` needs a selection of fields"));
        }
        for argument in &field.arguments {
            match (argument.name.as_str(), value(&argument.value, variables)) {
                ("selector", JsonValue::String(text)) => {
                    let selector = ObjectSelector::of_labels(text.as_str());
                    let message = format!("{:?} is not a label selector", text.as_str());
                    block.selector =
                        Some(selector.ok_or_else(|| GraphError::new(ErrorCode::Invalid, message))?);
                }
                ("names", JsonValue::String(name)) => block.names = Some(vec![name.as_str().to_owned()]),
                ("names", JsonValue::Array(names)) => block.names = Some(texts(&names)?),
                // It is null: everything else was refused before.
                _ => {}
            }
        }
        Ok(block)
    }

    /// The names of the clusters that it means, in the order of the answer. `labels` knows those that there are.
    pub fn chosen<'c>(
        &self,
        labels: impl Iterator<Item = (&'c str, &'c BTreeMap<String, String>)>,
    ) -> Vec<String> {
        let is_selected = |labels: &BTreeMap<String, String>| {
            self.selector.as_ref().is_none_or(|selector| selector.takes_labels(labels))
        };
        let selected = labels.filter(|(_, labels)| is_selected(labels)).map(|(name, _)| name.to_owned());
        match (&self.names, &self.selector) {
            // A name that is not there is answered as one that does not accept the token.
            (Some(names), None) => names.clone(),
            (Some(names), Some(_)) => {
                let selected: Vec<_> = selected.collect();
                names.iter().filter(|name| selected.contains(name)).cloned().collect()
            }
            (None, _) => selected.collect(),
        }
    }

    /// Returns `true` if a cluster is named, so that the caller is told that it is refused there.
    pub const fn is_named(&self) -> bool {
        self.names.is_some()
    }
}

/// The value of an argument that was checked: a text, or a list of them.
fn value(value: &Value, variables: &JsonMap) -> JsonValue {
    match value {
        Value::Variable(name) => variables.get(name.as_str()).cloned().unwrap_or_default(),
        Value::String(text) => JsonValue::String(text.as_str().into()),
        Value::List(all) => all.iter().map(|one| self::value(one, variables)).collect(),
        _ => JsonValue::Null,
    }
}

fn texts(values: &[JsonValue]) -> Result<Vec<String>, GraphError> {
    let mut names = Vec::new();
    for value in values {
        let name = value.as_str().ok_or_else(|| unfit("`names` is a list of String"))?;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.len() > MAX_NAMES {
        let message = format!("{} names exceed the maximum of {MAX_NAMES}", names.len());
        return Err(GraphError::new(ErrorCode::LimitExceeded, message));
    }
    Ok(names)
}
