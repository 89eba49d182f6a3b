//! The plan of a cluster's part of a query. A call that does not fit its schema takes no other one with it.

use std::sync::Arc;

use super::{
    block::ClustersBlock,
    cluster::FleetQuestion,
    plans::{BlockPlan, BlockPlanResult},
    rewrite::{ClusterQuery, UnfitCalls, rewrite},
};
use crate::{
    endpoint::ClusterEndpoint,
    error::{ErrorCode, GraphError},
    plan::prepare,
};

impl FleetQuestion {
    /// The query for a cluster, and its plan.
    pub async fn planned(&self, endpoint: &ClusterEndpoint, index: usize) -> BlockPlanResult {
        let make = || self.fitting(endpoint, &self.roots.blocks[index]).map(Arc::new);
        self.plans.once((index, &endpoint.api), make).await
    }

    fn fitting(
        &self,
        endpoint: &ClusterEndpoint,
        block: &ClustersBlock,
    ) -> Result<BlockPlan, Vec<GraphError>> {
        let bounds = self.asker.state.limits.bounds();
        let plan = |query: &ClusterQuery| endpoint.plan(&query.text, None, bounds).map_err(unplaced);
        let query = self.rewritten(endpoint, block, &UnfitCalls::new())?;
        let errors = match plan(&query) {
            Ok(plan) => return Ok(BlockPlan { query, plan }),
            Err(errors) => errors,
        };
        let is_unfit = errors.iter().all(|error| error.code == ErrorCode::ValidationFailed);
        let unfit = if is_unfit { self.unfit(endpoint, &query) } else { UnfitCalls::new() };
        if unfit.is_empty() {
            return Err(errors);
        }
        let query = self.rewritten(endpoint, block, &unfit)?;
        plan(&query).map(|plan| BlockPlan { query, plan })
    }

    fn rewritten(
        &self,
        endpoint: &ClusterEndpoint,
        block: &ClustersBlock,
        unfit: &UnfitCalls,
    ) -> Result<ClusterQuery, Vec<GraphError>> {
        let query = rewrite(&self.written, block, &endpoint.api, unfit).map_err(|error| vec![error])?;
        if query.calls.len() > self.calls {
            let message =
                format!("{} calls of each cluster are too many for so many clusters", query.calls.len());
            return Err(vec![GraphError::new(ErrorCode::LimitExceeded, message)]);
        }
        Ok(query)
    }

    /// The calls that do not even fit alone.
    fn unfit(&self, endpoint: &ClusterEndpoint, query: &ClusterQuery) -> UnfitCalls {
        let bounds = self.asker.state.limits.bounds();
        let mut unfit = UnfitCalls::new();
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
