//! The plans of queries for one API, which all clusters that serve it have in common.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::plan::QueryPlan;

/// Memory limit for all plans of an API, in bytes.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Time after which an unused plan is dropped.
const IDLE: Duration = Duration::from_secs(3600);

/// A hash of the text of a query and of the name of the operation.
type QueryKey = [u8; 32];

/// A query, and its plan.
#[derive(Debug)]
pub struct KnownQuery {
    /// The text.
    pub query: Box<str>,
    /// The name of the operation, if it was given.
    pub name: Option<Box<str>>,
    plan: Arc<QueryPlan>,
    /// How often it was asked for.
    asked: AtomicU64,
}

/// The plans of an API. Clones are the same plans.
#[derive(Clone, Debug)]
pub struct ApiPlans(Cache<QueryKey, Arc<KnownQuery>>);

impl Default for ApiPlans {
    fn default() -> Self {
        let weigh =
            |_: &QueryKey, known: &Arc<KnownQuery>| u32::try_from(known.plan.weight).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).time_to_idle(IDLE).build())
    }
}

impl ApiPlans {
    /// The plan of a query, if it is known.
    pub fn get(&self, query: &str, name: Option<&str>) -> Option<Arc<QueryPlan>> {
        let known = self.0.get(&key(query, name))?;
        known.asked.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&known.plan))
    }

    /// Keeps the plan of a query.
    pub fn put(&self, query: &str, name: Option<&str>, plan: &Arc<QueryPlan>) {
        let (asked, plan) = (AtomicU64::new(0), Arc::clone(plan));
        let known = KnownQuery { query: query.into(), name: name.map(Box::from), plan, asked };
        self.0.insert(key(query, name), Arc::new(known));
    }

    /// The queries that were asked for most often.
    pub fn hottest(&self, count: usize) -> Vec<Arc<KnownQuery>> {
        let mut all: Vec<_> = self.0.iter().map(|(_, known)| known).collect();
        all.sort_by_cached_key(|known| Reverse(known.asked.load(Ordering::Relaxed)));
        all.truncate(count);
        all
    }
}

fn key(query: &str, name: Option<&str>) -> QueryKey {
    let mut hash = Sha256::new();
    hash.update(name.unwrap_or_default());
    hash.update([0]);
    hash.update(query);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        bounds::QueryBounds,
        plan::prepare,
        schema::tests::{api, kind},
    };

    #[test]
    fn what_is_asked_for_most_often_is_the_hottest() {
        let api = api(&[kind("", "Pod", &json!({}))]);
        let plan = prepare(&api, "{__typename}", None, QueryBounds { depth: 20, fields: 5000 }).unwrap();
        let (plans, plan) = (ApiPlans::default(), Arc::new(plan));
        for query in ["a", "b", "c"] {
            plans.put(query, None, &plan);
        }
        plans.put("b", Some("x"), &plan);
        for (query, name) in [("c", None), ("b", Some("x")), ("c", None), ("d", None), ("c", Some("x"))] {
            assert_eq!(plans.get(query, name).is_some(), query != "d" && (query, name) != ("c", Some("x")));
        }
        let hottest: Vec<_> = plans.hottest(2).iter().map(|known| known.query.to_string()).collect();
        assert_eq!(hottest, ["c", "b"]);
        assert_eq!(plans.hottest(9).len(), 4);
        assert!(plans.clone().get("a", None).is_some_and(|same| Arc::ptr_eq(&same, &plan)));
    }
}
