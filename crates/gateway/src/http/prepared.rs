//! Queries that are ready for execution.

use std::sync::Arc;

use apollo_compiler::{
    executable::OperationType, request::coerce_variable_values, response::JsonMap, validation::Valid,
};
use http::StatusCode;
use portolan_runtime::traces::Span;

use super::{Params, Problem};
use crate::{
    error::{Code, GraphError},
    execute::{self, Asking, Sink, Stopped, null_conditions},
    identity::Caller,
    memory::{Reading, Wishes},
    plan::Plan,
    state::{Served, State},
    subscribe::Subscriber,
};

/// A query that is ready for execution.
pub struct Prepared {
    plan: Arc<Plan>,
    variables: Valid<JsonMap>,
    wishes: Wishes,
}

/// Prepares a query, or says what is wrong with it.
pub fn prepared(state: &State, served: &Served, params: &Params) -> Result<Prepared, Problem> {
    let query = state.persisted.text(params.named()).map_err(Problem::of)?;
    let endpoint = &served.endpoint;
    let plan = endpoint.plan(&query, params.operation_name.as_deref(), state.limits.bounds());
    let plan = plan.map_err(|errors| Problem::with(StatusCode::BAD_REQUEST, errors))?;
    let none = JsonMap::new();
    let given = params.variables.as_ref().unwrap_or(&none);
    let variables = coerce_variable_values(&endpoint.api.schema, &plan.operation, given)
        .map_err(|error| Problem::of(GraphError::new(Code::Invalid, error.message().to_string())))?;
    if let Some(error) = null_conditions(&plan, &variables) {
        return Err(Problem::of(error));
    }
    let wishes = Wishes::of(params.extensions.as_ref()).map_err(Problem::of)?;
    Ok(Prepared { plan, variables, wishes })
}

impl Prepared {
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
    pub fn check_method(&self, may_write: bool) -> Result<(), Problem> {
        if self.plan.kind == OperationType::Mutation && !may_write {
            let error = GraphError::new(Code::BadRequest, "a mutation needs POST");
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, error));
        }
        Ok(())
    }

    /// Executes it and returns the answer.
    pub async fn execute(&self, state: &State, served: &Served, caller: &Caller) -> Vec<u8> {
        let reading = Reading::new(self.wishes, caller.name.clone());
        let asking = self.asking((state, served, caller), &reading);
        let mut answer = execute::whole_answer(asking, &self.plan).await;
        reading.tell(&mut answer);
        answer
    }

    /// Executes it and writes the answer.
    pub async fn write(&self, who: (&State, &Served, &Caller), sink: &mut Sink) -> Result<(), Stopped> {
        let reading = Reading::new(self.wishes, who.2.name.clone());
        execute::answer(self.asking(who, &reading), &self.plan, sink).await?;
        // The end of the answer has not left yet.
        reading.tell(&mut sink.out);
        Ok(())
    }

    fn asking<'a>(
        &'a self,
        (state, served, caller): (&State, &'a Served, &'a Caller),
        reading: &'a Reading,
    ) -> Asking<'a> {
        Asking {
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
        state: &Arc<State>,
        served: &Served,
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
