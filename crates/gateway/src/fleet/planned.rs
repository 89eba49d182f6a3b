//! The plan of a cluster's part of a query. A call that does not fit its schema takes no other one with it.

use std::sync::Arc;

use super::{
    block::Block,
    cluster::Question,
    plans::{Made, Planned},
    rewrite::{Rewritten, Unfit, rewrite},
};
use crate::{
    endpoint::Endpoint,
    error::{Code, GraphError},
    plan::prepare,
};

impl Question {
    /// The query for a cluster, and its plan.
    pub async fn planned(&self, endpoint: &Endpoint, index: usize) -> Made {
        let make = || self.fitting(endpoint, &self.roots.blocks[index]).map(Arc::new);
        self.plans.once((index, &endpoint.api), make).await
    }

    fn fitting(&self, endpoint: &Endpoint, block: &Block) -> Result<Planned, Vec<GraphError>> {
        let bounds = self.asker.state.limits.bounds();
        let plan = |query: &Rewritten| endpoint.plan(&query.text, None, bounds).map_err(unplaced);
        let query = self.rewritten(endpoint, block, &Unfit::new())?;
        let errors = match plan(&query) {
            Ok(plan) => return Ok(Planned { query, plan }),
            Err(errors) => errors,
        };
        let is_unfit = errors.iter().all(|error| error.code == Code::ValidationFailed);
        let unfit = if is_unfit { self.unfit(endpoint, &query) } else { Unfit::new() };
        if unfit.is_empty() {
            return Err(errors);
        }
        let query = self.rewritten(endpoint, block, &unfit)?;
        plan(&query).map(|plan| Planned { query, plan })
    }

    fn rewritten(
        &self,
        endpoint: &Endpoint,
        block: &Block,
        unfit: &Unfit,
    ) -> Result<Rewritten, Vec<GraphError>> {
        let query = rewrite(&self.written, block, &endpoint.api, unfit).map_err(|error| vec![error])?;
        if query.calls.len() > self.calls {
            let message =
                format!("{} calls of each cluster are too many for so many clusters", query.calls.len());
            return Err(vec![GraphError::new(Code::LimitExceeded, message)]);
        }
        Ok(query)
    }

    /// The calls that do not even fit alone.
    fn unfit(&self, endpoint: &Endpoint, query: &Rewritten) -> Unfit {
        let bounds = self.asker.state.limits.bounds();
        let mut unfit = Unfit::new();
        for call in &query.calls {
            // Such plans are not kept: nobody asks for a call alone.
            let tried = prepare(&endpoint.api, &call.alone(&self.written), None, bounds);
            if let Some(error) = tried.err().and_then(|errors| together(unplaced(errors))) {
                unfit.insert(call.path.clone(), error);
            }
        }
        unfit
    }
}

/// One error that says all.
fn together(errors: Vec<GraphError>) -> Option<GraphError> {
    let mut errors = errors.into_iter();
    let first = errors.next()?;
    let message = errors.fold(first.message, |all, error| format!("{all} {}", error.message));
    Some(GraphError { message, ..first })
}

/// Errors without positions, which are those of a text that the caller has not written.
fn unplaced(mut errors: Vec<GraphError>) -> Vec<GraphError> {
    for error in &mut errors {
        error.locations.clear();
    }
    errors
}
