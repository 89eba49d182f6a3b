//! Credentials renew themselves by TokenRequest, at one replica at a time.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all};
use http::Uri;
use kube::runtime::watcher;
use portolan_runtime::{
    backoff::Backoff,
    clock,
    fetch::FetchError,
    lease::{self, LeaseSettings},
    tasks::Tasks,
    telemetry::Chain,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    is_due,
    secret::{CredentialSecret, tokens},
};
use crate::{cluster::Cluster, config::Renewal, state::State};

const ATTEMPTS: usize = 4;

/// Renews what is due, for as long as the lease is ours. Without a Secret, in memory only.
pub(crate) fn start(
    tasks: &Tasks,
    state: Arc<State>,
    secret: Option<CredentialSecret>,
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
                () = leading.cancelled() => warn!("another replica renews the credentials now"),
            }
        }
    });
}

/// Takes over what the leader writes.
async fn follow(state: &State, secret: &CredentialSecret) {
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
                warn!("failed to watch the Secret with credentials: {}", Chain(&error));
                sleep(backoff.next_delay()).await;
            }
        }
    }
}

async fn renew_forever(state: &State, secret: Option<&CredentialSecret>) {
    loop {
        let snapshot = state.snapshot();
        let renewal = snapshot.config.renewal;
        // Side by side: a cluster that does not answer holds nobody up.
        join_all(snapshot.clusters.values().map(|cluster| renew(cluster, renewal, secret))).await;
        sleep(renewal.interval).await;
    }
}

async fn renew(cluster: &Cluster, renewal: Renewal, secret: Option<&CredentialSecret>) {
    let about = cluster.credential.about();
    if !about.is_some_and(|about| is_due(&about, renewal.renew_before, clock::now())) {
        return;
    }
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
    for attempt in 1..=ATTEMPTS {
        match request(cluster, renewal.token_duration).await {
            Ok(()) => return keep(cluster, secret).await,
            Err(error) => {
                warn!(
                    cluster = cluster.config.name,
                    attempt,
                    "failed to renew the credential: {}",
                    Chain(&error)
                );
            }
        }
        sleep(backoff.next_delay()).await;
    }
}

async fn keep(cluster: &Cluster, secret: Option<&CredentialSecret>) {
    let name = &cluster.config.name;
    let (Some(secret), Some(token)) = (secret, cluster.credential.token()) else {
        return info!(cluster = name, "the credential is renewed; without a Secret it ends with the process");
    };
    match secret.write(name, &token).await {
        Ok(()) => info!(cluster = name, "the credential is renewed"),
        Err(error) => warn!(cluster = name, "failed to keep the renewed credential: {}", Chain(&error)),
    }
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
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        token: String,
    }
    let (namespace, name) =
        cluster.credential.about().and_then(|about| about.account).ok_or(RenewError::NoAccount)?;
    let server = cluster.config.api_server.as_deref().unwrap_or_default();
    let url: Uri = format!("{server}/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token")
        .parse()
        .map_err(|_| RenewError::NoAccount)?;
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": duration.as_secs(), "audiences": null},
    });
    let credential = cluster.credential.credential();
    let fetched = cluster.fetcher.post_json(&url, body.to_string().into_bytes(), credential.as_ref()).await;
    let fetched = fetched.map_err(RenewError::Fetch)?;
    if !fetched.status.is_success() {
        return Err(RenewError::Status(fetched.status));
    }
    let answer: Answer = serde_json::from_slice(&fetched.body).map_err(|_| RenewError::NoToken)?;
    cluster.credential.offer(&answer.status.token);
    Ok(())
}
