//! Queries that are ready for execution.

use std::sync::Arc;

use apollo_compiler::{
    executable::OperationType, request::coerce_variable_values, response::JsonMap, validation::Valid,
};
use http::StatusCode;
use portolan_runtime::traces::Span;

use super::{Params, RequestProblem};
use crate::{
    error::{ErrorCode, GraphError},
    execute::{self, AnswerSink, RequestContext, StopReason, null_conditions},
    identity::Caller,
    memory::{MemoryReading, MemoryWishes},
    plan::QueryPlan,
    state::{GatewayState, ServedCluster},
    subscribe::Subscriber,
};

/// A query that is ready for execution.
pub struct PreparedQuery {
    plan: Arc<QueryPlan>,
    variables: Valid<JsonMap>,
    wishes: MemoryWishes,
}

/// Prepares a query, or says what is wrong with it.
pub fn prepared(
    state: &GatewayState,
    served: &ServedCluster,
    params: &Params,
) -> Result<PreparedQuery, RequestProblem> {
    let query = state.persisted.text(params.named()).map_err(RequestProblem::of)?;
    let endpoint = &served.endpoint;
    let plan = endpoint.plan(&query, params.operation_name.as_deref(), state.limits.bounds());
    let plan = plan.map_err(|errors| RequestProblem::with(StatusCode::BAD_REQUEST, errors))?;
    let none = JsonMap::new();
    let given = params.variables.as_ref().unwrap_or(&none);
    let variables =
        coerce_variable_values(&endpoint.api.schema, &plan.operation, given).map_err(|error| {
            RequestProblem::of(GraphError::new(ErrorCode::Invalid, error.message().to_string()))
        })?;
    if let Some(error) = null_conditions(&plan, &variables) {
        return Err(RequestProblem::of(error));
    }
    let wishes = MemoryWishes::of(params.extensions.as_ref()).map_err(RequestProblem::of)?;
    Ok(PreparedQuery { plan, variables, wishes })
}

impl PreparedQuery {
    /// Returns `true` for a subscription.
    pub fn is_subscription(&self) -> bool {
        self.plan.kind == OperationType::Subscription
    }

    /// The name of its first field.
    pub fn field(&self) -> Box<str> {
        self.plan.roots.first().map(|field| field.name.clone()).unwrap_or_default()
    }

    /// Says in a span what is asked: neither the text nor its variables.
    pub fn describe(&self, span: &Span) {
        span.note("graphql.operation.type", || self.plan.kind.name().into());
        if let Some(name) = &self.plan.operation.name {
            span.note("graphql.operation.name", || name.to_string().into());
        }
    }

    /// Fails for a mutation that comes by GET.
    pub fn check_method(&self, may_write: bool) -> Result<(), RequestProblem> {
        if self.plan.kind == OperationType::Mutation && !may_write {
            let error = GraphError::new(ErrorCode::BadRequest, "a mutation needs POST");
            return Err(RequestProblem::new(StatusCode::METHOD_NOT_ALLOWED, error));
        }
        Ok(())
    }

    /// Executes it and returns the answer.
    pub async fn execute(&self, state: &GatewayState, served: &ServedCluster, caller: &Caller) -> Vec<u8> {
        let reading = MemoryReading::new(self.wishes, caller.name.clone());
        let asking = self.asking((state, served, caller), &reading);
        let mut answer = execute::whole_answer(asking, &self.plan).await;
        reading.tell(&mut answer);
        answer
    }

    /// Executes it and writes the answer.
    pub async fn write(
        &self,
        who: (&GatewayState, &ServedCluster, &Caller),
        sink: &mut AnswerSink,
    ) -> Result<(), StopReason> {
        let reading = MemoryReading::new(self.wishes, who.2.name.clone());
        execute::answer(self.asking(who, &reading), &self.plan, sink).await?;
        // The end of the answer has not left yet.
        reading.tell(&mut sink.out);
        Ok(())
    }

    fn asking<'a>(
        &'a self,
        (state, served, caller): (&GatewayState, &'a ServedCluster, &'a Caller),
        reading: &'a MemoryReading,
    ) -> RequestContext<'a> {
        RequestContext {
            endpoint: &served.endpoint,
            authorization: &caller.authorization,
            variables: &self.variables,
            max_response: state.limits.max_response_bytes,
            reading: Some(reading),
        }
    }

    /// The subscriber that it makes.
    pub fn subscriber(
        self,
        state: &Arc<GatewayState>,
        served: &ServedCluster,
        caller: &Caller,
        last_seen: Option<String>,
    ) -> Subscriber {
        Subscriber {
            state: Arc::clone(state),
            served: served.clone(),
            caller: caller.clone(),
            plan: self.plan,
            variables: self.variables,
            last_seen,
        }
    }
}
