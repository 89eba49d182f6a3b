//! Who asks the fleet, and which clusters know it.

use std::{net::IpAddr, sync::Arc};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use portolan_runtime::{limits::RateSubject, traces::Span};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::{
    error::{ErrorCode, GraphError},
    identity::Caller,
    state::{GatewayState, ServedCluster},
};

/// The message to callers that no cluster accepts.
pub const NOBODY: &str = "no cluster accepts the token";

/// Who asks.
pub struct FleetAsker {
    /// The clusters.
    pub state: Arc<GatewayState>,
    /// The token.
    pub token: SecretString,
    /// Where it comes from.
    pub address: IpAddr,
    /// The span of the request.
    pub span: Span,
}

impl FleetAsker {
    /// The caller, as a cluster knows it.
    pub async fn identified(&self, name: &str, served: &ServedCluster) -> Result<Caller, GraphError> {
        if let Some(known) = served.callers.remembered(&self.token).await {
            return known;
        }
        let silent = &self.state.silent;
        let patience = silent.patience(name, self.state.limits.fleet_timeout);
        let proof = served.callers.prove(&served.endpoint.upstream, &self.token);
        let proven = timeout(patience, proof).await;
        silent.note(name, proven.is_err());
        proven.unwrap_or_else(|_| Err(too_slow()))
    }

    /// Refuses tokens that nobody knows, if too many of them come from one address.
    pub async fn admitted(&self, all: impl Iterator<Item = &ServedCluster>) -> Result<(), Vec<GraphError>> {
        for served in all {
            let callers = &served.callers;
            if callers.remembered(&self.token).await.is_none()
                && callers.acquaintance(&self.token).await.is_none()
            {
                if self.state.strangers.allows(RateSubject::At(self.address)) {
                    break;
                }
                let message = "too many unknown tokens come from this address";
                return Err(vec![GraphError::new(ErrorCode::TooManyRequests, message)]);
            }
        }
        Ok(())
    }

    /// Returns the errors of a query, to callers only that some cluster accepts.
    pub async fn told(&self, errors: Vec<GraphError>) -> Vec<GraphError> {
        let all = self.state.all();
        match self.is_known(&all.iter().collect::<Vec<_>>()).await {
            Ok(true) => errors,
            Ok(false) => nobody(NOBODY),
            Err(refusal) => refusal,
        }
    }

    /// Returns `true` if one of these clusters has accepted the token lately.
    pub async fn is_remembered(&self, all: &[(&String, &ServedCluster)]) -> bool {
        for (_, served) in all {
            if matches!(served.callers.remembered(&self.token).await, Some(Ok(_))) {
                return true;
            }
        }
        false
    }

    /// Returns `true` as soon as one of these clusters accepts the token.
    pub async fn is_known(&self, all: &[(&String, &ServedCluster)]) -> Result<bool, Vec<GraphError>> {
        if self.is_remembered(all).await {
            return Ok(true);
        }
        self.admitted(all.iter().map(|(_, served)| *served)).await?;
        let asked = all.iter().map(async |(name, served)| self.identified(name, served).await.is_ok());
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some(is_accepted) = asked.next().await {
            if is_accepted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The clusters that accept the token, at least one.
    pub async fn accepting(&self) -> Result<Vec<ServedCluster>, Vec<GraphError>> {
        let all = self.state.all();
        self.admitted(all.values()).await?;
        let asked = all
            .iter()
            .map(async |(name, served)| self.identified(name, served).await.is_ok().then(|| served.clone()));
        let accepting: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if accepting.is_empty() { Err(nobody(NOBODY)) } else { Ok(accepting) }
    }
}

/// A refusal.
pub fn nobody(message: &str) -> Vec<GraphError> {
    vec![GraphError::new(ErrorCode::Unauthenticated, message)]
}

/// The error of a cluster that is not waited for any more.
pub fn too_slow() -> GraphError {
    GraphError::new(ErrorCode::Timeout, "the cluster did not answer in time")
}
