//! Pure: a query to the fleet as it is written. Fragments and conditions above the objects are resolved, because the
//! types there differ between clusters.

use apollo_compiler::{
    Name, Node,
    ast::{Definition, DirectiveList, Document, Field, OperationDefinition, OperationType, Selection, Value},
    name,
    response::JsonMap,
};

use super::{
    unfit::unfit,
    variables::{self, QueryFragments, UsedNames},
};
use crate::error::GraphError;

/// A query and its variables.
pub struct WrittenQuery {
    operation: Node<OperationDefinition>,
    fragments: QueryFragments,
    /// The variables, as they were sent.
    pub given: JsonMap,
}

impl WrittenQuery {
    /// The operation of this name, or the only one.
    pub fn of(document: &Document, name: Option<&str>, given: &JsonMap) -> Result<Self, GraphError> {
        let mut fragments = QueryFragments::default();
        let mut operations = Vec::new();
        for definition in &document.definitions {
            match definition {
                Definition::OperationDefinition(operation) => operations.push(operation),
                Definition::FragmentDefinition(fragment) => {
                    fragments.insert(fragment.name.to_string(), fragment.clone());
                }
                _ => return Err(unfit("a query has operations and fragments only")),
            }
        }
        let operation = match (name, operations.as_slice()) {
            (None, [only]) => Some(*only),
            (None, _) => None,
            (Some(name), all) => {
                let is_named = |operation: &&&Node<OperationDefinition>| {
                    operation.name.as_ref().is_some_and(|known| known == name)
                };
                all.iter().find(is_named).copied()
            }
        };
        let operation = operation.ok_or_else(|| unfit("operationName does not name one operation"))?;
        if operation.operation_type != OperationType::Query {
            return Err(unfit("only queries are asked of several clusters at once"));
        }
        variables::check(operation, &fragments, given)?;
        Ok(Self { operation: operation.clone(), fragments, given: given.clone() })
    }

    /// The root fields.
    pub fn roots(&self) -> Result<Vec<Node<Field>>, GraphError> {
        self.fields(&self.operation.selection_set, "Query")
    }

    /// The fields of a selection on a type, without fragments and without what conditions exclude.
    pub fn fields(&self, selections: &[Selection], type_name: &str) -> Result<Vec<Node<Field>>, GraphError> {
        let mut fields = Vec::new();
        self.collect(selections, type_name, &mut Vec::new(), &mut fields)?;
        Ok(fields)
    }

    fn collect(
        &self,
        selections: &[Selection],
        type_name: &str,
        inside: &mut Vec<String>,
        fields: &mut Vec<Node<Field>>,
    ) -> Result<(), GraphError> {
        let fits = |condition: Option<&str>| match condition {
            Some(other) if other != type_name => {
                Err(unfit(format!("a fragment on {other} cannot be in a selection of {type_name}")))
            }
            _ => Ok(()),
        };
        for selection in selections {
            if !self.is_wanted(selection)? {
                continue;
            }
            match selection {
                Selection::Field(field) => fields.push(without_conditions(field)),
                Selection::InlineFragment(fragment) => {
                    fits(fragment.type_condition.as_deref())?;
                    self.collect(&fragment.selection_set, type_name, inside, fields)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    let fragment = self.fragments.get(name);
                    let fragment = fragment.ok_or_else(|| unfit(format!("there is no fragment {name}")))?;
                    if inside.iter().any(|known| known == name) {
                        return Err(unfit(format!("the fragment {name} is within itself")));
                    }
                    fits(Some(fragment.type_condition.as_str()))?;
                    inside.push(name.to_owned());
                    self.collect(&fragment.selection_set, type_name, inside, fields)?;
                    inside.pop();
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, selection: &Selection) -> Result<bool, GraphError> {
        let directives = match selection {
            Selection::Field(field) => &field.directives,
            Selection::InlineFragment(fragment) => &fragment.directives,
            Selection::FragmentSpread(spread) => &spread.directives,
        };
        for (name, is) in [("skip", false), ("include", true)] {
            let Some(directive) = directives.get(name) else { continue };
            match directive.specified_argument_by_name("if").and_then(|value| self.condition(value)) {
                Some(said) if said == is => {}
                Some(_) => return Ok(false),
                None => return Err(unfit(format!("@{name} needs a Boolean"))),
            }
        }
        Ok(true)
    }

    fn condition(&self, value: &Value) -> Option<bool> {
        let name = match value {
            Value::Boolean(is) => return Some(*is),
            Value::Variable(name) => name,
            _ => return None,
        };
        let declared = self.operation.variables.iter().find(|variable| variable.name == *name)?;
        let is_boolean = declared.ty.is_named() && declared.ty.inner_named_type() == "Boolean";
        match (self.given.get(name.as_str()), declared.default_value.as_deref()) {
            _ if !is_boolean => None,
            (Some(given), _) => given.as_bool(),
            (None, Some(Value::Boolean(is))) => Some(*is),
            (None, _) => None,
        }
    }

    /// A document with these fields at its root, and with the variables and fragments that they use.
    pub fn alone(&self, selections: Vec<Selection>) -> Document {
        let mut used = UsedNames::default();
        used.take(&selections, &self.fragments);
        let mut operation = (*self.operation).clone();
        operation.directives = DirectiveList::default();
        operation.variables.retain(|variable| used.variables.contains(variable.name.as_str()));
        operation.selection_set = selections;
        let mut document = Document::new();
        document.definitions.push(Definition::OperationDefinition(Node::new(operation)));
        let fragments = used.fragments.iter().filter_map(|name| self.fragments.get(name.as_str()));
        document
            .definitions
            .extend(fragments.map(|fragment| Definition::FragmentDefinition(fragment.clone())));
        document
    }
}

/// A field that every type has.
pub fn type_name(alias: Option<Name>) -> Node<Field> {
    Node::new(Field {
        alias,
        name: name!("__typename"),
        arguments: Vec::new(),
        directives: DirectiveList::default(),
        selection_set: Vec::new(),
    })
}

fn without_conditions(field: &Node<Field>) -> Node<Field> {
    let mut field = field.clone();
    if field.directives.has("skip") || field.directives.has("include") {
        let directives = &mut field.make_mut().directives;
        directives.0.retain(|directive| directive.name != "skip" && directive.name != "include");
    }
    field
}
