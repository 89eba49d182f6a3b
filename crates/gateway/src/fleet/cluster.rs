//! What one cluster of the fleet says, within its time.

use std::{net::IpAddr, sync::Arc};

use apollo_compiler::{request::coerce_variable_values, response::JsonMap};
use futures::{FutureExt as _, future::try_join};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::time::{Instant, timeout_at};

use super::{
    block::Block,
    rewrite::{self, Source},
    written::Written,
};
use crate::{
    error::{Code, GraphError},
    execute::{self, Asking, null_conditions},
    identity::Caller,
    memory::{Reading, Wishes},
    state::{Served, State},
};

/// Who asks.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The clusters.
    pub state: &'a State,
    /// The token.
    pub token: &'a SecretString,
    /// Where it comes from.
    pub address: IpAddr,
    /// The time of the question.
    pub begin: Instant,
}

/// What all clusters are asked.
pub struct Question<'a> {
    pub asker: &'a Asker<'a>,
    pub written: &'a Written<'a>,
    pub variables: &'a JsonMap,
    pub wishes: Wishes,
    /// Limit for one answer of an API server, in bytes.
    pub share: usize,
    /// Limit for the calls of one cluster.
    pub calls: usize,
}

/// What a cluster thinks of the caller.
#[derive(Debug)]
pub enum Standing {
    Accepted,
    Refused,
    Unanswered(GraphError),
}

/// A field that the cluster does not have: its path in the answer, and in the schema.
pub type Missing = (Vec<String>, String);

/// The answer of a cluster to one block.
pub enum Part {
    /// The block as JSON.
    Answered { block: Box<RawValue>, errors: Vec<Value>, missing: Vec<Missing> },
    /// It could not be asked, or not this.
    Failed(Vec<GraphError>),
}

/// What a cluster says.
pub struct Outcome {
    pub standing: Standing,
    /// Who asks, as the cluster knows it.
    pub caller: Option<Arc<str>>,
    /// By the place of the block.
    pub parts: Vec<(usize, Part)>,
    pub reading: Reading,
}

#[derive(Deserialize)]
struct Whole {
    data: Box<RawValue>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Asker<'_> {
    /// The caller, as a cluster knows it.
    pub async fn identified(&self, name: &str, served: &Served) -> Result<Caller, GraphError> {
        if let Some(known) = served.callers.remembered(self.token).await {
            return known;
        }
        let silent = &self.state.silent;
        let patience = silent.patience(name, self.state.limits.fleet_timeout);
        let proof = served.callers.prove(&served.endpoint.upstream, self.token);
        let proven = timeout_at(self.begin + patience, proof).await;
        silent.note(name, proven.is_err());
        proven.unwrap_or_else(|_| Err(too_slow()))
    }
}

impl Question<'_> {
    /// Asks a cluster, or none, which refuses.
    pub async fn ask(&self, name: &str, served: Option<&Served>, blocks: &[(usize, &Block)]) -> Outcome {
        let silence = |standing| Outcome {
            standing,
            caller: None,
            parts: Vec::new(),
            reading: Reading::new(self.wishes, None),
        };
        let Some(served) = served else { return silence(Standing::Refused) };
        let proof = self.asker.identified(name, served);
        let told = match served.callers.acquaintance(self.asker.token).await {
            // The proof and the question go side by side, since clusters may be far away. Nothing is answered without it.
            Some(caller) => {
                let asked = self.asked(name, (served, caller), blocks).map(Ok);
                try_join(proof, asked).await.map(|(_, outcome)| outcome)
            }
            None => match proof.await {
                Ok(caller) => Ok(self.asked(name, (served, caller), blocks).await),
                Err(error) => Err(error),
            },
        };
        match told {
            Ok(outcome) => outcome,
            Err(error) if error.code == Code::Unauthenticated => silence(Standing::Refused),
            Err(error) => silence(Standing::Unanswered(error)),
        }
    }

    async fn asked(
        &self,
        name: &str,
        (served, caller): (&Served, Caller),
        blocks: &[(usize, &Block)],
    ) -> Outcome {
        let reading = Reading::new(self.wishes, caller.name.clone());
        let deadline = self.asker.begin + self.asker.state.limits.fleet_timeout;
        let mut parts = Vec::with_capacity(blocks.len());
        let place = caller.place();
        for (index, block) in blocks {
            let work = self.part((name, served), &caller, block, &reading);
            let part = match &place {
                Err(crowded) => Err(vec![crowded.clone()]),
                Ok(_) => timeout_at(deadline, work).await.unwrap_or_else(|_| Err(vec![too_slow()])),
            };
            parts.push((*index, part.unwrap_or_else(Part::Failed)));
        }
        Outcome { standing: Standing::Accepted, caller: caller.name, parts, reading }
    }

    async fn part(
        &self,
        (name, served): (&str, &Served),
        caller: &Caller,
        block: &Block,
        reading: &Reading,
    ) -> Result<Part, Vec<GraphError>> {
        let endpoint = &served.endpoint;
        let one = |error| vec![error];
        let query = rewrite::rewrite(self.written, block, &endpoint.api).map_err(one)?;
        if query.calls > self.calls {
            let message = format!("{} calls of each cluster are too many for so many clusters", query.calls);
            return Err(one(GraphError::new(Code::LimitExceeded, message)));
        }
        let plan = endpoint.plan(&query.text, None, self.asker.state.limits.bounds());
        let mut plan = (*plan.map_err(unplaced)?).clone();
        let variables = coerce_variable_values(&endpoint.api.schema, &plan.operation, self.variables)
            .map_err(|error| one(GraphError::new(Code::Invalid, error.message().to_string())))?;
        if let Some(error) = null_conditions(&plan, &variables) {
            return Err(one(error));
        }
        let missing: Vec<Missing> = query.fixed.iter().filter_map(missing).collect();
        let says = says_missing(&missing);
        let labels = serde_json::json!(endpoint.labels).to_string();
        for fixed in &query.fixed {
            let json = rewrite::json(&fixed.source, name, &labels, says.as_deref());
            rewrite::put(&mut plan.roots, &fixed.path, &json);
        }
        let asking = Asking {
            endpoint,
            authorization: &caller.authorization,
            variables: &variables,
            max_response: self.share,
            reading: Some(reading),
        };
        let answer = execute::whole_answer(asking, &plan).await;
        let whole: Whole = serde_json::from_slice(&answer)
            .map_err(|_| one(GraphError::new(Code::Internal, "the answer of the cluster cannot be read")))?;
        Ok(Part::Answered { block: whole.data, errors: whole.errors, missing })
    }
}

fn missing(fixed: &rewrite::Fixed) -> Option<Missing> {
    match &fixed.source {
        Source::Missing(what) => Some((fixed.path.clone(), what.clone())),
        _ => None,
    }
}

/// What a block says of fields that its cluster does not have.
fn says_missing(missing: &[Missing]) -> Option<String> {
    let all: Vec<_> = missing.iter().map(|(_, what)| what.as_str()).collect();
    (!all.is_empty()).then(|| format!("the cluster does not have {}", all.join(", ")))
}

/// Errors without positions, which are those of a text that the caller has not written.
fn unplaced(mut errors: Vec<GraphError>) -> Vec<GraphError> {
    for error in &mut errors {
        error.locations.clear();
    }
    errors
}

fn too_slow() -> GraphError {
    GraphError::new(Code::Timeout, "the cluster did not answer in time")
}
