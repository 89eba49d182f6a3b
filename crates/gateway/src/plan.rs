//! The plan of a query: which calls are made, and what is written from each answer.
//!
//! A plan depends on the schema and the text only. Variables are applied for each request: see [`QueryPlan::under`].

mod collect;
mod prepare;
mod related;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use apollo_compiler::{ExecutableDocument, Node, executable, validation::Valid};

pub use self::prepare::{prepare, read, told};
pub use self::related::{OF, RelatedField, RelationBranch, RelationTree, leads};
use crate::{
    input::PlanArgument,
    scan::{FieldCondition, ListSelection, ObjectSelection},
    schema::FieldOperation,
};

/// The plan of a query.
#[derive(Clone, Debug)]
pub struct QueryPlan {
    /// The kind of operation.
    pub kind: executable::OperationType,
    /// The root fields.
    pub roots: Vec<PlanField>,
    /// The operation without its fields, for the coercion of variables.
    pub operation: Node<executable::Operation>,
    /// The document, for introspection only.
    pub introspected: Option<Arc<Valid<ExecutableDocument>>>,
    /// The variables on which directives depend.
    pub conditions: BTreeSet<Box<str>>,
    /// Its approximate size in memory.
    pub weight: usize,
}

/// A field of the answer, above the objects.
#[derive(Clone, Debug)]
pub struct PlanField {
    /// Its name in the answer.
    pub name: Box<str>,
    /// The condition under which it is present.
    pub when: FieldCondition,
    /// Line and column in the query.
    pub location: Option<(usize, usize)>,
    /// The source of its value.
    pub does: FieldSource,
}

/// The source of a field.
#[derive(Clone, Debug)]
pub enum FieldSource {
    /// Constant JSON.
    Constant(Box<str>),
    /// The fields of a group or version.
    Group(Vec<PlanField>),
    /// The schema.
    Introspect,
    /// A call.
    Call(Box<PlanCall>),
}

/// A call.
#[derive(Clone, Debug)]
pub struct PlanCall {
    /// The operation and its kind.
    pub operation: FieldOperation,
    /// Its arguments. One that is a variable may be followed by its default.
    pub arguments: Vec<(Box<str>, PlanArgument)>,
    /// The selection from the answer.
    pub wanted: WantedSelection,
    /// The relations that lead from the answer to other objects.
    pub relations: Option<Arc<RelationTree>>,
}

/// The selection from an answer.
#[derive(Clone, Debug)]
pub enum WantedSelection {
    /// Fields of an object.
    Object(Arc<ObjectSelection>),
    /// Fields of a list and of its items.
    List(Arc<ListSelection>),
    /// Fields of an event, and of its object.
    Event(Arc<ObjectSelection>),
    /// The answer itself.
    Leaf,
}

impl QueryPlan {
    /// Returns `true` if directives depend on variables.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The fields that remain for these variables.
    #[must_use]
    pub fn under(&self, says: &dyn Fn(&str) -> bool) -> Vec<PlanField> {
        left_of(&self.roots, says)
    }
}

fn left_of(fields: &[PlanField], says: &dyn Fn(&str) -> bool) -> Vec<PlanField> {
    let kept = fields.iter().filter(|field| field.when.holds(says));
    let under = |field: &PlanField| {
        let does = match &field.does {
            FieldSource::Group(fields) => FieldSource::Group(left_of(fields, says)),
            FieldSource::Call(call) => {
                FieldSource::Call(Box::new(PlanCall { wanted: call.wanted.under(says), ..(**call).clone() }))
            }
            other => other.clone(),
        };
        PlanField { when: FieldCondition::default(), does, ..field.clone() }
    };
    kept.map(under).collect()
}

impl WantedSelection {
    fn under(&self, says: &dyn Fn(&str) -> bool) -> Self {
        match self {
            Self::Object(selection) => Self::Object(Arc::new(selection.under(says))),
            Self::List(selection) => Self::List(Arc::new(selection.under(says))),
            Self::Event(selection) => Self::Event(Arc::new(selection.under(says))),
            Self::Leaf => Self::Leaf,
        }
    }

    /// Returns `true` if only metadata of objects is selected.
    pub fn is_metadata_only(&self) -> bool {
        let only = |selection: &ObjectSelection| selection.needs_only(&["metadata"]);
        match self {
            Self::Object(selection) => only(selection),
            Self::List(selection) => selection.items().all(|items| only(items)),
            Self::Event(_) | Self::Leaf => false,
        }
    }
}
