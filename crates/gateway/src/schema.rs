//! The schema of an endpoint, made of a document: a GraphQL schema, and the operations of its fields.

mod fields;
mod groups;
mod interner;
mod kinds;
mod nodes;
mod operations;
mod relation;
mod relations;
#[cfg(test)]
pub mod tests;
mod types;

use std::collections::BTreeMap;

use apollo_compiler::{Name, Schema, collections::HashMap, schema::Implementers, validation::Valid};

pub use self::{
    interner::TypeInterner,
    kinds::{FieldKey, TypedKind},
    operations::{FieldOperation, OperationVerb},
    relation::{FieldRelation, FieldRelations, ReferenceNeeds, best_kind},
};
use crate::document::{Document, InvalidDocument, KindName};

/// The API of one cluster, or of several.
#[derive(Debug, PartialEq, Eq)]
pub struct ClusterApi {
    /// The GraphQL schema.
    pub schema: Valid<Schema>,
    /// Empty: no type is abstract.
    pub implementers: HashMap<Name, Implementers>,
    /// The operations of the fields of roots, groups and versions.
    pub operations: HashMap<(Name, Name), FieldOperation>,
    /// Keys of fields that have another name in GraphQL, by type and field.
    pub keys: HashMap<(Name, Name), FieldKey>,
    /// The fields that lead to other objects, by type and field.
    pub relations: FieldRelations,
    /// The kinds.
    pub kinds: Vec<TypedKind>,
    by_name: BTreeMap<KindName, usize>,
}

impl ClusterApi {
    /// Builds everything from a document.
    pub fn build(document: &Document, interner: &TypeInterner) -> Result<Self, InvalidDocument> {
        let resources = document.resources()?;
        let mut builder = types::TypeBuilder::new(document, &resources);
        let operations = operations::add(&mut builder);
        builder.build();
        relations::add(&mut builder);
        let (schema, (keys, relations), kinds) = builder.finish(interner);
        let by_name =
            kinds.iter().enumerate().map(|(index, kind)| (kind.resource.name.clone(), index)).collect();
        Ok(Self { schema, implementers: HashMap::default(), operations, keys, relations, kinds, by_name })
    }

    /// A kind by its name.
    pub fn kind(&self, name: &KindName) -> Option<&TypedKind> {
        self.kinds.get(self.position(name)?)
    }

    /// The place of a kind among all of them.
    pub fn position(&self, name: &KindName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The kinds of a category, in the order of their names.
    pub fn of_category<'a>(&'a self, category: &'a str) -> impl Iterator<Item = &'a TypedKind> {
        self.kinds.iter().filter(move |kind| kind.resource.categories.iter().any(|name| name == category))
    }

    /// The schema as text.
    pub fn sdl(&self) -> String {
        self.schema.to_string()
    }
}
