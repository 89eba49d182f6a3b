//! Kinds with their types, and the fields that have another name in GraphQL.

use apollo_compiler::Name;

use crate::{document::ApiResource, scan::quoted};

/// The source of a field whose name is not its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKey {
    /// This key of the object.
    Of(Box<str>),
    /// The whole object.
    Whole,
}

/// A kind with its types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedKind {
    /// Its resource, from the document.
    pub resource: ApiResource,
    /// The type of its objects.
    pub type_name: Name,
}

impl TypedKind {
    /// The type of its objects, which items of lists leave out: keys and their JSON.
    pub fn members(&self) -> Box<[(Box<str>, Box<str>)]> {
        let (kind, api_version) = (&self.resource.name.kind, self.resource.api_version());
        let members: [(Box<str>, Box<str>); 2] =
            [("kind".into(), quoted(kind)), ("apiVersion".into(), quoted(&api_version))];
        members.into()
    }
}
