//! Collects the fields of a query: fields of one name are merged, each with the conditions of all its occurrences.

use std::{collections::BTreeSet, sync::Arc};

use apollo_compiler::{
    ExecutableDocument, Name, Node,
    ast::{DirectiveList, Type, Value},
    collections::IndexMap,
    executable::{self, OperationType, SelectionSet},
};

use super::{
    FieldSource, PlanCall, PlanField, RelatedField, RelationBranch, RelationTree, WantedSelection, leads,
};
use crate::{
    error::{ErrorCode, GraphError},
    input,
    scan::{
        DirectiveGuard, FieldCondition, ListField, ListSelection, ObjectSelection, SelectedField, ValueShape,
        quoted,
    },
    schema::{ClusterApi, FieldKey, FieldOperation, FieldRelation, OperationVerb},
};

type FieldGuards = Vec<DirectiveGuard>;
/// The occurrences of a field.
type FieldOccurrences<'d> = Vec<(FieldGuards, &'d Node<executable::Field>)>;
/// Selections to merge, each with its conditions.
type GuardedSets<'d> = Vec<(FieldGuards, &'d SelectionSet)>;

/// An object that is no part of another one.
#[derive(Clone, Copy)]
struct RootObject<'r> {
    /// Its kind; none for any kind.
    kind: Option<usize>,
    /// The relation that leads to it.
    found: Option<&'r FieldRelation>,
}

impl RootObject<'_> {
    const fn of(kind: usize) -> Self {
        Self { kind: Some(kind), found: None }
    }
}

/// Plans the fields of one operation.
pub struct FieldCollector<'a> {
    api: &'a ClusterApi,
    document: &'a ExecutableDocument,
    /// The variables on which directives depend.
    pub conditions: BTreeSet<Box<str>>,
    /// `true` if the query has introspection.
    pub introspects: bool,
    /// The relations of what was collected last.
    below: RelationTree,
}

impl<'a> FieldCollector<'a> {
    /// A collector for a valid document.
    pub const fn new(api: &'a ClusterApi, document: &'a ExecutableDocument) -> Self {
        let below = RelationTree { fields: Vec::new() };
        Self { api, document, conditions: BTreeSet::new(), introspects: false, below }
    }

    /// The root fields of an operation.
    pub fn roots(
        &mut self,
        operation: &'a Node<executable::Operation>,
    ) -> Result<Vec<PlanField>, GraphError> {
        if operation.operation_type == OperationType::Subscription
            && operation.selection_set.selections.is_empty()
        {
            return Err(GraphError::new(ErrorCode::ValidationFailed, "a subscription has one field"));
        }
        self.level(vec![(Vec::new(), &operation.selection_set)])
    }

    fn level(&mut self, sets: GuardedSets<'a>) -> Result<Vec<PlanField>, GraphError> {
        let type_name = sets.first().map(|(_, set)| set.ty.clone());
        let mut fields = Vec::new();
        for (name, occurrences) in self.collected(sets) {
            let first = occurrences[0].1;
            let when = Self::when(&occurrences);
            let location = first.name.line_column_range(&self.document.sources);
            let location = location.map(|range| (range.start.line, range.start.column));
            let key = type_name.clone().map(|ty| (ty, first.name.clone()));
            let operation = key.and_then(|key| self.api.operations.get(&key).copied());
            let does = match (first.name.as_str(), operation) {
                ("__typename", _) => FieldSource::Constant(quoted(type_name.as_deref().unwrap_or_default())),
                ("__schema" | "__type", _) => {
                    self.introspects = true;
                    FieldSource::Introspect
                }
                (_, Some(operation)) => FieldSource::Call(Box::new(self.call(operation, &occurrences)?)),
                (_, None) => FieldSource::Group(self.level(below(&occurrences))?),
            };
            fields.push(PlanField { name: name.into(), when, location, does });
        }
        Ok(fields)
    }

    fn call(
        &mut self,
        operation: FieldOperation,
        occurrences: &FieldOccurrences<'a>,
    ) -> Result<PlanCall, GraphError> {
        let field = occurrences[0].1;
        let mut arguments = Vec::new();
        for definition in &field.definition.arguments {
            let given = field.arguments.iter().find(|argument| argument.name == definition.name);
            let given = given.map(|argument| &argument.value);
            // A variable that has no value leaves its place to the default.
            let is_sure = given.is_some_and(|value| !matches!(**value, Value::Variable(_)));
            let default = definition.default_value.as_ref().filter(|_| !is_sure);
            for value in given.into_iter().chain(default) {
                let argument = input::literal(self.api, value, &definition.ty)?;
                arguments.push((definition.name.as_str().into(), argument));
            }
        }
        let wanted = match operation.verb {
            OperationVerb::List => WantedSelection::List(Arc::new(self.list(operation, below(occurrences)))),
            OperationVerb::Watch | OperationVerb::WatchOne => {
                WantedSelection::Event(Arc::new(self.event(operation, below(occurrences))))
            }
            _ if field.selection_set.is_empty() => WantedSelection::Leaf,
            _ => WantedSelection::Object(Arc::new(
                self.object(below(occurrences), operation.kind.map(RootObject::of)),
            )),
        };
        let below = std::mem::take(&mut self.below);
        let relations = (!below.fields.is_empty()).then(|| Arc::new(below));
        if relations.is_some() && !matches!(operation.verb, OperationVerb::List | OperationVerb::Get) {
            let message = format!("`{}` leads to no other objects: read them in a query", field.name);
            return Err(GraphError::new(ErrorCode::ValidationFailed, message));
        }
        Ok(PlanCall { operation, arguments, wanted, relations })
    }

    fn list(&mut self, operation: FieldOperation, sets: GuardedSets<'a>) -> ListSelection {
        let type_name = sets[0].1.ty.clone();
        let (mut fields, mut tree) = (Vec::new(), RelationTree::default());
        for (name, occurrences) in self.collected(sets) {
            let when = Self::when(&occurrences);
            let field = match occurrences[0].1.name.as_str() {
                "items" => {
                    let root = operation.kind.map(RootObject::of);
                    ListField::Items(Arc::new(self.object(below(&occurrences), root)))
                }
                "continue" => ListField::Continue,
                "remainingItemCount" => ListField::RemainingItemCount,
                "resourceVersion" => ListField::ResourceVersion,
                _ => ListField::Constant(quoted(&type_name)),
            };
            self.branch(&mut tree, name);
            fields.push((format!("\"{name}\":").into(), field, when));
        }
        self.below = tree;
        ListSelection { fields }
    }

    /// The selection of an event: its type, and the object.
    fn event(&mut self, operation: FieldOperation, sets: GuardedSets<'a>) -> ObjectSelection {
        let type_name = sets[0].1.ty.clone();
        let mut fields = Vec::new();
        for (name, occurrences) in self.collected(sets) {
            let when = Self::when(&occurrences);
            let key = occurrences[0].1.name.as_str();
            let shape = match key {
                "object" => {
                    let root = operation.kind.map(RootObject::of);
                    ValueShape::Object(Arc::new(self.object(below(&occurrences), root)))
                }
                "type" => ValueShape::Text,
                _ => ValueShape::Constant(quoted(&type_name)),
            };
            fields.push(SelectedField { when, ..SelectedField::new(name, key, shape) });
        }
        ObjectSelection { fields }
    }

    /// The selection of an object. At its root, version and kind are constant, since lists leave them out.
    fn object(&mut self, sets: GuardedSets<'a>, root: Option<RootObject<'_>>) -> ObjectSelection {
        let Some(type_name) = sets.first().map(|(_, set)| set.ty.clone()) else {
            return ObjectSelection::default();
        };
        let kind = root.and_then(|root| self.api.kinds.get(root.kind?));
        let resource = kind.filter(|kind| kind.type_name == type_name);
        let (mut fields, mut tree, mut spec) = (Vec::new(), RelationTree::default(), BTreeSet::new());
        for (name, occurrences) in self.collected(sets) {
            let when = Self::when(&occurrences);
            let field = occurrences[0].1;
            let place = (type_name.clone(), field.name.clone());
            if let Some(relation) = self.api.relations.get(&place) {
                if root.is_none() && !matches!(relation, FieldRelation::Reference { .. }) {
                    // A template within another object has no relations of its own.
                    fields.push(SelectedField {
                        when,
                        ..SelectedField::new(name, name, ValueShape::Constant("null".into()))
                    });
                    continue;
                }
                spec.extend(relation.of_spec());
                let selected = self.related(&mut tree, name, (relation, &occurrences));
                fields.push(SelectedField { when, ..selected });
                continue;
            }
            let key = self.api.keys.get(&place);
            let shape = match (field.name.as_str(), resource, key) {
                ("__typename", _, _) => ValueShape::Constant(quoted(&type_name)),
                ("kind", Some(kind), _) => ValueShape::Constant(quoted(&kind.resource.name.kind)),
                ("apiVersion", Some(kind), _) => ValueShape::Constant(quoted(&kind.resource.api_version())),
                (_, Some(kind), Some(FieldKey::Whole)) => {
                    ValueShape::Whole(Box::new(ValueShape::With(kind.members())))
                }
                (_, _, Some(FieldKey::Whole)) => ValueShape::Whole(Box::new(ValueShape::Plain)),
                _ => self.shape(&field.definition.ty, &occurrences),
            };
            let key = match key {
                Some(FieldKey::Of(key)) => key,
                _ => field.name.as_str(),
            };
            self.branch(&mut tree, name);
            fields.push(SelectedField { when, ..SelectedField::new(name, key, shape) });
        }
        // Within an object, its root says what leads to others.
        if let Some(root) = root.filter(|root| root.found.is_some() || !tree.fields.is_empty()) {
            fields.push(leads(&spec, root.found));
        }
        self.below = tree;
        ObjectSelection { fields }
    }

    /// Notes the relations below a field that was just collected.
    fn branch(&mut self, tree: &mut RelationTree, name: &str) {
        let below = std::mem::take(&mut self.below);
        if !below.fields.is_empty() {
            tree.fields.push((name.into(), RelationBranch::Below(below)));
        }
    }

    /// A relation: what is in its place until its objects are read.
    fn related(
        &mut self,
        tree: &mut RelationTree,
        name: &str,
        (relation, occurrences): (&FieldRelation, &FieldOccurrences<'a>),
    ) -> SelectedField {
        let kind = match relation {
            FieldRelation::Owner | FieldRelation::Owned => None,
            FieldRelation::Reference { kind, .. }
            | FieldRelation::Events { kind, .. }
            | FieldRelation::Selected { kind, .. }
            | FieldRelation::Claims { kind }
            | FieldRelation::Volume { kind }
            | FieldRelation::Claim { kind } => Some(*kind),
        };
        let selection = self.object(below(occurrences), Some(RootObject { kind, found: Some(relation) }));
        let mut own = RelationTree::default();
        self.branch(&mut own, "items");
        let argument = occurrences[0].1.arguments.first();
        // A text is always readable.
        let argument = argument.and_then(|argument| {
            let ty = Type::NonNullNamed(Name::new_unchecked("String"));
            input::literal(self.api, &argument.value, &ty).ok()
        });
        let related = RelatedField {
            relation: relation.clone(),
            selection: Arc::new(selection),
            tree: own,
            argument,
            is_any_kind: kind.is_none(),
        };
        tree.fields.push((name.into(), RelationBranch::Related(Arc::new(related))));
        match relation {
            FieldRelation::Reference { key, .. } => SelectedField::new(name, key, ValueShape::Plain),
            _ => SelectedField::new(name, name, ValueShape::Constant("null".into())),
        }
    }

    fn shape(&mut self, ty: &Type, occurrences: &FieldOccurrences<'a>) -> ValueShape {
        match ty {
            Type::List(inner) | Type::NonNullList(inner) if inner.inner_named_type() == "JSON" => {
                let _ = inner;
                ValueShape::Plain
            }
            Type::List(inner) | Type::NonNullList(inner) => {
                ValueShape::List(Box::new(self.shape(inner, occurrences)))
            }
            Type::Named(name) | Type::NonNullNamed(name) => match name.as_str() {
                "String" => ValueShape::Text,
                "JSONString" => ValueShape::JsonText,
                _ if !occurrences[0].1.selection_set.is_empty() => {
                    ValueShape::Object(Arc::new(self.object(below(occurrences), None)))
                }
                _ => ValueShape::Plain,
            },
        }
    }

    /// The fields of selections by name in the answer, in the order of the query.
    fn collected(&mut self, sets: GuardedSets<'a>) -> IndexMap<&'a str, FieldOccurrences<'a>> {
        let mut fields = IndexMap::default();
        for (guards, set) in sets {
            self.collect(&guards, set, &mut fields);
        }
        fields
    }

    fn collect(
        &mut self,
        guards: &FieldGuards,
        set: &'a SelectionSet,
        fields: &mut IndexMap<&'a str, FieldOccurrences<'a>>,
    ) {
        for selection in &set.selections {
            let Some(guards) = self.guarded(guards, selection.directives()) else { continue };
            match selection {
                executable::Selection::Field(field) => {
                    fields.entry(field.response_key().as_str()).or_default().push((guards, field));
                }
                executable::Selection::InlineFragment(fragment) => {
                    self.collect(&guards, &fragment.selection_set, fields);
                }
                executable::Selection::FragmentSpread(spread) => {
                    // In a valid document the fragment exists; and since no type is abstract, it always applies.
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name) {
                        self.collect(&guards, &fragment.selection_set, fields);
                    }
                }
            }
        }
    }

    /// Adds the conditions of directives. None if a directive excludes the field in any case.
    fn guarded(&mut self, guards: &FieldGuards, directives: &DirectiveList) -> Option<FieldGuards> {
        let mut all = guards.clone();
        for (name, is) in [("skip", false), ("include", true)] {
            let Some(directive) = directives.get(name) else { continue };
            match directive.specified_argument_by_name("if").map(|value| &**value) {
                Some(Value::Boolean(value)) if *value != is => return None,
                Some(Value::Variable(variable)) => {
                    self.conditions.insert(variable.as_str().into());
                    let guard = DirectiveGuard { variable: variable.as_str().into(), is };
                    if !all.contains(&guard) {
                        all.push(guard);
                    }
                }
                _ => {}
            }
        }
        Some(all)
    }

    fn when(occurrences: &FieldOccurrences<'a>) -> FieldCondition {
        if occurrences.iter().any(|(guards, _)| guards.is_empty()) {
            return FieldCondition::default();
        }
        FieldCondition(Some(occurrences.iter().map(|(guards, _)| guards.clone().into()).collect()))
    }
}

/// The selections below all occurrences of a field.
fn below<'d>(occurrences: &FieldOccurrences<'d>) -> GuardedSets<'d> {
    occurrences.iter().map(|(guards, field)| (guards.clone(), &field.selection_set)).collect()
}
