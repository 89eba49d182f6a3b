//! What clusters are asked, as it was worked out for the first of them. Clusters of one API are asked the same: neither
//! the query nor its plan, nor what is wrong with it, depends on anything else.

use std::{collections::HashMap, future::ready, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::rewrite::ClusterQuery;
use crate::{error::GraphError, plan::QueryPlan, schema::ClusterApi};

/// The plan of a block for clusters of one API.
pub struct BlockPlan {
    /// The query.
    pub query: ClusterQuery,
    /// Its plan.
    pub plan: Arc<QueryPlan>,
}

/// The same, or what is wrong with the block for such clusters.
pub type BlockPlanResult = Result<Arc<BlockPlan>, Vec<GraphError>>;

/// An API, which is kept so that no other one gets its address, and what its clusters are asked.
type ApiEntry = (Arc<ClusterApi>, Arc<OnceCell<BlockPlanResult>>);

/// The plans of one request, by the place of the block and the address of the API.
#[derive(Default)]
pub struct BlockPlans(Mutex<HashMap<(usize, usize), ApiEntry>>);

impl BlockPlans {
    /// Returns the plan of a block for clusters of an API. The first cluster makes it, and others wait for it.
    pub async fn once(
        &self,
        (index, api): (usize, &Arc<ClusterApi>),
        make: impl FnOnce() -> BlockPlanResult,
    ) -> BlockPlanResult {
        let cell = self.cell(index, api);
        cell.get_or_init(|| ready(make())).await.clone()
    }

    fn cell(&self, index: usize, api: &Arc<ClusterApi>) -> Arc<OnceCell<BlockPlanResult>> {
        let mut all = self.0.lock();
        let key = (index, Arc::as_ptr(api).addr());
        let (_, cell) = all.entry(key).or_insert_with(|| (Arc::clone(api), Arc::default()));
        Arc::clone(cell)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use apollo_compiler::response::JsonMap;

    use super::*;
    use crate::{
        fleet::{
            rewrite::{UnfitCalls, rewrite},
            tests::{BOUNDS, large, read, small},
        },
        plan::prepare,
    };

    #[tokio::test]
    async fn what_is_worked_out_for_one_cluster_is_for_all_of_its_api() {
        let query = "{clusters{name apps{v1{Deployments{items{kind}}}}} b:clusters{v1{Pods{items{nope}}}}}";
        let (written, roots) = read(query, &JsonMap::new()).unwrap();
        let (plans, count) = (BlockPlans::default(), Cell::new(0));
        let ask = async |api: &Arc<ClusterApi>, index: usize| {
            let make = || -> BlockPlanResult {
                count.set(count.get() + 1);
                let made = rewrite(&written, &roots.blocks[index], api, &UnfitCalls::new());
                let query = made.map_err(|error| vec![error])?;
                let plan = Arc::new(prepare(api, &query.text, None, BOUNDS)?);
                Ok(Arc::new(BlockPlan { query, plan }))
            };
            plans.once((index, api), make).await
        };
        let (one, other) = (Arc::new(small()), Arc::new(large()));
        let (first, second, third) = tokio::join!(ask(&one, 0), ask(&one, 0), ask(&other, 0));
        let [first, second, third] = [first, second, third].map(Result::unwrap);
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &third));
        assert_eq!((first.query.fixed.len(), third.query.fixed.len(), count.get()), (2, 1, 2));
        let mistakes = [ask(&one, 1).await, ask(&one, 1).await].map(|made| made.map(drop).unwrap_err());
        let is_named = mistakes[0].iter().any(|mistake| mistake.message.contains("nope"));
        assert!(mistakes[0] == mistakes[1] && is_named, "{mistakes:?}");
        assert_eq!(count.get(), 3, "a mistake is found once, too");
    }
}
