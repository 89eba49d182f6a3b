//! `GET /clusters`: which clusters there are, and how long their credentials last.

use std::time::Duration;

use axum::{
    extract::{Extension, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use portolan_core::duration;
use portolan_runtime::{
    clock,
    server::{Peer, answer::json_response},
};
use serde_json::{Value, json};

use super::{App, callers::Caller};
use crate::cluster::Cluster;

/// From then on the status of a credential is `expiring_soon`.
const SOON_SECONDS: u64 = 600;

/// `GET /clusters`. Addresses are for callers that are known.
pub(super) async fn list(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let snapshot = app.state.snapshot();
    let caller = match Caller::identify(&app, &snapshot, peer, &headers).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let now = clock::now();
    let mut listed = Vec::new();
    for (name, cluster) in &snapshot.clusters {
        if caller.may_ask(Some(name)).is_ok() {
            listed.push(described(cluster, caller.config.is_some(), now));
        }
    }
    json_response(StatusCode::OK, json!({"clusters": listed}).to_string())
}

fn described(cluster: &Cluster, with_address: bool, now: Timestamp) -> Value {
    let mut about = json!({"name": cluster.config.name, "issuer": cluster.config.issuer()});
    if cluster.config.issuers.len() > 1 {
        about["issuers"] = json!(cluster.config.issuers);
    }
    if let Some(api_server) = cluster.config.api_server.as_ref().filter(|_| with_address) {
        about["api_server"] = json!(api_server);
    }
    if let Some(credential) = cluster.credential.about() {
        about["token_status"] = match credential.expires {
            Some(expires) => token_status(expires, now),
            None => json!({"status": "unknown"}),
        };
    }
    about
}

fn token_status(expires: Timestamp, now: Timestamp) -> Value {
    let left = u64::try_from(expires.as_second() - now.as_second()).unwrap_or_default();
    let text = duration::go(Duration::from_secs(left));
    let (text, status) = match left {
        0 => ("expired".to_owned(), "expired"),
        1..SOON_SECONDS => (text, "expiring_soon"),
        _ => (text, "valid"),
    };
    json!({"expires_at": expires.to_string(), "expires_in": text, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_valid_expiring_or_expired() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (left, status) in [(601, "valid"), (599, "expiring_soon"), (0, "expired"), (-5, "expired")] {
            assert_eq!(token_status(at(1000 + left), at(1000))["status"], status, "{left}");
        }
    }
}
