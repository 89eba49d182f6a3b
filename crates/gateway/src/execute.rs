//! Execution of a plan: calls in parallel for queries, one after another for mutations, and the answer in the order
//! of the query.

mod arguments;
mod asking;
mod body;
mod category;
mod documents;
mod flow;
mod read;
mod relate;
mod reply;
mod room;
mod sink;
mod unreadable;
mod write;
mod writing;

use std::{pin::pin, sync::atomic::AtomicUsize};

use apollo_compiler::{
    executable::OperationType,
    introspection,
    response::{JsonMap, JsonValue},
};
use futures::{StreamExt as _, stream};

pub use self::{
    arguments::Arguments,
    asking::{Asking, Fragment},
    read::object,
    sink::{PART, Part, Sink, Stopped},
    unreadable::broken,
};
use self::{
    reply::{Errand, Reply},
    room::take,
    unreadable::too_long,
    writing::{Piece, Writing, gather},
};
use crate::{
    error::{Code, GraphError},
    plan::{Call, Plan},
    schema::{Kind, Verb},
};

/// Number of calls of one query in progress at a time.
pub const SIDE_BY_SIDE: usize = 32;

/// Writes the answer to a plan.
pub async fn answer(asking: Asking<'_>, plan: &Plan, sink: &mut Sink) -> Result<(), Stopped> {
    let variables = asking.variables;
    let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
    let specialized = plan.is_conditional().then(|| plan.under(&says));
    let fields = specialized.as_deref().unwrap_or(&plan.roots);
    let (mut pieces, mut errands) = (vec![Piece::Text(b"{\"data\":".to_vec())], Vec::new());
    gather(fields, &mut Vec::new(), &mut pieces, &mut errands);
    let at_a_time = if plan.kind == OperationType::Mutation { 1 } else { SIDE_BY_SIDE };
    let room = AtomicUsize::new(asking.max_response.saturating_sub(sink.out.len()));
    let budget = relate::Budget::of(asking);
    let running: Vec<_> = errands.iter().map(|errand| run((asking, &budget), errand, &room)).collect();
    let replies = pin!(stream::iter(running).buffered(at_a_time));
    let (introspected, errors) = introspected(asking, plan);
    let mut writing = Writing::new(sink, errors, &room);
    writing.data(&pieces, introspected.as_ref(), &errands, replies).await?;
    writing.end();
    Ok(())
}

/// The answer to a plan, as a whole.
pub async fn whole_answer(asking: Asking<'_>, plan: &Plan) -> Vec<u8> {
    let mut sink = Sink::kept();
    // What is kept can be corrected as long as it is written.
    let _ = answer(asking, plan, &mut sink).await;
    sink.out
}

/// Finds conditions whose variable is null, for which GraphQL has no answer.
pub fn null_conditions(plan: &Plan, variables: &JsonMap) -> Option<GraphError> {
    let is_null = |name: &&str| !variables.get(*name).is_some_and(JsonValue::is_boolean);
    let null = plan.conditions.iter().map(|name| &**name).find(is_null)?;
    Some(GraphError::new(Code::Invalid, format!("the variable ${null} of a condition must be true or false")))
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

/// Makes a call. An error takes its place in the answer, also if there is no room for what it has given.
async fn run<'p>(
    (asking, budget): (Asking<'p>, &relate::Budget),
    errand: &Errand<'p>,
    room: &AtomicUsize,
) -> Reply<'p> {
    let completed = match complete((asking, budget), errand.call).await {
        Ok(Reply::Done(fragment)) if !take(room, fragment.json.len()) => Err(too_long()),
        other => other,
    };
    match completed {
        Ok(Reply::Done(fragment)) => {
            let errors = fragment.errors.into_iter().map(|error| errand.error(error)).collect();
            Reply::Done(Fragment { errors, ..fragment })
        }
        Ok(flowing) => flowing,
        Err(error) => {
            let empty = match errand.call.operation.verb {
                // These are never null.
                Verb::TypeByCategory | Verb::ResourcesByCategory | Verb::ApplyYamlAll => b"[]".to_vec(),
                _ => Vec::new(),
            };
            Reply::Done(Fragment { json: empty, errors: vec![errand.error(error)] })
        }
    }
}

/// Makes a call, and reads what its answer leads to.
async fn complete<'p>(
    (asking, budget): (Asking<'p>, &relate::Budget),
    call: &'p Call,
) -> Result<Reply<'p>, GraphError> {
    let reply = make(asking, call).await?;
    match &call.relations {
        Some(tree) => {
            let whole = reply.whole(&budget.root).await?;
            relate::fill((asking, budget), tree, whole).await.map(Reply::Done)
        }
        None => Ok(reply),
    }
}

async fn make<'p>(asking: Asking<'p>, call: &'p Call) -> Result<Reply<'p>, GraphError> {
    let arguments = Arguments::new(asking, call);
    let kind = || kind_of(asking, call);
    let made = match call.operation.verb {
        Verb::List => return read::list(asking, &arguments, call, kind()?).await,
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
    };
    made.map(Reply::Done)
}

fn kind_of<'a>(asking: Asking<'a>, call: &Call) -> Result<&'a Kind, GraphError> {
    let kind = call.operation.kind.and_then(|index| asking.endpoint.api.kinds.get(index));
    kind.ok_or_else(|| GraphError::new(Code::Internal, "the kind is not there"))
}
