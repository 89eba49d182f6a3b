//! Builds parts of a GraphQL schema, with each text in memory once.

use apollo_compiler::{
    Name, Node,
    ast::{FieldDefinition, InputValueDefinition, Type, Value},
    collections::{HashMap, IndexMap, IndexSet},
    schema::{
        Component, DirectiveList, EnumType, EnumValueDefinition, ExtendedType, InputObjectType, ObjectType,
        ScalarType,
    },
};

/// Shared texts.
#[derive(Default)]
pub struct SharedNodes {
    names: HashMap<String, Name>,
    descriptions: HashMap<String, Node<str>>,
}

/// The fields of an object type.
pub type ObjectFields = IndexMap<Name, Component<FieldDefinition>>;
/// The fields of an input type.
pub type InputFields = IndexMap<Name, Component<InputValueDefinition>>;

impl SharedNodes {
    /// A name, which must be valid.
    pub fn name(&mut self, text: &str) -> Name {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name = Name::new_unchecked(text);
        self.names.insert(text.to_owned(), name.clone());
        name
    }

    /// A description, if there is one.
    pub fn description(&mut self, text: Option<&str>) -> Option<Node<str>> {
        let text = text.map(str::trim).filter(|text| !text.is_empty())?;
        if let Some(node) = self.descriptions.get(text) {
            return Some(node.clone());
        }
        let node = Node::new_str(text);
        self.descriptions.insert(text.to_owned(), node.clone());
        Some(node)
    }

    /// A field without arguments.
    pub fn field(&mut self, name: &str, ty: Type, description: Option<&str>) -> Component<FieldDefinition> {
        self.field_with(name, Vec::new(), ty, description)
    }

    /// A field.
    pub fn field_with(
        &mut self,
        name: &str,
        arguments: Vec<Node<InputValueDefinition>>,
        ty: Type,
        description: Option<&str>,
    ) -> Component<FieldDefinition> {
        Component::new(FieldDefinition {
            description: self.description(description),
            name: self.name(name),
            arguments,
            ty,
            directives: apollo_compiler::ast::DirectiveList::default(),
        })
    }

    /// An argument, or a field of an input type.
    pub fn input(
        &mut self,
        name: &str,
        ty: Type,
        default: Option<Value>,
        description: Option<&str>,
    ) -> InputValueDefinition {
        InputValueDefinition {
            description: self.description(description),
            name: self.name(name),
            ty: Node::new(ty),
            default_value: default.map(Node::new),
            directives: apollo_compiler::ast::DirectiveList::default(),
        }
    }

    /// A nullable type of a name.
    pub fn named(&mut self, name: &str) -> Type {
        Type::Named(self.name(name))
    }

    /// A non-null type.
    pub fn required(&mut self, name: &str) -> Type {
        Type::NonNullNamed(self.name(name))
    }

    /// An object type.
    pub fn object(&mut self, name: &str, fields: ObjectFields, description: Option<&str>) -> ExtendedType {
        ExtendedType::Object(Node::new(ObjectType {
            description: self.description(description),
            name: self.name(name),
            implements_interfaces: IndexSet::default(),
            directives: DirectiveList::default(),
            fields,
        }))
    }

    /// An input type.
    pub fn input_object(
        &mut self,
        name: &str,
        fields: InputFields,
        description: Option<&str>,
    ) -> ExtendedType {
        ExtendedType::InputObject(Node::new(InputObjectType {
            description: self.description(description),
            name: self.name(name),
            directives: DirectiveList::default(),
            fields,
        }))
    }

    /// A scalar.
    pub fn scalar(&mut self, name: &str, description: &str) -> ExtendedType {
        ExtendedType::Scalar(Node::new(ScalarType {
            description: self.description(Some(description)),
            name: self.name(name),
            directives: DirectiveList::default(),
        }))
    }

    /// An enumeration.
    pub fn enumeration(&mut self, name: &str, values: &[&str]) -> ExtendedType {
        let mut entries = IndexMap::default();
        for value in values {
            let value = self.name(value);
            let definition = EnumValueDefinition {
                description: None,
                value: value.clone(),
                directives: apollo_compiler::ast::DirectiveList::default(),
            };
            entries.insert(value, Component::new(definition));
        }
        ExtendedType::Enum(Node::new(EnumType {
            description: None,
            name: self.name(name),
            directives: DirectiveList::default(),
            values: entries,
        }))
    }
}
