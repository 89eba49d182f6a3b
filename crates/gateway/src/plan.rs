//! The plan of a query: which calls are made, and what is written from each answer.
//!
//! A plan depends on the schema and the text only. Variables are applied for each request: see [`Plan::under`].

mod collect;
mod prepare;
mod related;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use apollo_compiler::{ExecutableDocument, Node, executable, validation::Valid};

pub(crate) use self::prepare::{prepare, read, told};
pub(crate) use self::related::{Branch, OF, Related, Tree, leads};
use crate::{
    input::Argument,
    scan::{ListSelection, Selection, When},
    schema::Operation,
};

/// The plan of a query.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The kind of operation.
    pub(crate) kind: executable::OperationType,
    /// The root fields.
    pub(crate) roots: Vec<Field>,
    /// The operation without its fields, for the coercion of variables.
    pub(crate) operation: Node<executable::Operation>,
    /// The document, for introspection only.
    pub(crate) introspected: Option<Arc<Valid<ExecutableDocument>>>,
    /// `true` if directives depend on variables.
    pub(crate) is_conditional: bool,
    /// Its approximate size in memory.
    pub(crate) weight: usize,
}

/// A field of the answer, above the objects.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its name in the answer.
    pub(crate) name: Box<str>,
    /// The condition under which it is present.
    pub(crate) when: When,
    /// Line and column in the query.
    pub(crate) location: Option<(usize, usize)>,
    /// The source of its value.
    pub(crate) does: Does,
}

/// The source of a field.
#[derive(Clone, Debug)]
pub(crate) enum Does {
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
pub(crate) struct Call {
    /// The operation and its kind.
    pub(crate) operation: Operation,
    /// Its arguments.
    pub(crate) arguments: Vec<(Box<str>, Argument)>,
    /// The selection from the answer.
    pub(crate) wanted: Wanted,
    /// What leads from the answer to other objects.
    pub(crate) relations: Option<Arc<Tree>>,
}

/// The selection from an answer.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
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
    /// The fields that remain for these variables.
    #[must_use]
    pub(crate) fn under(&self, says: &dyn Fn(&str) -> bool) -> Vec<Field> {
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
    pub(crate) fn is_metadata_only(&self) -> bool {
        let only = |selection: &Selection| selection.needs_only(&["metadata"]);
        match self {
            Self::Object(selection) => only(selection),
            Self::List(selection) => selection.items().all(|items| only(items)),
            Self::Event(_) | Self::Leaf => false,
        }
    }
}
