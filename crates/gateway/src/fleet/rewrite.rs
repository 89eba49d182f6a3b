//! Pure: the part of a query that one cluster is asked.
//!
//! Fields that the cluster lacks become `__typename`, so that the rest fits its schema, and null in the plan.

use std::collections::{BTreeMap, HashSet};

use apollo_compiler::{
    Name, Node,
    ast::{DirectiveList, Field, Selection},
    collections::HashMap,
};

use super::{
    CLUSTER,
    block::ClustersBlock,
    fixed::{FixedSource, FixedValue, MissingField},
    unfit::unfit,
    written::{WrittenQuery, type_name},
};
use crate::{error::GraphError, schema::ClusterApi};

/// The errors of calls that do not fit a cluster, by their paths in the answer.
pub type UnfitCalls = BTreeMap<Vec<String>, GraphError>;

/// The query for one cluster.
pub struct ClusterQuery {
    /// Its text.
    pub text: String,
    /// Values that do not come from the API server.
    pub fixed: Vec<FixedValue>,
    /// The calls that it makes.
    pub calls: Vec<QueryCall>,
}

/// A call of a query.
pub struct QueryCall {
    /// Its path in the answer.
    pub path: Vec<String>,
    /// Its path in the schema.
    names: Vec<Name>,
    field: Node<Field>,
}

struct RewriteWalk<'w> {
    written: &'w WrittenQuery,
    api: &'w ClusterApi,
    unfit: &'w UnfitCalls,
    fixed: Vec<FixedValue>,
    calls: Vec<QueryCall>,
}

/// The query for a cluster with this schema, without the calls that do not fit it.
pub fn rewrite(
    written: &WrittenQuery,
    block: &ClustersBlock,
    api: &ClusterApi,
    unfit: &UnfitCalls,
) -> Result<ClusterQuery, GraphError> {
    let mut walk = RewriteWalk { written, api, unfit, fixed: Vec::new(), calls: Vec::new() };
    let fields = written.fields(&block.selections, CLUSTER)?;
    let selections = walk.level(fields, "Query", (&mut Vec::new(), &mut Vec::new()))?;
    let text = written.alone(selections).to_string();
    Ok(ClusterQuery { text, fixed: walk.fixed, calls: walk.calls })
}

/// The fields of a block by name in the answer, for a cluster that cannot be asked.
pub fn keys(
    written: &WrittenQuery,
    block: &ClustersBlock,
) -> Result<Vec<(String, Option<FixedSource>)>, GraphError> {
    let fields = written.fields(&block.selections, CLUSTER)?;
    let mut known = HashSet::new();
    let first = fields.iter().filter(|field| known.insert(key(field)));
    Ok(first.map(|field| (key(field).to_string(), own(field))).collect())
}

fn key(field: &Field) -> &Name {
    field.alias.as_ref().unwrap_or(&field.name)
}

/// The source of a field of the block itself.
fn own(field: &Field) -> Option<FixedSource> {
    match field.name.as_str() {
        "name" => Some(FixedSource::Name),
        "error" => Some(FixedSource::Error),
        "labels" => Some(FixedSource::Labels),
        "__typename" => Some(FixedSource::TypeName),
        _ => None,
    }
}

/// One field in the place of all that are the same but for what is selected of them. Others of one name are left to the
/// validation.
fn merged(fields: Vec<Node<Field>>) -> Vec<Node<Field>> {
    let mut all: Vec<Node<Field>> = Vec::with_capacity(fields.len());
    let mut places: HashMap<Name, usize> = HashMap::default();
    for field in fields {
        let place = *places.entry(key(&field).clone()).or_insert(all.len());
        let known = all.get_mut(place).filter(|known| {
            (&known.name, &known.arguments, &known.directives)
                == (&field.name, &field.arguments, &field.directives)
        });
        match known {
            Some(known) => known.make_mut().selection_set.extend(field.selection_set.iter().cloned()),
            None => all.push(field),
        }
    }
    all
}

impl QueryCall {
    /// A query of this call alone.
    pub fn alone(&self, written: &WrittenQuery) -> String {
        let inner = Selection::Field(self.field.clone());
        let levels = self.names.iter().rev().skip(1);
        let selection = levels.fold(inner, |inner, name| {
            Selection::Field(Node::new(Field {
                alias: None,
                name: name.clone(),
                arguments: Vec::new(),
                directives: DirectiveList::default(),
                selection_set: vec![inner],
            }))
        });
        written.alone(vec![selection]).to_string()
    }
}

impl RewriteWalk<'_> {
    fn level(
        &mut self,
        fields: Vec<Node<Field>>,
        type_name: &str,
        (path, names): (&mut Vec<String>, &mut Vec<Name>),
    ) -> Result<Vec<Selection>, GraphError> {
        let is_block = path.is_empty();
        let mut selections = Vec::with_capacity(fields.len());
        for field in merged(fields) {
            path.push(key(&field).to_string());
            names.push(field.name.clone());
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
        (path, names): (&mut Vec<String>, &mut Vec<Name>),
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
            return Ok(self.call(field, (path, names)));
        }
        let ty = self.api.schema.types.get(type_name).and_then(|ty| ty.as_object());
        let Some(definition) = ty.and_then(|ty| ty.fields.get(&field.name)) else {
            return Ok(self.fix(path, missing(names, None)));
        };
        let below = definition.ty.inner_named_type().clone();
        if field.selection_set.is_empty() {
            return Err(unfit(format!("`{}` needs a selection of fields", joined(names))));
        }
        let fields = self.written.fields(&field.selection_set, &below)?;
        if fields.is_empty() {
            return Ok(self.fix(path, FixedSource::Empty));
        }
        let selections = self.level(fields, &below, (path, names))?;
        field.make_mut().selection_set = selections;
        Ok(field)
    }

    fn call(&mut self, field: Node<Field>, (path, names): (&[String], &[Name])) -> Node<Field> {
        if let Some(error) = self.unfit.get(path) {
            return self.fix(path, missing(names, Some(error)));
        }
        self.calls.push(QueryCall { path: path.to_vec(), names: names.to_vec(), field: field.clone() });
        field
    }

    /// A field in the place of one that the cluster is not asked for.
    fn fix(&mut self, path: &[String], source: FixedSource) -> Node<Field> {
        let key = path.last().map(String::as_str).unwrap_or_default();
        self.fixed.push(FixedValue { path: path.to_vec(), source });
        type_name(Some(Name::new_unchecked(key)))
    }
}

fn missing(names: &[Name], why: Option<&GraphError>) -> FixedSource {
    FixedSource::Missing(MissingField { what: joined(names), why: why.cloned().map(Box::new) })
}

fn joined(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(".")
}
