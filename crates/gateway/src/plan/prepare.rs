//! Parses a query, checks it against limits and schema, and plans it.

use apollo_compiler::{
    ExecutableDocument, Name, Node,
    ast::{self, Definition, Type},
    executable,
    parser::Parser,
    validation::{DiagnosticList, Valid},
};
use std::sync::Arc;

use super::{QueryPlan, collect::FieldCollector};
use crate::{
    bounds::{self, QueryBounds},
    error::{ErrorCode, GraphError},
    schema::ClusterApi,
};

/// Maximum number of reported errors.
const MAX_ERRORS: usize = 100;
/// Maximum number of variables that are tried as `Long`.
const MAX_TRIES: usize = 8;

/// Plans a query, or says what is wrong with it.
pub fn prepare(
    api: &ClusterApi,
    query: &str,
    name: Option<&str>,
    bounds: QueryBounds,
) -> Result<QueryPlan, Vec<GraphError>> {
    let ast = read(query, bounds)?;
    let document = validated(api, &ast)?;
    let operation = document.operations.get(name).map_err(|error| {
        vec![GraphError::compiled(ErrorCode::ValidationFailed, error.to_graphql_error(&document.sources))]
    })?;
    plan(api, &document, operation, query.len())
}

/// Parses a query and checks it against limits.
pub fn read(query: &str, bounds: QueryBounds) -> Result<ast::Document, Vec<GraphError>> {
    let mut parser = Parser::new().token_limit(bounds::MAX_TOKENS).recursion_limit(bounds::MAX_RECURSION);
    let parsed = parser.parse_ast(query, "query.graphql");
    let ast = parsed.map_err(|errors| told(ErrorCode::ParseFailed, &errors.errors))?;
    bounds::check(&ast, bounds).map_err(|error| vec![error])?;
    Ok(ast)
}

fn plan(
    api: &ClusterApi,
    document: &Valid<ExecutableDocument>,
    operation: &Node<executable::Operation>,
    length: usize,
) -> Result<QueryPlan, Vec<GraphError>> {
    let mut collector = FieldCollector::new(api, document);
    let roots = collector.roots(operation).map_err(|error| vec![error])?;
    let introspects = collector.introspects;
    let mut bare = (**operation).clone();
    if !introspects {
        bare.selection_set.selections.clear();
    }
    let weight = 1024 + length * if introspects { 64 } else { 16 };
    Ok(QueryPlan {
        kind: operation.operation_type,
        roots,
        operation: Node::new(bare),
        introspected: introspects.then(|| Arc::new(document.clone())),
        conditions: collector.conditions,
        weight,
    })
}

pub fn told(code: ErrorCode, errors: &DiagnosticList) -> Vec<GraphError> {
    let all = errors
        .iter()
        .take(MAX_ERRORS)
        .map(|error| GraphError::compiled(code, error.unstable_to_json_compat()));
    let mut all: Vec<_> = all.collect();
    let left = errors.len().saturating_sub(MAX_ERRORS);
    if left > 0 {
        all.pop();
        all.push(GraphError::new(code, format!("{} more errors are left out", left + 1)));
    }
    if code == ErrorCode::ParseFailed
        && let Some(first) = all.first_mut()
    {
        first.message = format!("failed to parse query: {}", first.message);
    }
    all
}

/// Validates a document. A variable of type `Int` becomes a `Long` if the schema wants one.
fn validated(api: &ClusterApi, ast: &ast::Document) -> Result<Valid<ExecutableDocument>, Vec<GraphError>> {
    let errors = match ast.to_executable_validate(&api.schema) {
        Ok(document) => return Ok(document),
        Err(errors) => errors.errors,
    };
    let mut current = ast.clone();
    let mut best = errors.len();
    for name in integers(ast).into_iter().take(MAX_TRIES) {
        let mut tried = current.clone();
        widen(&mut tried, &name);
        match tried.to_executable_validate(&api.schema) {
            Ok(document) => return Ok(document),
            Err(errors) if errors.errors.len() < best => {
                best = errors.errors.len();
                current = tried;
            }
            Err(_) => {}
        }
    }
    Err(told(ErrorCode::ValidationFailed, &errors))
}

/// The variables of type `Int`.
fn integers(ast: &ast::Document) -> Vec<Name> {
    let operations = ast.definitions.iter().filter_map(|definition| match definition {
        Definition::OperationDefinition(operation) => Some(&operation.variables),
        _ => None,
    });
    let is_integer = |ty: &Type| ty.inner_named_type() == "Int";
    operations
        .flatten()
        .filter(|variable| is_integer(&variable.ty))
        .map(|variable| variable.name.clone())
        .collect()
}

fn widen(ast: &mut ast::Document, name: &Name) {
    for definition in &mut ast.definitions {
        let Definition::OperationDefinition(operation) = definition else { continue };
        for variable in &mut operation.make_mut().variables {
            if variable.name == *name {
                let variable = variable.make_mut();
                variable.ty = Node::new(widened(&variable.ty));
            }
        }
    }
}

fn widened(ty: &Type) -> Type {
    let long = || Name::new_unchecked("Long");
    match ty {
        Type::Named(name) if name == "Int" => Type::Named(long()),
        Type::NonNullNamed(name) if name == "Int" => Type::NonNullNamed(long()),
        Type::List(inner) => Type::List(Box::new(widened(inner))),
        Type::NonNullList(inner) => Type::NonNullList(Box::new(widened(inner))),
        other => other.clone(),
    }
}
