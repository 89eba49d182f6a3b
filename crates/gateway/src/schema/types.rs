//! Object and input types, made of definitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use apollo_compiler::{
    Name, Schema,
    ast::Type,
    collections::{HashMap, IndexMap},
    schema::ExtendedType,
    validation::Valid,
};

use super::{
    fields::{beside, names_of},
    interner::TypeInterner,
    kinds::{FieldKey, TypedKind},
    nodes::{InputFields, ObjectFields, SharedNodes},
    relation::{FieldRelations, field_of, referred},
};
use crate::{
    document::{Additional, ApiResource, Definition, Document, KindName},
    names,
};

/// Maximum length of a chain of references.
const MAX_HOPS: usize = 16;

/// Our own scalars.
const SCALARS: [(&str, &str); 4] = [
    ("JSONString", "Any JSON value, as text."),
    ("JSON", "Any JSON value, as it is."),
    ("Long", "A whole number of any size."),
    (
        "StringMap_Input",
        "An object with strings. As input also a list of {key, value}, for keys that are no names.",
    ),
];

/// Keys of fields that have another name in GraphQL.
pub type FieldKeys = HashMap<(Name, Name), FieldKey>;

/// Builds the types of one document.
pub struct TypeBuilder<'d> {
    document: &'d Document,
    /// Parts of the schema.
    pub nodes: SharedNodes,
    /// The types so far.
    pub types: IndexMap<Name, ExtendedType>,
    /// The kinds with their types.
    pub kinds: Vec<TypedKind>,
    taken: BTreeSet<String>,
    /// The types of definitions.
    of_definitions: BTreeMap<&'d str, String>,
    /// Definitions whose types are still to be built, with the group of the kind that they are in, if it is one only.
    waiting: Vec<(String, &'d Definition, Option<Arc<str>>)>,
    /// The group of what is being built.
    group: Option<Arc<str>>,
    keys: FieldKeys,
    /// The fields that lead to other objects.
    pub(super) relations: FieldRelations,
}

/// The types of a definition.
enum MappedType {
    Scalar(&'static str),
    Object(String),
    List(Box<Self>),
}

impl<'d> TypeBuilder<'d> {
    /// Names the types of kinds, before all others.
    pub fn new(document: &'d Document, resources: &BTreeMap<KindName, ApiResource>) -> Self {
        let mut builder = Self {
            document,
            nodes: SharedNodes::default(),
            types: IndexMap::default(),
            kinds: Vec::new(),
            taken: ["Query", "Mutation", "Subscription", "String", "Int", "Float", "Boolean", "ID"]
                .map(str::to_owned)
                .into(),
            of_definitions: BTreeMap::new(),
            waiting: Vec::new(),
            group: None,
            keys: HashMap::default(),
            relations: FieldRelations::default(),
        };
        for (name, description) in SCALARS {
            let scalar = builder.nodes.scalar(name, description);
            builder.add(name, scalar);
        }
        let groups = super::groups::group_names(resources.keys());
        for resource in resources.values() {
            let prefix = super::groups::version_name(&groups, &resource.name);
            let type_name = builder.type_name(
                &format!("{}{}", names::pascal(&prefix), resource.name.kind),
                &resource.definition,
            );
            let name = builder.nodes.name(&type_name);
            builder.kinds.push(TypedKind { resource: resource.clone(), type_name: name });
            // The document owns the text, which lives as long as it.
            if let Some((definition, body)) = builder.document_entry(&resource.definition) {
                builder.of_definitions.insert(definition, type_name.clone());
                let group = resource.name.group.as_str().into();
                builder.waiting.push((type_name, body, Some(group)));
            }
        }
        builder
    }

    fn document_entry(&self, name: &str) -> Option<(&'d str, &'d Definition)> {
        self.document.entry(name)
    }

    /// Returns `true` if the objects of a definition have a property.
    pub fn has_property(&self, definition: &str, property: &str) -> bool {
        self.document
            .definition(definition)
            .is_some_and(|definition| definition.properties.contains_key(property))
    }

    /// Returns `true` for the type of an event.
    pub fn is_event(&self, name: &str) -> bool {
        let object = self.types.get(name).and_then(ExtendedType::as_object);
        object.is_some_and(|object| {
            object.fields.len() == 2
                && object.fields.contains_key("type")
                && object.fields.contains_key("object")
        })
    }

    /// Takes a type name. If it is taken, makes one that depends on `raw` alone.
    pub fn type_name(&mut self, wanted: &str, raw: &str) -> String {
        self.type_name_or(wanted, &format!("{wanted}_{}", names::mark(raw)))
    }

    /// Takes a type name, or another one if it is taken.
    pub fn type_name_or(&mut self, wanted: &str, otherwise: &str) -> String {
        let name = if self.taken.contains(wanted) { otherwise } else { wanted };
        self.taken.insert(name.to_owned());
        // No other type may be called like the input of this one.
        self.taken.insert(format!("{name}_Input"));
        name.to_owned()
    }

    /// Adds a type.
    pub fn add(&mut self, name: &str, ty: ExtendedType) {
        self.taken.insert(name.to_owned());
        let name = self.nodes.name(name);
        self.types.insert(name, ty);
    }

    /// Builds every type that is referred to.
    pub fn build(&mut self) {
        while let Some((name, definition, group)) = self.waiting.pop() {
            self.group = group;
            self.object(&name, definition);
        }
    }

    /// The schema of all types that are built.
    pub fn finish(
        mut self,
        interner: &TypeInterner,
    ) -> (Valid<Schema>, (FieldKeys, FieldRelations), Vec<TypedKind>) {
        self.types.sort_unstable_keys();
        interner.share(&mut self.types);
        let mut schema = Schema::new();
        let definition = schema.schema_definition.make_mut();
        let root =
            |name: &'static str| self.types.contains_key(name).then(|| Name::new_unchecked(name).into());
        (definition.query, definition.mutation, definition.subscription) =
            (root("Query"), root("Mutation"), root("Subscription"));
        schema.types.extend(self.types);
        // Valid by construction; the tests of this module validate the result.
        (Valid::assume_valid(schema), (self.keys, self.relations), self.kinds)
    }

    /// Builds both types of a definition with properties.
    fn object(&mut self, type_name: &str, definition: &'d Definition) {
        let input_name = format!("{type_name}_Input");
        let (mut fields, mut inputs) = (ObjectFields::default(), InputFields::default());
        let named = names_of(definition.properties.keys().map(String::as_str));
        let mut taken: BTreeSet<String> = named.values().cloned().collect();
        for (raw, property) in &definition.properties {
            let name = &named[raw.as_str()];
            let mapped = self.mapped(property, (type_name, raw), 0);
            let description = property.description.as_deref();
            self.both(&mut fields, &mut inputs, (name, &mapped), description);
            if name != raw {
                self.remember(type_name, name, FieldKey::Of(raw.as_str().into()));
            }
            if mapped.is_json() || property.preserves_unknown && !property.properties.is_empty() {
                let sibling = beside(&format!("{name}_json"), raw, &taken);
                self.both(
                    &mut fields,
                    &mut inputs,
                    (&sibling, &MappedType::Scalar("JSON")),
                    Some("The same as JSON, not as text."),
                );
                self.remember(type_name, &sibling, FieldKey::Of(raw.as_str().into()));
                taken.insert(sibling);
            }
        }
        self.references(type_name, definition, (&mut fields, &mut taken));
        if definition.preserves_unknown && !definition.kinds.is_empty() {
            let whole = beside("whole_json", "", &taken);
            let ty = self.nodes.named("JSON");
            let field =
                self.nodes.field(&whole, ty, Some("The whole object, with fields that no schema describes."));
            fields.insert(self.nodes.name(&whole), field);
            self.remember(type_name, &whole, FieldKey::Whole);
        }
        let description = definition.description.as_deref();
        let object = self.nodes.object(type_name, fields, description);
        self.add(type_name, object);
        let input = self.nodes.input_object(&input_name, inputs, description);
        self.add(&input_name, input);
    }

    /// Adds the objects that references name.
    fn references(
        &mut self,
        type_name: &str,
        definition: &'d Definition,
        (fields, taken): (&mut ObjectFields, &mut BTreeSet<String>),
    ) {
        for (raw, property) in &definition.properties {
            let target =
                property.target().and_then(|name| self.document.definition(name)).unwrap_or(property);
            for (wanted, relation) in referred(&self.kinds, self.group.as_deref(), (raw, target)) {
                let field = beside(&wanted, raw, taken);
                let made = field_of(&mut self.nodes, &self.kinds, &field, &relation);
                let key = self.nodes.name(&field);
                fields.insert(key.clone(), made);
                self.relations.insert((self.nodes.name(type_name), key), relation);
                taken.insert(field);
            }
        }
    }

    fn both(
        &mut self,
        fields: &mut ObjectFields,
        inputs: &mut InputFields,
        (name, mapped): (&str, &MappedType),
        description: Option<&str>,
    ) {
        let (output, input) = (mapped.ty(&mut self.nodes, ""), mapped.ty(&mut self.nodes, "_Input"));
        let key = self.nodes.name(name);
        fields.insert(key.clone(), self.nodes.field(name, output, description));
        inputs.insert(key, self.nodes.input(name, input, None, description).into());
    }

    pub(super) fn remember(&mut self, type_name: &str, field: &str, key: FieldKey) {
        let field = self.nodes.name(field);
        let (output, input) = (self.nodes.name(type_name), self.nodes.name(&format!("{type_name}_Input")));
        self.keys.insert((output, field.clone()), key.clone());
        self.keys.insert((input, field), key);
    }

    fn mapped(&mut self, definition: &'d Definition, place: (&str, &str), hops: usize) -> MappedType {
        if let Some(target) = definition.target() {
            return match self.document_entry(target) {
                Some((name, target)) if !target.properties.is_empty() => {
                    MappedType::Object(self.of_definition(name, target))
                }
                Some((_, target)) if hops < MAX_HOPS => self.mapped(target, place, hops + 1),
                _ => MappedType::Scalar("JSONString"),
            };
        }
        if definition.int_or_string {
            return MappedType::Scalar("JSONString");
        }
        match definition.word() {
            Some("string") => MappedType::Scalar("String"),
            Some("integer") if definition.format.as_deref() == Some("int32") => MappedType::Scalar("Int"),
            Some("integer") => MappedType::Scalar("Long"),
            Some("number") => MappedType::Scalar("Float"),
            Some("boolean") => MappedType::Scalar("Boolean"),
            Some("array") => {
                let items = definition.items.as_deref();
                let inner = items
                    .map_or(MappedType::Scalar("JSONString"), |items| self.mapped(items, place, hops + 1));
                MappedType::List(Box::new(inner))
            }
            Some("object") | None if !definition.properties.is_empty() => {
                let (parent, raw) = place;
                let wanted = format!("{parent}{}", names::capital(&names::sanitized(raw)));
                let name = self.type_name(&wanted, &format!("{parent}/{raw}"));
                self.waiting.push((name.clone(), definition, self.group.clone()));
                MappedType::Object(name)
            }
            Some("object") => self.map_of(definition),
            _ => MappedType::Scalar("JSONString"),
        }
    }

    fn map_of(&self, definition: &Definition) -> MappedType {
        let is_text = match &definition.additional {
            Some(Additional::Of(values)) => self.is_text(values, 0),
            _ => false,
        };
        MappedType::Scalar(if is_text { "StringMap_Input" } else { "JSONString" })
    }

    fn is_text(&self, definition: &Definition, hops: usize) -> bool {
        match definition.target() {
            // A quantity is a string. Maps of quantities have their own type, as in the reference gateway.
            Some(target) if hops < MAX_HOPS && !target.ends_with("Quantity") => {
                self.document.definition(target).is_some_and(|target| self.is_text(target, hops + 1))
            }
            Some(_) => false,
            None => definition.word() == Some("string") && !definition.int_or_string,
        }
    }

    fn of_definition(&mut self, name: &'d str, definition: &'d Definition) -> String {
        if let Some(known) = self.of_definitions.get(name) {
            return known.clone();
        }
        let type_name = self.type_name(&names::sanitized(name), name);
        self.of_definitions.insert(name, type_name.clone());
        self.waiting.push((type_name.clone(), definition, None));
        type_name
    }
}

impl MappedType {
    fn is_json(&self) -> bool {
        match self {
            Self::Scalar(name) => *name == "JSONString",
            Self::Object(_) => false,
            Self::List(inner) => inner.is_json(),
        }
    }

    fn ty(&self, nodes: &mut SharedNodes, suffix: &str) -> Type {
        match self {
            Self::Scalar(name) => nodes.named(name),
            Self::Object(name) => nodes.named(&format!("{name}{suffix}")),
            Self::List(inner) => Type::List(Box::new(inner.ty(nodes, suffix))),
        }
    }
}
