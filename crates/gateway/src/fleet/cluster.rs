//! The answer of one cluster of the fleet, within its deadline.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use apollo_compiler::request::coerce_variable_values;
use futures::{
    FutureExt as _, StreamExt as _,
    future::{Either, select, try_join},
    stream,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    asker::{FleetAsker, too_slow},
    block::QueryRoots,
    fixed::{self, FixedValue, MissingField, says_missing},
    plans::BlockPlans,
    written::WrittenQuery,
};
use crate::{
    error::{ErrorCode, GraphError},
    execute::{self, RequestContext, SIDE_BY_SIDE, null_conditions},
    identity::Caller,
    memory::{MemoryReading, MemoryWishes},
    plan::QueryPlan,
    silent::SHORT,
    state::ServedCluster,
};

/// The question to all clusters.
pub struct FleetQuestion {
    pub asker: Arc<FleetAsker>,
    pub written: WrittenQuery,
    pub roots: QueryRoots,
    /// The part of it that each cluster is asked.
    pub plans: BlockPlans,
    pub wishes: MemoryWishes,
    /// Limit for one answer of an API server, in bytes.
    pub share: usize,
    /// Limit for the calls of one cluster.
    pub calls: usize,
}

/// The verdict of a cluster on the caller.
#[derive(Debug)]
pub enum CallerStanding {
    Accepted,
    Refused,
    Unanswered(GraphError),
}

/// Fields that the cluster cannot be asked for, by their paths in the answer.
pub type AllMissing = Vec<(Vec<String>, MissingField)>;

/// The answer of a cluster to one block.
pub enum BlockAnswer {
    /// The block as JSON.
    Answered { block: Box<RawValue>, errors: Vec<Value>, missing: AllMissing },
    /// It could not be asked, or not this.
    Failed(Vec<GraphError>),
}

/// The answer of a cluster.
pub struct ClusterOutcome {
    pub standing: CallerStanding,
    /// Who asks, as the cluster knows it.
    pub caller: Option<Arc<str>>,
    /// By the place of the block.
    pub parts: Vec<(usize, BlockAnswer)>,
    pub reading: MemoryReading,
}

#[derive(Deserialize)]
struct WholeAnswer {
    data: Box<RawValue>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl ClusterOutcome {
    /// The outcome for a cluster that says nothing.
    pub fn none(standing: CallerStanding, wishes: MemoryWishes) -> Self {
        Self { standing, caller: None, parts: Vec::new(), reading: MemoryReading::new(wishes, None) }
    }
}

impl FleetQuestion {
    /// Asks a cluster, or none, which refuses.
    pub async fn ask(&self, name: &str, served: Option<&ServedCluster>, blocks: &[usize]) -> ClusterOutcome {
        let Some(served) = served else { return ClusterOutcome::none(CallerStanding::Refused, self.wishes) };
        let end = Instant::now() + self.asker.state.limits.fleet_timeout;
        let proof = self.asker.identified(name, served);
        let told = match served.callers.acquaintance(&self.asker.token).await {
            // The proof and the question go side by side, since clusters may be far away. Nothing is answered without it.
            Some(caller) => {
                let asked = self.asked(name, (served, caller), blocks, end).map(Ok);
                try_join(proof, asked).await.map(|(_, outcome)| outcome)
            }
            None => match proof.await {
                Ok(caller) => Ok(self.asked(name, (served, caller), blocks, end).await),
                Err(error) => Err(error),
            },
        };
        match told {
            Ok(outcome) => outcome,
            Err(error) if error.code == ErrorCode::Unauthenticated => {
                ClusterOutcome::none(CallerStanding::Refused, self.wishes)
            }
            Err(error) => ClusterOutcome::none(CallerStanding::Unanswered(error), self.wishes),
        }
    }

    async fn asked(
        &self,
        name: &str,
        (served, caller): (&ServedCluster, Caller),
        blocks: &[usize],
        end: Instant,
    ) -> ClusterOutcome {
        let reading = MemoryReading::new(self.wishes, caller.name.clone());
        let silent = &self.asker.state.silent;
        let patience = silent.patience(name, self.asker.state.limits.fleet_timeout);
        let deadline = end.min(Instant::now() + patience);
        let place = caller.place();
        let parts: Vec<_> = blocks
            .iter()
            .map(async |index| {
                let work = self.part((name, served), &caller, *index, &reading);
                let part = match &place {
                    Err(crowded) => Some(Err(vec![crowded.clone()])),
                    Ok(_) => in_time(deadline, work).await,
                };
                (*index, part)
            })
            .collect();
        let parts = Box::pin(stream::iter(parts).buffered(SIDE_BY_SIDE).collect::<Vec<_>>());
        let is_mute = AtomicBool::new(false);
        let watch = self.watch(served, &is_mute);
        let parts = match select(parts, pin!(watch)).await {
            Either::Left((parts, _)) => parts,
            Either::Right((never, _)) => match never {},
        };
        if is_mute.into_inner() && parts.iter().all(|(_, part)| part.is_none()) {
            silent.note(name, true);
        }
        let told = |part: Option<Result<BlockAnswer, Vec<GraphError>>>| {
            part.unwrap_or_else(|| Err(vec![too_slow()])).unwrap_or_else(BlockAnswer::Failed)
        };
        let parts = parts.into_iter().map(|(index, part)| (index, told(part))).collect();
        ClusterOutcome { standing: CallerStanding::Accepted, caller: caller.name, parts, reading }
    }

    /// Finds out while an answer takes long whether the cluster says anything at all: a review is no work.
    async fn watch(&self, served: &ServedCluster, is_mute: &AtomicBool) -> Infallible {
        sleep(SHORT).await;
        let mut proof = pin!(served.callers.prove(&served.endpoint.upstream, &self.asker.token));
        if timeout(SHORT, &mut proof).await.is_err() {
            is_mute.store(true, Ordering::Relaxed);
            // Whatever it says, it speaks.
            let _ = proof.await;
            is_mute.store(false, Ordering::Relaxed);
        }
        pending().await
    }

    async fn part(
        &self,
        (name, served): (&str, &ServedCluster),
        caller: &Caller,
        index: usize,
        reading: &MemoryReading,
    ) -> Result<BlockAnswer, Vec<GraphError>> {
        let endpoint = &served.endpoint;
        let one = |error| vec![error];
        let planned = self.planned(endpoint, index).await?;
        let (fixed, plan) = (&planned.query.fixed, &planned.plan);
        let variables = coerce_variable_values(&endpoint.api.schema, &plan.operation, &self.written.given)
            .map_err(|error| one(GraphError::new(ErrorCode::Invalid, error.message().to_string())))?;
        if let Some(error) = null_conditions(plan, &variables) {
            return Err(one(error));
        }
        let plan = filled(plan, (name, &endpoint.labels), fixed);
        let asking = RequestContext {
            endpoint,
            authorization: &caller.authorization,
            variables: &variables,
            max_response: self.share,
            reading: Some(reading),
        };
        let answer = execute::whole_answer(asking, &plan).await;
        let whole: WholeAnswer = serde_json::from_slice(&answer).map_err(|_| {
            one(GraphError::new(ErrorCode::Internal, "the answer of the cluster cannot be read"))
        })?;
        let missing = fixed.iter().filter_map(FixedValue::missing).collect();
        Ok(BlockAnswer::Answered { block: whole.data, errors: whole.errors, missing })
    }
}

/// Does work until a deadline. Work that waits for its turn until then is not begun; a timeout alone would begin it.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    if Instant::now() >= deadline {
        return None;
    }
    timeout_at(deadline, work).await.ok()
}

/// The plan with the values in it that do not come from the API server.
fn filled(
    plan: &QueryPlan,
    (name, labels): (&str, &BTreeMap<String, String>),
    all: &[FixedValue],
) -> QueryPlan {
    let mut plan = plan.clone();
    let (says, labels) = (says_missing(all), serde_json::json!(labels).to_string());
    for fixed in all {
        let json = fixed::json(&fixed.source, name, &labels, says.as_deref());
        fixed::put(&mut plan.roots, &fixed.path, &json);
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_after_the_deadline() {
        let table = [
            (Duration::ZERO, Duration::ZERO, None, 0),
            (Duration::from_secs(2), Duration::from_secs(1), Some(()), 1),
            (Duration::from_secs(1), Duration::from_secs(2), None, 1),
        ];
        for (left, takes, expected, count) in table {
            let begun = Cell::new(0);
            let work = async {
                begun.set(begun.get() + 1);
                sleep(takes).await;
            };
            let done = in_time(Instant::now() + left, work).await;
            assert_eq!((done, begun.get()), (expected, count), "{left:?}");
        }
    }
}
