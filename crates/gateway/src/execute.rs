//! Execution of a plan: calls in parallel for queries, one after another for mutations, and the answer in the order
//! of the query.

mod arguments;
mod asking;
mod body;
mod category;
mod documents;
mod read;
mod relate;
mod write;

use std::collections::VecDeque;

use apollo_compiler::{
    executable::OperationType,
    introspection,
    response::{JsonMap, JsonValue},
};
use futures::{StreamExt as _, stream};

pub(crate) use self::{
    arguments::Arguments,
    asking::{Asking, Fragment},
    read::{broken, object},
};
use crate::{
    error::{Code, GraphError},
    plan::{Call, Does, Field, Plan},
    scan::Step,
    schema::{Kind, Verb},
};

/// Number of calls of one query in progress at a time.
const SIDE_BY_SIDE: usize = 32;

/// A call, and the place of its answer.
struct Errand<'p> {
    call: &'p Call,
    path: Vec<Step>,
    location: Option<(usize, usize)>,
}

/// The answer to a plan.
pub(crate) async fn answer(asking: Asking<'_>, plan: &Plan) -> Vec<u8> {
    let variables = asking.variables;
    let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
    let specialized = plan.is_conditional.then(|| plan.under(&says));
    let fields = specialized.as_deref().unwrap_or(&plan.roots);
    let mut errands = Vec::new();
    gather(fields, &mut Vec::new(), &mut errands);
    let mut results = VecDeque::with_capacity(errands.len());
    if plan.kind == OperationType::Mutation {
        for errand in &errands {
            results.push_back(run(asking, errand).await);
        }
    } else if let [only] = errands.as_slice() {
        results.push_back(run(asking, only).await);
    } else {
        let all: Vec<_> = errands.iter().map(|errand| run(asking, errand)).collect();
        results.extend(stream::iter(all).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await);
    }
    let (introspected, mut errors) = introspected(asking, plan);
    let size: usize = results.iter().map(|fragment: &Fragment| fragment.json.len()).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(b"{\"data\":");
    write(fields, &mut results, introspected.as_ref(), &mut errors, &mut out);
    if !errors.is_empty() {
        out.extend_from_slice(b",\"errors\":[");
        for (index, error) in errors.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(error.to_json().to_string().as_bytes());
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

/// Finds conditions whose variable is null, for which GraphQL has no answer.
pub(crate) fn null_conditions(plan: &Plan, variables: &JsonMap) -> Option<GraphError> {
    if !plan.is_conditional {
        return None;
    }
    let mut names = Vec::new();
    condition_names(&plan.roots, &mut names);
    let null = names.into_iter().find(|name| !variables.get(*name).is_some_and(JsonValue::is_boolean))?;
    Some(GraphError::new(Code::Invalid, format!("the variable ${null} of a condition must be true or false")))
}

fn condition_names<'p>(fields: &'p [Field], names: &mut Vec<&'p str>) {
    for field in fields {
        names.extend(field.when.0.iter().flatten().flatten().map(|guard| &*guard.variable));
        if let Does::Group(fields) = &field.does {
            condition_names(fields, names);
        }
    }
}

fn gather<'p>(fields: &'p [Field], path: &mut Vec<Step>, errands: &mut Vec<Errand<'p>>) {
    for field in fields {
        path.push(Step::Field(field.name.to_string()));
        match &field.does {
            Does::Group(fields) => gather(fields, path, errands),
            Does::Call(call) => errands.push(Errand { call, path: path.clone(), location: field.location }),
            Does::Constant(_) | Does::Introspect => {}
        }
        path.pop();
    }
}

fn write(
    fields: &[Field],
    results: &mut VecDeque<Fragment>,
    introspected: Option<&JsonMap>,
    errors: &mut Vec<GraphError>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        match &field.does {
            Does::Constant(json) => out.extend_from_slice(json.as_bytes()),
            Does::Group(fields) => write(fields, results, introspected, errors, out),
            Does::Introspect => {
                let value = introspected.and_then(|data| data.get(&*field.name)).unwrap_or(&JsonValue::Null);
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(&mut *out, value);
            }
            Does::Call(_) => {
                let fragment = results.pop_front().unwrap_or_default();
                out.extend_from_slice(if fragment.json.is_empty() { b"null" } else { &fragment.json });
                errors.extend(fragment.errors);
            }
        }
    }
    out.push(b'}');
}

fn introspected(asking: Asking<'_>, plan: &Plan) -> (Option<JsonMap>, Vec<GraphError>) {
    let Some(document) = &plan.introspected else { return (None, Vec::new()) };
    let api = &asking.endpoint.api;
    let fail = |error: apollo_compiler::request::RequestError| {
        let error = GraphError::compiled(Code::ValidationFailed, error.to_graphql_error(&document.sources));
        (None, vec![error])
    };
    if let Err(error) = introspection::check_max_depth(document, &plan.operation) {
        return fail(error);
    }
    let done = introspection::partial_execute(
        &api.schema,
        &api.implementers,
        document,
        &plan.operation,
        asking.variables,
    );
    match done {
        Ok(response) => {
            let errors =
                response.errors.into_iter().map(|error| GraphError::compiled(Code::ValidationFailed, error));
            (response.data, errors.collect())
        }
        Err(error) => fail(error),
    }
}

/// Makes a call. An error takes its place in the answer.
async fn run(asking: Asking<'_>, errand: &Errand<'_>) -> Fragment {
    match complete(asking, errand.call).await {
        Ok(mut fragment) => {
            for error in &mut fragment.errors {
                *error = error.clone().at(&errand.path, errand.location);
            }
            fragment
        }
        Err(error) => {
            let empty = match errand.call.operation.verb {
                // These are never null.
                Verb::TypeByCategory | Verb::ResourcesByCategory | Verb::ApplyYamlAll => b"[]".to_vec(),
                _ => Vec::new(),
            };
            Fragment { json: empty, errors: vec![error.at(&errand.path, errand.location)] }
        }
    }
}

/// Makes a call, and reads what its answer leads to.
async fn complete(asking: Asking<'_>, call: &Call) -> Result<Fragment, GraphError> {
    let fragment = make(asking, call).await?;
    match &call.relations {
        Some(tree) => relate::fill(asking, tree, fragment).await,
        None => Ok(fragment),
    }
}

async fn make(asking: Asking<'_>, call: &Call) -> Result<Fragment, GraphError> {
    let arguments = Arguments::new(asking, call);
    let kind = || kind_of(asking, call);
    match call.operation.verb {
        Verb::List => read::list(asking, &arguments, call, kind()?).await,
        Verb::Get => read::get(asking, &arguments, call, kind()?).await,
        Verb::Yaml => read::yaml(asking, &arguments, kind()?).await,
        Verb::TypeByCategory => category::types(asking, &arguments, call),
        Verb::ResourcesByCategory => category::resources(asking, &arguments, call).await,
        Verb::ApplyYaml => documents::apply_one(asking, &arguments).await,
        Verb::ApplyYamlAll => documents::apply_all(asking, &arguments, call).await,
        Verb::Create => write::create(asking, &arguments, call, kind()?).await,
        Verb::Update | Verb::UpdateStatus => write::update(asking, &arguments, call, kind()?).await,
        Verb::Apply => write::apply(asking, &arguments, call, kind()?).await,
        Verb::Patch => write::patch(asking, &arguments, call, kind()?).await,
        Verb::Scale => write::scale(asking, &arguments, call, kind()?).await,
        Verb::Delete => write::delete(asking, &arguments, kind()?).await,
        Verb::Watch | Verb::WatchOne | Verb::PodLogs => Err(GraphError::new(
            Code::Invalid,
            "a subscription needs Accept: text/event-stream or a WebSocket",
        )),
    }
}

fn kind_of<'a>(asking: Asking<'a>, call: &Call) -> Result<&'a Kind, GraphError> {
    let kind = call.operation.kind.and_then(|index| asking.endpoint.api.kinds.get(index));
    kind.ok_or_else(|| GraphError::new(Code::Internal, "the kind is not there"))
}
