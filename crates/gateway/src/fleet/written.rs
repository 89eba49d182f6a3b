//! Pure: a query to the fleet as it is written. Fragments and conditions above the objects are resolved, because the
//! types there differ between clusters.

use std::collections::BTreeSet;

use apollo_compiler::{
    Node,
    ast::{
        Definition, DirectiveList, Document, Field, FragmentDefinition, OperationDefinition, OperationType,
        Selection, Value,
    },
    collections::HashMap,
    response::{JsonMap, JsonValue},
};

use crate::error::{Code, GraphError};

/// A query and its variables.
pub struct Written<'d> {
    operation: &'d Node<OperationDefinition>,
    fragments: HashMap<&'d str, &'d Node<FragmentDefinition>>,
    given: &'d JsonMap,
}

/// An error for a query that does not fit.
pub fn unfit(message: impl Into<String>) -> GraphError {
    GraphError::new(Code::ValidationFailed, message)
}

impl<'d> Written<'d> {
    /// The operation of this name, or the only one.
    pub fn of(document: &'d Document, name: Option<&str>, given: &'d JsonMap) -> Result<Self, GraphError> {
        let mut fragments = HashMap::default();
        let mut operations = Vec::new();
        for definition in &document.definitions {
            match definition {
                Definition::OperationDefinition(operation) => operations.push(operation),
                Definition::FragmentDefinition(fragment) => {
                    fragments.insert(fragment.name.as_str(), fragment);
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
        Ok(Self { operation, fragments, given })
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
            let said = directive.specified_argument_by_name("if").map(|value| self.value(value));
            match said.as_ref().and_then(JsonValue::as_bool) {
                Some(said) if said == is => {}
                Some(_) => return Ok(false),
                None => return Err(unfit(format!("@{name} needs a Boolean"))),
            }
        }
        Ok(true)
    }

    /// The value of an argument of our own: a text, a Boolean, or a list of them.
    pub fn value(&self, value: &Value) -> JsonValue {
        match value {
            Value::Variable(name) => match self.given.get(name.as_str()) {
                Some(given) => given.clone(),
                None => self.default(name).map_or(JsonValue::Null, |value| self.value(value)),
            },
            Value::Null => JsonValue::Null,
            Value::String(text) => JsonValue::String(text.as_str().into()),
            Value::Boolean(is) => JsonValue::Bool(*is),
            Value::List(all) => JsonValue::Array(all.iter().map(|value| self.value(value)).collect()),
            // Our own arguments have no such types; their readers refuse an object.
            _ => JsonValue::Object(JsonMap::default()),
        }
    }

    fn default(&self, name: &str) -> Option<&Value> {
        let mut all = self.operation.variables.iter();
        all.find(|variable| variable.name == name)?.default_value.as_deref()
    }

    /// A document with these fields at its root, and with the variables and fragments that they use.
    pub fn alone(&self, selections: Vec<Selection>) -> Document {
        let mut used = Used::default();
        used.take(&selections, self);
        let mut operation = (**self.operation).clone();
        operation.directives = DirectiveList::default();
        operation.variables.retain(|variable| used.variables.contains(variable.name.as_str()));
        operation.selection_set = selections;
        let mut document = Document::new();
        document.definitions.push(Definition::OperationDefinition(Node::new(operation)));
        let fragments = used.fragments.iter().filter_map(|name| self.fragments.get(name.as_str()));
        document
            .definitions
            .extend(fragments.map(|fragment| Definition::FragmentDefinition((*fragment).clone())));
        document
    }
}

fn without_conditions(field: &Node<Field>) -> Node<Field> {
    let mut field = field.clone();
    if field.directives.has("skip") || field.directives.has("include") {
        let directives = &mut field.make_mut().directives;
        directives.0.retain(|directive| directive.name != "skip" && directive.name != "include");
    }
    field
}

/// What a part of a query refers to.
#[derive(Default)]
struct Used {
    variables: BTreeSet<String>,
    fragments: BTreeSet<String>,
}

impl Used {
    fn take(&mut self, selections: &[Selection], written: &Written<'_>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    field.arguments.iter().for_each(|argument| self.value(&argument.value));
                    self.directives(&field.directives.0);
                    self.take(&field.selection_set, written);
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.directives.0);
                    self.take(&fragment.selection_set, written);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.directives.0);
                    let name = spread.fragment_name.as_str();
                    if self.fragments.insert(name.to_owned())
                        && let Some(fragment) = written.fragments.get(name)
                    {
                        self.directives(&fragment.directives.0);
                        self.take(&fragment.selection_set, written);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Node<apollo_compiler::ast::Directive>]) {
        let arguments = directives.iter().flat_map(|directive| &directive.arguments);
        arguments.for_each(|argument| self.value(&argument.value));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Variable(name) => {
                self.variables.insert(name.to_string());
            }
            Value::List(all) => all.iter().for_each(|value| self.value(value)),
            Value::Object(fields) => fields.iter().for_each(|(_, value)| self.value(value)),
            _ => {}
        }
    }
}
