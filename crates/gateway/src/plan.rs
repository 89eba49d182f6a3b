//! The plan of a query: which calls are made, and what is written from each answer.
//!
//! A plan depends on the schema and the text only. Variables are applied for each request: see [`Plan::under`].

mod collect;
mod prepare;
mod related;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use apollo_compiler::{ExecutableDocument, Node, executable, validation::Valid};

pub use self::prepare::{prepare, read, told};
pub use self::related::{Branch, OF, Related, Tree, leads};
use crate::{
    input::Argument,
    scan::{ListSelection, Selection, When},
    schema::Operation,
};

/// The plan of a query.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kind of operation.
    pub kind: executable::OperationType,
    /// The root fields.
    pub roots: Vec<Field>,
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
pub struct Field {
    /// Its name in the answer.
    pub name: Box<str>,
    /// The condition under which it is present.
    pub when: When,
    /// Line and column in the query.
    pub location: Option<(usize, usize)>,
    /// The source of its value.
    pub does: Does,
}

/// The source of a field.
#[derive(Clone, Debug)]
pub enum Does {
    /// Constant JSON.
    Constant(Box<str>),
    /// The fields of a group or version.
    Group(Vec<Field>),
    /// The schema.
    Introspect,
    /// A call.
    Call(Box<Call>),
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation and its kind.
    pub operation: Operation,
    /// Its arguments. One that is a variable may be followed by its default.
    pub arguments: Vec<(Box<str>, Argument)>,
    /// The selection from the answer.
    pub wanted: Wanted,
    /// The relations that lead from the answer to other objects.
    pub relations: Option<Arc<Tree>>,
}

/// The selection from an answer.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Fields of an object.
    Object(Arc<Selection>),
    /// Fields of a list and of its items.
    List(Arc<ListSelection>),
    /// Fields of an event, and of its object.
    Event(Arc<Selection>),
    /// The answer itself.
    Leaf,
}

impl Plan {
    /// Returns `true` if directives depend on variables.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The fields that remain for these variables.
    #[must_use]
    pub fn under(&self, says: &dyn Fn(&str) -> bool) -> Vec<Field> {
        left_of(&self.roots, says)
    }
}

fn left_of(fields: &[Field], says: &dyn Fn(&str) -> bool) -> Vec<Field> {
    let kept = fields.iter().filter(|field| field.when.holds(says));
    let under = |field: &Field| {
        let does = match &field.does {
            Does::Group(fields) => Does::Group(left_of(fields, says)),
            Does::Call(call) => {
                Does::Call(Box::new(Call { wanted: call.wanted.under(says), ..(**call).clone() }))
            }
            other => other.clone(),
        };
        Field { when: When::default(), does, ..field.clone() }
    };
    kept.map(under).collect()
}

impl Wanted {
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
        let only = |selection: &Selection| selection.needs_only(&["metadata"]);
        match self {
            Self::Object(selection) => only(selection),
            Self::List(selection) => selection.items().all(|items| only(items)),
            Self::Event(_) | Self::Leaf => false,
        }
    }
}
