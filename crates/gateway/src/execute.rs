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
    arguments::CallArguments,
    asking::{AnswerFragment, RequestContext},
    read::object,
    sink::{AnswerPart, AnswerSink, PART, StopReason},
    unreadable::broken,
};
use self::{
    reply::{CallReply, PlacedCall},
    room::take,
    unreadable::too_long,
    writing::{AnswerPiece, AnswerWriter, gather},
};
use crate::{
    error::{ErrorCode, GraphError},
    plan::{PlanCall, QueryPlan},
    schema::{OperationVerb, TypedKind},
};

/// Number of calls of one query in progress at a time.
pub const SIDE_BY_SIDE: usize = 32;

/// Writes the answer to a plan.
pub async fn answer(
    asking: RequestContext<'_>,
    plan: &QueryPlan,
    sink: &mut AnswerSink,
) -> Result<(), StopReason> {
    let variables = asking.variables;
    let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
    let specialized = plan.is_conditional().then(|| plan.under(&says));
    let fields = specialized.as_deref().unwrap_or(&plan.roots);
    let (mut pieces, mut errands) = (vec![AnswerPiece::Text(b"{\"data\":".to_vec())], Vec::new());
    gather(fields, &mut Vec::new(), &mut pieces, &mut errands);
    let at_a_time = if plan.kind == OperationType::Mutation { 1 } else { SIDE_BY_SIDE };
    let room = AtomicUsize::new(asking.max_response.saturating_sub(sink.out.len()));
    let budget = relate::AnswerBudget::of(asking);
    let running: Vec<_> = errands.iter().map(|errand| run((asking, &budget), errand, &room)).collect();
    let replies = pin!(stream::iter(running).buffered(at_a_time));
    let (introspected, errors) = introspected(asking, plan);
    let mut writing = AnswerWriter::new(sink, errors, &room);
    writing.data(&pieces, introspected.as_ref(), &errands, replies).await?;
    writing.end();
    Ok(())
}

/// The answer to a plan, as a whole.
pub async fn whole_answer(asking: RequestContext<'_>, plan: &QueryPlan) -> Vec<u8> {
    let mut sink = AnswerSink::kept();
    // What is kept can be corrected as long as it is written.
    let _ = answer(asking, plan, &mut sink).await;
    sink.out
}

/// Finds conditions whose variable is null, for which GraphQL has no answer.
pub fn null_conditions(plan: &QueryPlan, variables: &JsonMap) -> Option<GraphError> {
    let is_null = |name: &&str| !variables.get(*name).is_some_and(JsonValue::is_boolean);
    let null = plan.conditions.iter().map(|name| &**name).find(is_null)?;
    Some(GraphError::new(
        ErrorCode::Invalid,
        format!("the variable ${null} of a condition must be true or false"),
    ))
}

fn introspected(asking: RequestContext<'_>, plan: &QueryPlan) -> (Option<JsonMap>, Vec<GraphError>) {
    let Some(document) = &plan.introspected else { return (None, Vec::new()) };
    let api = &asking.endpoint.api;
    let fail = |error: apollo_compiler::request::RequestError| {
        let error =
            GraphError::compiled(ErrorCode::ValidationFailed, error.to_graphql_error(&document.sources));
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
            let errors = response
                .errors
                .into_iter()
                .map(|error| GraphError::compiled(ErrorCode::ValidationFailed, error));
            (response.data, errors.collect())
        }
        Err(error) => fail(error),
    }
}

/// Makes a call. An error takes its place in the answer, also if there is no room for what it has given.
async fn run<'p>(
    (asking, budget): (RequestContext<'p>, &relate::AnswerBudget),
    errand: &PlacedCall<'p>,
    room: &AtomicUsize,
) -> CallReply<'p> {
    let completed = match complete((asking, budget), errand.call).await {
        Ok(CallReply::Done(fragment)) if !take(room, fragment.json.len()) => Err(too_long()),
        other => other,
    };
    match completed {
        Ok(CallReply::Done(fragment)) => {
            let errors = fragment.errors.into_iter().map(|error| errand.error(error)).collect();
            CallReply::Done(AnswerFragment { errors, ..fragment })
        }
        Ok(flowing) => flowing,
        Err(error) => {
            let empty = match errand.call.operation.verb {
                // These are never null.
                OperationVerb::TypeByCategory
                | OperationVerb::ResourcesByCategory
                | OperationVerb::ApplyYamlAll => b"[]".to_vec(),
                _ => Vec::new(),
            };
            CallReply::Done(AnswerFragment { json: empty, errors: vec![errand.error(error)] })
        }
    }
}

/// Makes a call, and reads what its answer leads to.
async fn complete<'p>(
    (asking, budget): (RequestContext<'p>, &relate::AnswerBudget),
    call: &'p PlanCall,
) -> Result<CallReply<'p>, GraphError> {
    let reply = make(asking, call).await?;
    match &call.relations {
        Some(tree) => {
            let whole = reply.whole(&budget.root).await?;
            relate::fill((asking, budget), tree, whole).await.map(CallReply::Done)
        }
        None => Ok(reply),
    }
}

async fn make<'p>(asking: RequestContext<'p>, call: &'p PlanCall) -> Result<CallReply<'p>, GraphError> {
    let arguments = CallArguments::new(asking, call);
    let kind = || kind_of(asking, call);
    let made = match call.operation.verb {
        OperationVerb::List => return read::list(asking, &arguments, call, kind()?).await,
        OperationVerb::Get => read::get(asking, &arguments, call, kind()?).await,
        OperationVerb::Yaml => read::yaml(asking, &arguments, kind()?).await,
        OperationVerb::TypeByCategory => category::types(asking, &arguments, call),
        OperationVerb::ResourcesByCategory => category::resources(asking, &arguments, call).await,
        OperationVerb::ApplyYaml => documents::apply_one(asking, &arguments).await,
        OperationVerb::ApplyYamlAll => documents::apply_all(asking, &arguments, call).await,
        OperationVerb::Create => write::create(asking, &arguments, call, kind()?).await,
        OperationVerb::Update | OperationVerb::UpdateStatus => {
            write::update(asking, &arguments, call, kind()?).await
        }
        OperationVerb::Apply => write::apply(asking, &arguments, call, kind()?).await,
        OperationVerb::Patch => write::patch(asking, &arguments, call, kind()?).await,
        OperationVerb::Scale => write::scale(asking, &arguments, call, kind()?).await,
        OperationVerb::Delete => write::delete(asking, &arguments, kind()?).await,
        OperationVerb::Watch | OperationVerb::WatchOne | OperationVerb::PodLogs => Err(GraphError::new(
            ErrorCode::Invalid,
            "a subscription needs Accept: text/event-stream or a WebSocket",
        )),
    };
    made.map(CallReply::Done)
}

fn kind_of<'a>(asking: RequestContext<'a>, call: &PlanCall) -> Result<&'a TypedKind, GraphError> {
    let kind = call.operation.kind.and_then(|index| asking.endpoint.api.kinds.get(index));
    kind.ok_or_else(|| GraphError::new(ErrorCode::Internal, "the kind is not there"))
}
