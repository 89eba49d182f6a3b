//! Asks the clusters that a query means, side by side, and nobody for whom no cluster vouches.

use std::{collections::BTreeMap, sync::Arc};

use apollo_compiler::response::{JsonMap, JsonValue};
use futures::future::join_all;
use portolan_runtime::limits::RateSubject;

use super::{
    answer::{self, Answers},
    block::Roots,
    cluster::{Asker, Outcome, Question, Standing},
    schema,
    written::Written,
};
use crate::{
    error::{Code, GraphError},
    memory::{Reading, Wishes},
    plan,
    state::{Served, State},
};

/// A query, as it was sent.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The text.
    pub text: &'a str,
    /// The name of the operation.
    pub name: Option<&'a str>,
    /// The variables.
    pub variables: &'a JsonMap,
    /// Extensions of the protocol.
    pub extensions: Option<&'a JsonMap>,
}

type All = BTreeMap<String, Served>;
type Outcomes = BTreeMap<String, Outcome>;

/// The answer to a query, and the name of who asked.
pub async fn answer(
    asker: &Asker<'_>,
    query: Asked<'_>,
) -> Result<(Vec<u8>, Option<Arc<str>>), Vec<GraphError>> {
    let document = match plan::read(query.text, asker.state.limits.bounds()) {
        Ok(document) => document,
        Err(errors) => return Err(asker.told(errors).await),
    };
    let read = || {
        let written = Written::of(&document, query.name, query.variables)?;
        Ok((Roots::of(&written)?, written, wishes(query.extensions)?))
    };
    match read() {
        Ok((roots, written, wishes)) => executed(asker, &written, &roots, (query.variables, wishes)).await,
        Err(error) => Err(asker.told(vec![error]).await),
    }
}

async fn executed(
    asker: &Asker<'_>,
    written: &Written<'_>,
    roots: &Roots,
    (variables, wishes): (&JsonMap, Wishes),
) -> Result<(Vec<u8>, Option<Arc<str>>), Vec<GraphError>> {
    let (all, limits) = (asker.state.all(), &asker.state.limits);
    let labels = || all.iter().map(|(name, served)| (name.as_str(), &served.endpoint.labels));
    let chosen: Vec<Vec<String>> = roots.blocks.iter().map(|block| block.chosen(labels())).collect();
    let contacted = contacted(&chosen, &all, !roots.introspection.is_empty());
    let count = contacted.len().max(1);
    let calls = match limits.max_query_complexity {
        0 => usize::MAX,
        fields => (fields / count).max(1),
    };
    let share = limits.max_response_bytes / count;
    let question = Question { asker, written, variables, wishes, share, calls };
    asker.admitted(&contacted, &all).await?;
    let answers = contacted.iter().map(async |name| {
        let of = |index: &usize| chosen[*index].contains(name);
        let blocks: Vec<_> =
            (0..chosen.len()).filter(of).map(|index| (index, &roots.blocks[index])).collect();
        (name.clone(), question.ask(name, all.get(name), &blocks).await)
    });
    let outcomes: Outcomes = join_all(answers).await.into_iter().collect();
    count_each(asker.state, &outcomes);
    if !outcomes.values().any(|outcome| matches!(outcome.standing, Standing::Accepted)) {
        elsewhere(asker, &outcomes, &all).await?;
    }
    let reading = Reading::new(wishes, None);
    for outcome in outcomes.values() {
        reading.absorb(&outcome.reading);
    }
    let introspected = if roots.introspection.is_empty() {
        None
    } else {
        let apis = accepted(&outcomes, &all).map(|served| &served.endpoint.api);
        Some(schema::introspect(written, roots.introspection.clone(), apis, variables)?)
    };
    let caller = outcomes.values().find_map(|outcome| outcome.caller.clone());
    let answers = Answers { roots, written, chosen: &chosen, introspected, labels: labels().collect() };
    let mut json = answer::compose(&answers, outcomes, limits.max_response_bytes)?;
    reading.tell(&mut json);
    Ok((json, caller))
}

/// The schema of the fleet as text: what the clusters have that accept the token.
pub async fn sdl(asker: &Asker<'_>) -> Result<String, Vec<GraphError>> {
    let accepting = asker.accepting().await?;
    let union = schema::union(accepting.iter().map(|served| &served.endpoint.api));
    Ok(union.to_string())
}

/// What is wanted of memory. Versions of different clusters have nothing in common.
fn wishes(extensions: Option<&JsonMap>) -> Result<Wishes, GraphError> {
    let said = extensions.and_then(|all| all.get("minResourceVersion"));
    if said.is_some_and(|value| *value != JsonValue::Null) {
        let message = "extensions.minResourceVersion is a version of one cluster";
        return Err(GraphError::new(Code::Invalid, message));
    }
    Wishes::of(extensions)
}

/// The clusters that are asked, each once. All of them, if the schema of the fleet is wanted.
fn contacted(chosen: &[Vec<String>], all: &All, wants_all: bool) -> Vec<String> {
    let mut names: Vec<String> = chosen.iter().flatten().cloned().collect();
    if wants_all {
        names.extend(all.keys().cloned());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn accepted<'a>(outcomes: &'a Outcomes, all: &'a All) -> impl Iterator<Item = &'a Served> {
    outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome.standing, Standing::Accepted))
        .filter_map(|(name, _)| all.get(name))
}

fn count_each(state: &State, outcomes: &Outcomes) {
    for (name, outcome) in outcomes.iter().filter(|(name, _)| state.served(name).is_some()) {
        let result = match &outcome.standing {
            Standing::Refused => "refused",
            Standing::Unanswered(_) => "unanswered",
            Standing::Accepted if outcome.parts.iter().any(|(_, part)| part.is_failed()) => "failed",
            Standing::Accepted => "ok",
        };
        state.metrics.fleet.asked(name, result);
    }
}

/// Whom none of the clusters in question accepts may still be known to another one. Otherwise nothing is answered.
async fn elsewhere(asker: &Asker<'_>, outcomes: &Outcomes, all: &All) -> Result<(), Vec<GraphError>> {
    let others = all.iter().filter(|(name, _)| !outcomes.contains_key(*name));
    let names: Vec<_> = others.clone().map(|(name, _)| name.clone()).collect();
    asker.admitted(&names, all).await?;
    let known = others.map(async |(name, served)| asker.identified(name, served).await.is_ok());
    if join_all(known).await.into_iter().any(|is_known| is_known) {
        return Ok(());
    }
    let mut unanswered = outcomes.values().map(|outcome| match &outcome.standing {
        Standing::Unanswered(error) => Some(error),
        _ => None,
    });
    match unanswered.next() {
        // Nobody could say anything.
        Some(Some(error)) if unanswered.all(|error| error.is_some()) => Err(vec![error.clone()]),
        _ => Err(nobody()),
    }
}

fn nobody() -> Vec<GraphError> {
    vec![GraphError::new(Code::Unauthenticated, "no cluster accepts the token")]
}

impl Asker<'_> {
    /// Refuses tokens that nobody knows, if too many of them come from one address.
    async fn admitted(&self, names: &[String], all: &All) -> Result<(), Vec<GraphError>> {
        for served in names.iter().filter_map(|name| all.get(name)) {
            if served.callers.remembered(self.token).await.is_none() {
                if self.state.strangers.allows(RateSubject::At(self.address)) {
                    break;
                }
                let message = "too many tokens that nobody knows come from this address";
                return Err(vec![GraphError::new(Code::TooManyRequests, message)]);
            }
        }
        Ok(())
    }

    /// What is wrong with a query is told to those only whom a cluster accepts.
    pub async fn told(&self, errors: Vec<GraphError>) -> Vec<GraphError> {
        match self.accepting().await {
            Ok(_) => errors,
            Err(refusal) => refusal,
        }
    }

    /// The clusters that accept the token, at least one.
    async fn accepting(&self) -> Result<Vec<Served>, Vec<GraphError>> {
        let all = self.state.all();
        let names: Vec<_> = all.keys().cloned().collect();
        self.admitted(&names, &all).await?;
        let asked = all
            .iter()
            .map(async |(name, served)| self.identified(name, served).await.is_ok().then(|| served.clone()));
        let accepting: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if accepting.is_empty() { Err(nobody()) } else { Ok(accepting) }
    }
}
