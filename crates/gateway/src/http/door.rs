//! Authentication of every request: a token that the cluster accepts.

use http::{HeaderMap, StatusCode};
use portolan_runtime::server::{
    Peer,
    bearer::{NoBearer, bearer},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::RequestProblem;
use crate::{
    error::{ErrorCode, GraphError},
    identity::{Caller, refusal},
    state::{GatewayState, ServedCluster},
};

/// Returns the cluster and the caller.
pub async fn enter(
    state: &GatewayState,
    cluster: &str,
    headers: &HeaderMap,
    peer: &Peer,
) -> Result<(ServedCluster, Caller), RequestProblem> {
    identify(state, cluster, &token(headers)?, peer).await
}

/// The token of a request.
pub fn token(headers: &HeaderMap) -> Result<SecretString, RequestProblem> {
    if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        let error = GraphError::new(
            ErrorCode::Forbidden,
            "Impersonate-* headers are refused: use the token of whom you mean",
        );
        return Err(RequestProblem::new(StatusCode::FORBIDDEN, error));
    }
    bearer(headers).map_err(|missing| {
        RequestProblem::unauthenticated(match missing {
            NoBearer::Missing => "Unauthorized: missing Authorization header",
            NoBearer::Several | NoBearer::Scheme => "Unauthorized: invalid Authorization header format",
        })
    })
}

/// The same for a token from another place than the header.
pub async fn identify(
    state: &GatewayState,
    cluster: &str,
    token: &SecretString,
    peer: &Peer,
) -> Result<(ServedCluster, Caller), RequestProblem> {
    if token.expose_secret().is_empty() {
        return Err(RequestProblem::unauthenticated("Unauthorized: empty bearer token"));
    }
    let Some(served) = state.served(cluster) else {
        return Err(RequestProblem::new(StatusCode::UNAUTHORIZED, refusal()));
    };
    let about = (&state.strangers, peer.address.ip());
    let caller = served.callers.identify(&served.endpoint.upstream, token, about).await;
    match caller {
        Ok(caller) => Ok((served, caller)),
        Err(error) => Err(RequestProblem::of(error)),
    }
}
