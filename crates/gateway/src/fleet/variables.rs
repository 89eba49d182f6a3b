//! Pure: the variables of a query to the fleet. One that is used is declared, and has a value if its type wants one: else a
//! mistake in a selector would mean every cluster.

use std::collections::BTreeSet;

use apollo_compiler::{
    Node,
    ast::{Directive, FragmentDefinition, OperationDefinition, Selection, Value},
    collections::HashMap,
    response::JsonMap,
};

use super::unfit::unfit;
use crate::error::{ErrorCode, GraphError};

/// The fragments of a query by name.
pub type QueryFragments = HashMap<String, Node<FragmentDefinition>>;

/// The variables and fragments that a part of a query uses.
#[derive(Default)]
pub struct UsedNames {
    /// Names of variables.
    pub variables: BTreeSet<String>,
    /// Names of fragments.
    pub fragments: BTreeSet<String>,
}

/// Checks that the variables which an operation uses are declared, and that those have values which need one.
pub fn check(
    operation: &OperationDefinition,
    fragments: &QueryFragments,
    given: &JsonMap,
) -> Result<(), GraphError> {
    let mut used = UsedNames::default();
    used.take(&operation.selection_set, fragments);
    let is_declared = |name: &str| operation.variables.iter().any(|variable| variable.name == *name);
    if let Some(name) = used.variables.iter().find(|name| !is_declared(name)) {
        return Err(unfit(format!("the variable ${name} is not declared")));
    }
    let has_value = |name: &str, has_default| given.get(name).map_or(has_default, |given| !given.is_null());
    for variable in operation.variables.iter().filter(|variable| variable.ty.is_non_null()) {
        if !has_value(&variable.name, variable.default_value.is_some()) {
            let message = format!("the variable ${} needs a value of type {}", variable.name, variable.ty);
            return Err(GraphError::new(ErrorCode::Invalid, message));
        }
    }
    Ok(())
}

impl UsedNames {
    /// Adds what these fields use, and the fragments in them.
    pub fn take(&mut self, selections: &[Selection], fragments: &QueryFragments) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    field.arguments.iter().for_each(|argument| self.value(&argument.value));
                    self.directives(&field.directives.0);
                    self.take(&field.selection_set, fragments);
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.directives.0);
                    self.take(&fragment.selection_set, fragments);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.directives.0);
                    let name = spread.fragment_name.as_str();
                    if self.fragments.insert(name.to_owned())
                        && let Some(fragment) = fragments.get(name)
                    {
                        self.directives(&fragment.directives.0);
                        self.take(&fragment.selection_set, fragments);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Node<Directive>]) {
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
