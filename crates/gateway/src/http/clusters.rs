//! `/api/clusters`: the clusters that accept the caller's token.
//!
//! Each cluster is asked as it is for a query, by a review that the token makes of itself, unless it was asked lately.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Extension, extract::State as Shared, response::Response};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use moka::sync::Cache;
use portolan_runtime::{limits::RateSubject, server::Peer};
use secrecy::SecretString;
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::info;

use super::{RequestProblem, answer, door::token, negotiate::AnswerMedia};
use crate::{
    error::{ErrorCode, GraphError},
    state::{GatewayState, ServedCluster},
};

/// Limit for all clusters together. Those that have not answered by then are only counted.
const PATIENCE: Duration = Duration::from_secs(5);
/// Number of clusters that are asked at a time for one caller.
const AT_A_TIME: usize = 16;
/// Number of lists that one address may have in progress.
const LISTS_PER_ADDRESS: usize = 4;

/// The lists in progress, by address.
#[derive(Clone, Debug)]
pub(super) struct RunningListings {
    places: Cache<IpAddr, Arc<Semaphore>>,
}

impl Default for RunningListings {
    fn default() -> Self {
        let places = Cache::builder().max_capacity(10_000).time_to_idle(PATIENCE * 12).build();
        Self { places }
    }
}

/// The verdict of a cluster on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenVerdict {
    Accepted,
    Refused,
    Unanswered,
}

/// Lists them.
pub(super) async fn list(
    Shared(state): Shared<Arc<GatewayState>>,
    Extension(peer): Extension<Peer>,
    Extension(listings): Extension<RunningListings>,
    headers: HeaderMap,
) -> Response {
    let address = peer.address.ip();
    let response = match found(&state, &listings, address, &headers).await {
        Ok(body) => answer::json(StatusCode::OK, AnswerMedia::Json, body),
        Err(problem) => problem.respond(AnswerMedia::Json),
    };
    info!(target: "access", %address, status = response.status().as_u16(), "clusters listed");
    response
}

async fn found(
    state: &GatewayState,
    listings: &RunningListings,
    address: IpAddr,
    headers: &HeaderMap,
) -> Result<String, RequestProblem> {
    let token = token(headers)?;
    let busy = |message: &str| RequestProblem::of(GraphError::new(ErrorCode::TooManyRequests, message));
    let places = listings.places.get_with(address, || Arc::new(Semaphore::new(LISTS_PER_ADDRESS)));
    let _place = places.try_acquire().map_err(|_| busy("too many lists for this address are under way"))?;
    let all = state.all();
    let mut is_known = true;
    for served in all.values() {
        let callers = &served.callers;
        is_known &=
            callers.remembered(&token).await.is_some() || callers.acquaintance(&token).await.is_some();
    }
    if !is_known && !state.strangers.allows(RateSubject::At(address)) {
        return Err(busy("too many unknown tokens come from this address"));
    }
    let deadline = Instant::now() + PATIENCE;
    let verdicts: Vec<_> = stream::iter(all.values().cloned().collect::<Vec<_>>())
        .map(|served| judge(served, token.clone(), deadline))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    told(all.keys().map(String::as_str).zip(verdicts))
}

async fn judge(served: ServedCluster, token: SecretString, deadline: Instant) -> TokenVerdict {
    let asked = async {
        match served.callers.remembered(&token).await {
            Some(known) => known,
            None => served.callers.prove(&served.endpoint.upstream, &token).await,
        }
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(_)) => TokenVerdict::Accepted,
        Ok(Err(error)) if error.code == ErrorCode::Unauthenticated => TokenVerdict::Refused,
        Ok(Err(_)) | Err(_) => TokenVerdict::Unanswered,
    }
}

/// The answer. Whom no cluster accepts learns nothing, not even that there are others.
fn told<'a>(verdicts: impl Iterator<Item = (&'a str, TokenVerdict)>) -> Result<String, RequestProblem> {
    let (mut clusters, mut unanswered) = (Vec::new(), 0);
    for (name, verdict) in verdicts {
        match verdict {
            TokenVerdict::Accepted => clusters.push(name),
            TokenVerdict::Unanswered => unanswered += 1,
            TokenVerdict::Refused => {}
        }
    }
    if clusters.is_empty() {
        return Err(RequestProblem::unauthenticated("no cluster accepts the token"));
    }
    Ok(json!({"clusters": clusters, "unanswered": unanswered}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_learn_nothing() {
        use TokenVerdict::{Accepted, Refused, Unanswered};
        let table: [(&[_], _); 4] = [
            (&[("a", Accepted), ("b", Refused)], Some(r#"{"clusters":["a"],"unanswered":0}"#)),
            (&[("a", Accepted), ("b", Unanswered)], Some(r#"{"clusters":["a"],"unanswered":1}"#)),
            (&[("a", Refused), ("b", Unanswered)], None),
            (&[], None),
        ];
        for (verdicts, expected) in table {
            let said = told(verdicts.iter().copied());
            assert_eq!(said.as_deref().ok(), expected, "{verdicts:?}");
            if let Err(problem) = said {
                assert_eq!(problem.status, StatusCode::UNAUTHORIZED);
            }
        }
    }
}
