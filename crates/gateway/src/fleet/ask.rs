//! Asks the clusters that a query means, side by side, and nobody for whom no cluster vouches.

use std::{collections::BTreeMap, sync::Arc};

use apollo_compiler::response::{JsonMap, JsonValue};
use tokio::task::JoinSet;

use super::{
    answer::{self, FleetAnswer},
    asker::{FleetAsker, NOBODY, nobody},
    block::{ClustersBlock, QueryRoots},
    cluster::{CallerStanding, ClusterOutcome, FleetQuestion},
    plans::BlockPlans,
    schema,
    written::WrittenQuery,
};
use crate::{
    error::{ErrorCode, GraphError},
    memory::{MemoryReading, MemoryWishes},
    plan,
    state::{GatewayState, ServedCluster},
};

/// A query, as it was sent.
#[derive(Clone, Copy)]
pub struct SentQuery<'a> {
    /// The text.
    pub text: &'a str,
    /// The name of the operation.
    pub name: Option<&'a str>,
    /// The variables.
    pub variables: &'a JsonMap,
    /// Extensions of the protocol.
    pub extensions: Option<&'a JsonMap>,
    /// The most that may be answered, in bytes.
    pub room: usize,
}

type ServedClusters = BTreeMap<String, ServedCluster>;
type ClusterOutcomes = BTreeMap<String, ClusterOutcome>;

/// The answer to a query, and the name of who asked.
pub async fn answer(
    asker: &Arc<FleetAsker>,
    query: SentQuery<'_>,
) -> Result<(Vec<u8>, Option<Arc<str>>), Vec<GraphError>> {
    let document = match plan::read(query.text, asker.state.limits.bounds()) {
        Ok(document) => document,
        Err(errors) => return Err(asker.told(errors).await),
    };
    let one = |error| vec![error];
    let read = || {
        let written = WrittenQuery::of(&document, query.name, query.variables).map_err(one)?;
        Ok((QueryRoots::of(&written)?, written, wishes(query.extensions).map_err(one)?))
    };
    match read() {
        Ok((roots, written, wishes)) => executed(asker, written, roots, (wishes, query.room)).await,
        Err(errors) => Err(asker.told(errors).await),
    }
}

async fn executed(
    asker: &Arc<FleetAsker>,
    written: WrittenQuery,
    roots: QueryRoots,
    (wishes, room): (MemoryWishes, usize),
) -> Result<(Vec<u8>, Option<Arc<str>>), Vec<GraphError>> {
    let (all, limits) = (asker.state.all(), &asker.state.limits);
    let labels = || all.iter().map(|(name, served)| (name.as_str(), &served.endpoint.labels));
    let chosen: Vec<Vec<String>> = roots.blocks.iter().map(|block| block.chosen(labels())).collect();
    let contacted = contacted(&chosen, &all, !roots.introspection.is_empty());
    // What one cluster is asked for in several places counts in each of them.
    let count = chosen.iter().map(Vec::len).sum::<usize>().max(contacted.len()).max(1);
    let calls = match limits.max_query_complexity {
        0 => usize::MAX,
        fields => (fields / count).max(1),
    };
    let share = room / count;
    let plans = BlockPlans::default();
    let question = FleetQuestion { asker: Arc::clone(asker), written, roots, plans, wishes, share, calls };
    let question = Arc::new(question);
    asker.admitted(contacted.iter().filter_map(|name| all.get(name))).await?;
    let outcomes = asked(&question, &contacted, &chosen, &all).await;
    count_each(&asker.state, &outcomes);
    if !outcomes.values().any(|outcome| matches!(outcome.standing, CallerStanding::Accepted)) {
        elsewhere(&question, &outcomes, &all).await?;
    }
    let reading = MemoryReading::new(wishes, None);
    for outcome in outcomes.values() {
        reading.absorb(&outcome.reading);
    }
    let (written, roots) = (&question.written, &question.roots);
    let introspected = if roots.introspection.is_empty() {
        None
    } else {
        let apis = accepted(&outcomes, &all).map(|served| &*served.endpoint.api);
        Some(schema::introspect(written, roots.introspection.clone(), apis)?)
    };
    let caller = outcomes.values().find_map(|outcome| outcome.caller.clone());
    let answers = FleetAnswer { roots, written, chosen: &chosen, introspected, labels: labels().collect() };
    let mut json = answer::compose(&answers, outcomes, room)?;
    reading.tell(&mut json);
    Ok((json, caller))
}

/// Asks each cluster in a task of its own, which ends with the request.
async fn asked(
    question: &Arc<FleetQuestion>,
    names: &[String],
    chosen: &[Vec<String>],
    all: &ServedClusters,
) -> ClusterOutcomes {
    let mut tasks = JoinSet::new();
    for name in names {
        let (question, served) = (Arc::clone(question), all.get(name).cloned());
        let blocks: Vec<_> = (0..chosen.len()).filter(|index| chosen[*index].contains(name)).collect();
        let name = name.clone();
        tasks.spawn(async move {
            let asked = question.ask(&name, served.as_ref(), &blocks);
            let outcome = Box::pin(question.asker.span.cover(asked)).await;
            (name, outcome)
        });
    }
    let mut outcomes = ClusterOutcomes::new();
    while let Some(done) = tasks.join_next().await {
        outcomes.extend(done);
    }
    let broken = || {
        let error = GraphError::new(ErrorCode::Internal, "the cluster could not be asked");
        ClusterOutcome::none(CallerStanding::Unanswered(error), question.wishes)
    };
    for name in names {
        outcomes.entry(name.clone()).or_insert_with(broken);
    }
    outcomes
}

/// The schema of the fleet as text: what the clusters have that accept the token.
pub async fn sdl(asker: &FleetAsker) -> Result<String, Vec<GraphError>> {
    let accepting = asker.accepting().await?;
    let union = schema::union(accepting.iter().map(|served| &*served.endpoint.api));
    Ok(union.to_string())
}

/// Reads the wishes about memory. Versions of different clusters have nothing in common.
fn wishes(extensions: Option<&JsonMap>) -> Result<MemoryWishes, GraphError> {
    let said = extensions.and_then(|all| all.get("minResourceVersion"));
    if said.is_some_and(|value| *value != JsonValue::Null) {
        let message = "extensions.minResourceVersion is a version of one cluster";
        return Err(GraphError::new(ErrorCode::Invalid, message));
    }
    MemoryWishes::of(extensions)
}

/// The clusters that are asked, each once. All of them, if the schema of the fleet is wanted.
fn contacted(chosen: &[Vec<String>], all: &ServedClusters, wants_all: bool) -> Vec<String> {
    let mut names: Vec<String> = chosen.iter().flatten().cloned().collect();
    if wants_all {
        names.extend(all.keys().cloned());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn accepted<'a>(
    outcomes: &'a ClusterOutcomes,
    all: &'a ServedClusters,
) -> impl Iterator<Item = &'a ServedCluster> {
    outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome.standing, CallerStanding::Accepted))
        .filter_map(|(name, _)| all.get(name))
}

fn count_each(state: &GatewayState, outcomes: &ClusterOutcomes) {
    for (name, outcome) in outcomes.iter().filter(|(name, _)| state.served(name).is_some()) {
        let result = match &outcome.standing {
            CallerStanding::Refused => "refused",
            CallerStanding::Unanswered(_) => "unanswered",
            CallerStanding::Accepted if outcome.parts.iter().any(|(_, part)| part.is_failed()) => "failed",
            CallerStanding::Accepted => "ok",
        };
        state.metrics.fleet.asked(name, result);
    }
}

/// Whom none of the clusters in question accepts may still be known to another one. Otherwise nothing is answered.
async fn elsewhere(
    question: &FleetQuestion,
    outcomes: &ClusterOutcomes,
    all: &ServedClusters,
) -> Result<(), Vec<GraphError>> {
    let (asker, blocks) = (&question.asker, &question.roots.blocks);
    let others: Vec<_> = all.iter().filter(|(name, _)| !outcomes.contains_key(*name)).collect();
    // The token of who names clusters goes to no other one.
    let is_named = !outcomes.is_empty() && blocks.iter().all(ClustersBlock::is_named);
    let is_known =
        if is_named { asker.is_remembered(&others).await } else { asker.is_known(&others).await? };
    if is_known {
        return Ok(());
    }
    let mut unanswered = outcomes.values().map(|outcome| match &outcome.standing {
        CallerStanding::Unanswered(error) => Some(error),
        _ => None,
    });
    match unanswered.next() {
        // Nobody could say anything.
        Some(Some(error)) if unanswered.all(|error| error.is_some()) => Err(vec![error.clone()]),
        _ if is_named => Err(nobody("none of the clusters that are named accepts the token")),
        _ => Err(nobody(NOBODY)),
    }
}
