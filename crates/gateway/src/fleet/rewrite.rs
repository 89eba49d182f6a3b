//! Pure: the part of a query that one cluster is asked.
//!
//! What the cluster does not have is replaced by `__typename`, so that the rest fits its schema, and made null in the plan.

use apollo_compiler::{
    Name, Node,
    ast::{Field, Selection},
};

use super::{
    CLUSTER,
    block::Block,
    written::{Written, unfit},
};
use crate::{
    error::GraphError,
    plan::{Does, Field as Planned},
    scan::quoted,
    schema::Api,
};

/// The query for one cluster.
pub struct Rewritten {
    /// Its text.
    pub text: String,
    /// Values that do not come from the API server.
    pub fixed: Vec<Fixed>,
    /// Number of calls that it makes.
    pub calls: usize,
}

/// A value that does not come from the API server.
#[derive(Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The path of the field in the answer.
    pub path: Vec<String>,
    /// Its source.
    pub source: Source,
}

/// The source of such a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The name of the cluster.
    Name,
    /// What is wrong with it as a whole.
    Error,
    /// Its labels.
    Labels,
    /// The type of the block.
    TypeName,
    /// Nothing is left of the fields.
    Empty,
    /// The cluster does not have this field, by its path in the schema.
    Missing(String),
}

struct Walk<'w, 'd> {
    written: &'w Written<'d>,
    api: &'w Api,
    fixed: Vec<Fixed>,
    calls: usize,
}

/// The query for a cluster with this schema.
pub fn rewrite(written: &Written<'_>, block: &Block, api: &Api) -> Result<Rewritten, GraphError> {
    let mut walk = Walk { written, api, fixed: Vec::new(), calls: 0 };
    let fields = written.fields(&block.selections, CLUSTER)?;
    let selections = walk.level(fields, "Query", (&mut Vec::new(), &mut Vec::new()))?;
    let text = written.alone(selections).to_string();
    Ok(Rewritten { text, fixed: walk.fixed, calls: walk.calls })
}

/// The fields of a block by name in the answer, for a cluster that cannot be asked.
pub fn keys(written: &Written<'_>, block: &Block) -> Result<Vec<(String, Option<Source>)>, GraphError> {
    let mut keys: Vec<(String, Option<Source>)> = Vec::new();
    for field in written.fields(&block.selections, CLUSTER)? {
        let key = key(&field).to_owned();
        if !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, own(&field)));
        }
    }
    Ok(keys)
}

fn key(field: &Field) -> &str {
    field.alias.as_ref().unwrap_or(&field.name)
}

/// The source of a field of the block itself.
fn own(field: &Field) -> Option<Source> {
    match field.name.as_str() {
        "name" => Some(Source::Name),
        "error" => Some(Source::Error),
        "labels" => Some(Source::Labels),
        "__typename" => Some(Source::TypeName),
        _ => None,
    }
}

impl Walk<'_, '_> {
    fn level(
        &mut self,
        fields: Vec<Node<Field>>,
        type_name: &str,
        (path, names): (&mut Vec<String>, &mut Vec<String>),
    ) -> Result<Vec<Selection>, GraphError> {
        let is_block = path.is_empty();
        let mut selections = Vec::with_capacity(fields.len());
        for field in fields {
            path.push(key(&field).to_owned());
            names.push(field.name.to_string());
            let field = match own(&field).filter(|_| is_block) {
                Some(source) => {
                    if !field.arguments.is_empty() || !field.selection_set.is_empty() {
                        return Err(unfit(format!("`{}` of a cluster is a plain value", field.name)));
                    }
                    self.fix(path, source)
                }
                None => self.field(field, type_name, (path, names))?,
            };
            selections.push(Selection::Field(field));
            path.pop();
            names.pop();
        }
        Ok(selections)
    }

    fn field(
        &mut self,
        mut field: Node<Field>,
        type_name: &str,
        (path, names): (&mut Vec<String>, &mut Vec<String>),
    ) -> Result<Node<Field>, GraphError> {
        if field.name.starts_with("__") {
            // Below a block, validation refuses everything but the name of the type.
            let is_root = path.len() == 1;
            return if is_root {
                Err(unfit(format!("a cluster has no `{}`", field.name)))
            } else {
                Ok(field)
            };
        }
        let place = (Name::new_unchecked(type_name), field.name.clone());
        if self.api.operations.contains_key(&place) {
            self.calls += 1;
            return Ok(field);
        }
        let ty = self.api.schema.types.get(type_name).and_then(|ty| ty.as_object());
        let Some(definition) = ty.and_then(|ty| ty.fields.get(&field.name)) else {
            return Ok(self.fix(path, Source::Missing(names.join("."))));
        };
        let below = definition.ty.inner_named_type().clone();
        if field.selection_set.is_empty() {
            return Err(unfit(format!("`{}` needs a selection of fields", names.join("."))));
        }
        let fields = self.written.fields(&field.selection_set, &below)?;
        if fields.is_empty() {
            return Ok(self.fix(path, Source::Empty));
        }
        let selections = self.level(fields, &below, (path, names))?;
        field.make_mut().selection_set = selections;
        Ok(field)
    }

    /// A field in the place of one that the cluster is not asked for.
    fn fix(&mut self, path: &[String], source: Source) -> Node<Field> {
        let key = path.last().map(String::as_str).unwrap_or_default();
        self.fixed.push(Fixed { path: path.to_vec(), source });
        Node::new(Field {
            alias: Some(Name::new_unchecked(key)),
            name: Name::new_unchecked("__typename"),
            arguments: Vec::new(),
            directives: apollo_compiler::ast::DirectiveList::default(),
            selection_set: Vec::new(),
        })
    }
}

/// Puts a value into a plan.
pub fn put(fields: &mut [Planned], path: &[String], json: &str) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(field) = fields.iter_mut().find(|field| *field.name == **first) else { return };
    match (&mut field.does, rest) {
        (Does::Group(fields), [_, ..]) => put(fields, rest, json),
        (does, []) => *does = Does::Constant(json.into()),
        _ => {}
    }
}

/// The JSON of a value, for a cluster that can be asked.
pub fn json(source: &Source, name: &str, labels: &str, error: Option<&str>) -> String {
    match source {
        Source::Name => serde_json::Value::from(name).to_string(),
        Source::Error => {
            error.map_or_else(|| "null".to_owned(), |text| serde_json::Value::from(text).to_string())
        }
        Source::Labels => labels.to_owned(),
        Source::TypeName => quoted(CLUSTER).to_string(),
        Source::Empty => "{}".to_owned(),
        Source::Missing(_) => "null".to_owned(),
    }
}
