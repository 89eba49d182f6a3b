//! Credentials renew themselves by TokenRequest, at one replica at a time.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all};
use http::Uri;
use kube::runtime::watcher;
use portolan_core::auth::compact::bare;
use portolan_runtime::{
    backoff::Backoff,
    clock,
    fetch::FetchError,
    lease::{self, LeaseSettings},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    secret::{CredentialSecret, tokens},
    until_due,
};
use crate::{
    cluster::Cluster,
    config::Renewal,
    names::{self, Names},
    state::ServiceState,
};

const ATTEMPTS: usize = 4;
/// When something is tried again that did not work.
const AGAIN: Duration = Duration::from_secs(60);
const SAVE_LIMIT: Duration = Duration::from_secs(15);

/// Renews what is due, and keeps the names of clusters, for as long as the lease is ours. Without a Secret, in memory
/// only.
pub fn start(
    tasks: &Tasks,
    state: Arc<ServiceState>,
    secret: Option<CredentialSecret>,
    names: Option<Names>,
    lease: LeaseSettings,
) {
    let Some(secret) = secret else {
        tasks.spawn_critical("credential renewal", async move { renew_forever(&state, None).await });
        return;
    };
    let (follower, follower_secret) = (Arc::clone(&state), secret.clone());
    tasks.spawn_critical("credential secret", async move { follow(&follower, &follower_secret).await });
    let all = tasks.clone();
    tasks.spawn_critical("credential renewal", async move {
        loop {
            // A lease that is lost ends the renewal, not the reviews.
            let leading = all.child();
            lease::hold(&leading, secret.api().clone().into_client(), lease.clone(), || {}).await;
            tokio::select! {
                () = renew_forever(&state, Some(&secret)) => {}
                () = names::keep(names.as_ref(), &state) => {}
                () = leading.cancelled() => warn!("another replica renews the credentials now"),
            }
        }
    });
}

/// Takes over what the leader writes.
async fn follow(state: &ServiceState, secret: &CredentialSecret) {
    let config = watcher::Config::default().fields(&format!("metadata.name={}", secret.name()));
    let mut events = Box::pin(watcher::watcher(secret.api().clone(), config));
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret)) => {
                for (cluster, token) in tokens(&secret) {
                    state.offer_credential(&cluster, token.expose_secret());
                }
                backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
            }
            Ok(_) => {}
            Err(error) => {
                warn!("failed to watch the Secret with credentials: {}", ErrorChain(&error));
                sleep(backoff.next_delay()).await;
            }
        }
    }
}

async fn renew_forever(state: &ServiceState, secret: Option<&CredentialSecret>) {
    loop {
        let snapshot = state.snapshot();
        let renewal = snapshot.config.renewal;
        // Side by side: a cluster that does not answer holds nobody up.
        let renewed = join_all(snapshot.clusters.values().map(|cluster| renew(cluster, renewal))).await;
        let mut all_well = renewed.into_iter().all(|renewed| renewed);
        for cluster in snapshot.clusters.values() {
            all_well &= save(cluster, secret).await;
        }
        let dues = snapshot.clusters.values().map(|cluster| next_due(cluster, renewal));
        let pause = pause(renewal.interval, dues.flatten().min(), all_well);
        tokio::select! {
            () = sleep(pause) => {}
            () = state.changed() => {}
        }
    }
}

/// Time until the credential of a cluster is to be renewed.
fn due(cluster: &Cluster, renewal: Renewal) -> Option<Duration> {
    until_due(&cluster.credential.about()?, renewal.renew_before, clock::now())
}

/// The same after a renewal. Where an API server gives tokens that are due at once, because it caps how long they
/// live, half of their life.
fn next_due(cluster: &Cluster, renewal: Renewal) -> Option<Duration> {
    let about = cluster.credential.about()?;
    let (due, left) = (due(cluster, renewal)?, until_due(&about, Duration::ZERO, clock::now())?);
    Some(if due.is_zero() { left / 2 } else { due })
}

/// Time until the next look: short where something was tried in vain just now.
fn pause(interval: Duration, next_due: Option<Duration>, all_well: bool) -> Duration {
    let soonest = interval.min(AGAIN);
    match next_due {
        _ if !all_well => soonest,
        Some(due) => due.clamp(soonest, interval),
        None => interval,
    }
}

/// Renews a credential that is due. Whether none is left that could not be renewed.
async fn renew(cluster: &Cluster, renewal: Renewal) -> bool {
    if due(cluster, renewal) != Some(Duration::ZERO) {
        return true;
    }
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
    for attempt in 1..=ATTEMPTS {
        match request(cluster, renewal.token_duration).await {
            Ok(()) => {
                info!(cluster = cluster.config.name, "the credential is renewed");
                return true;
            }
            Err(error) => {
                warn!(
                    cluster = cluster.config.name,
                    attempt,
                    "failed to renew the credential: {}",
                    ErrorChain(&error)
                );
            }
        }
        sleep(backoff.next_delay()).await;
    }
    false
}

/// Puts a renewed credential into the Secret. Whether nothing is left to be put there.
async fn save(cluster: &Cluster, secret: Option<&CredentialSecret>) -> bool {
    let (Some(secret), Some(token)) = (secret, cluster.credential.token()) else { return true };
    if !cluster.credential.is_unsaved() {
        return true;
    }
    let name = &cluster.config.name;
    match timeout(SAVE_LIMIT, secret.write(name, &token)).await {
        Ok(Ok(())) => cluster.credential.saved(),
        Ok(Err(error)) => {
            warn!(cluster = name, "failed to store the renewed credential: {}", ErrorChain(&error));
        }
        Err(_) => warn!(cluster = name, "failed to store the renewed credential: no answer in time"),
    }
    !cluster.credential.is_unsaved()
}

/// A credential that was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("the credential names no service account")]
    NoAccount,
    #[error("failed to ask for a token")]
    Fetch(#[source] FetchError),
    #[error("the API server answered {0}")]
    Status(http::StatusCode),
    #[error("the API server's answer has no token")]
    NoToken,
}

async fn request(cluster: &Cluster, duration: Duration) -> Result<(), RenewError> {
    #[derive(Deserialize)]
    struct Answer {
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    struct Status {
        token: Option<String>,
    }
    let held = cluster.credential.held().ok_or(RenewError::NoAccount)?;
    let (namespace, name) = held.about.account.as_ref().ok_or(RenewError::NoAccount)?;
    let server = cluster.config.api_server.as_deref().unwrap_or_default();
    let url: Uri = format!("{server}/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token")
        .parse()
        .map_err(|_| RenewError::NoAccount)?;
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": duration.as_secs(), "audiences": null},
    });
    let body = body.to_string().into_bytes();
    let fetched = cluster.outbound.fetcher.post_json(&url, body, Some(&held.credential)).await;
    let fetched = fetched.map_err(RenewError::Fetch)?;
    cluster.credential.answered(&cluster.config.name, &held, fetched.status);
    if !fetched.status.is_success() {
        return Err(RenewError::Status(fetched.status));
    }
    let answer: Answer = serde_json::from_slice(&fetched.body).map_err(|_| RenewError::NoToken)?;
    let token = answer.status.and_then(|status| status.token);
    let token = token.filter(|token| !bare(token).is_empty()).ok_or(RenewError::NoToken)?;
    cluster.credential.renewed(&token);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_looks_again_when_something_is_to_be_done() {
        let seconds = Duration::from_secs;
        let table = [
            (3600, None, true, 3600),
            (3600, Some(7200), true, 3600),
            (3600, Some(90), true, 90),
            (3600, Some(0), true, 60),
            (3600, Some(300), true, 300),
            (20, Some(0), true, 20),
            (3600, Some(7200), false, 60),
        ];
        for (interval, due, saved, expected) in table {
            let pause = pause(seconds(interval), due.map(seconds), saved);
            assert_eq!(pause, seconds(expected), "{interval} {due:?} {saved}");
        }
    }
}
