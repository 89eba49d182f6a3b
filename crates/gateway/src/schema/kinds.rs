//! Kinds with their types, and the fields that have another name in GraphQL.

use apollo_compiler::Name;

use crate::document::Resource;

/// The source of a field whose name is not its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// This key of the object.
    Of(Box<str>),
    /// The whole object.
    Whole,
}

/// A kind with its types.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Its resource, from the document.
    pub(crate) resource: Resource,
    /// The type of its objects.
    pub(crate) type_name: Name,
}
