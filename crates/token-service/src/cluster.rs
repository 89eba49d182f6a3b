//! One configured cluster at work: its keys, its credential, and the way to its API server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use portolan_core::auth::{UnverifiedToken, audience, compact::bare, keys::Rules};
use portolan_runtime::{
    authorities,
    config::issuer::Mode,
    fetch::{AddressPolicy, FetchError, FetchSettings, Fetcher},
    jwks::{Freshness, Jwks, KeySource},
    limits::Rate,
    tasks::Tasks,
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    config::{ClusterConfig, OnOutage},
    credentials::ClusterCredential,
    outage::Outages,
};

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) jwks: Arc<Jwks>,
    pub(crate) fetcher: Fetcher,
    pub(crate) credential: Arc<ClusterCredential>,
    pub(crate) rate: Option<Rate>,
    /// What its API server is called as an audience, as far as that is known without asking it.
    pub(crate) api_audiences: Vec<String>,
    /// How long it has not answered about which token.
    pub(crate) outages: Outages,
    authorities: Option<Vec<u8>>,
    tasks: Tasks,
}

/// A cluster that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("failed to read ca_cert {path:?}")]
    Authorities {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("ca_cert {path:?} cannot be used")]
    Fetcher {
        path: PathBuf,
        #[source]
        source: FetchError,
    },
}

impl Cluster {
    /// Starts to load the keys of a cluster.
    pub(crate) async fn start(
        config: Arc<ClusterConfig>,
        own_api_server: &[std::net::SocketAddr],
        per_second: Option<u32>,
        tasks: &Tasks,
    ) -> Result<Self, ClusterError> {
        let authorities = authorities(&config).await?;
        authorities::complain(authorities.as_deref(), config.ca_cert.as_deref());
        let settings = FetchSettings {
            policy: AddressPolicy {
                // Who configures a cluster may have it in a private network.
                private: true,
                named: config.allow_addresses.clone(),
                own_api_server: own_api_server.to_vec(),
            },
            extra_authorities: authorities.clone(),
            plain_http: config.plain_http,
            ..FetchSettings::default()
        };
        let path = config.ca_cert.clone().unwrap_or_default();
        let fetcher = Fetcher::new(&settings).map_err(|source| ClusterError::Fetcher { path, source })?;
        let credential = Arc::new(ClusterCredential::new(config.api_server.as_deref()));
        // Before the keys are asked for, which some API servers show to known accounts only.
        read_token(&config, &credential).await;
        let tasks = tasks.child();
        Ok(Self {
            jwks: Jwks::start(&tasks, key_source(&config, &credential, &fetcher), freshness(&config)),
            fetcher,
            credential,
            rate: per_second.map(Rate::per_second),
            api_audiences: audience::of_api_server(&config.issuers),
            outages: Outages::default(),
            authorities,
            tasks,
            config,
        })
    }

    /// What `ca_cert` holds, for people.
    pub(crate) fn about_authorities(&self) -> Option<String> {
        self.authorities.as_deref().and_then(authorities::about)
    }

    /// Whether the cluster can go on as it is with another configuration.
    pub(crate) async fn fits(&self, config: &ClusterConfig) -> bool {
        *self.config == *config && authorities(config).await.is_ok_and(|now| now == self.authorities)
    }

    /// Takes over what the same cluster had under an older configuration: its credential, and its keys until
    /// newer ones are there.
    pub(crate) fn inherit(&self, old: &Self) {
        if self.config.token_path.is_some() {
            self.credential.inherit(&old.credential);
        }
        let place = |config: &ClusterConfig| {
            (config.issuers.clone(), config.api_server.clone(), config.jwks_uri.clone())
        };
        if place(&self.config) == place(&old.config) && self.authorities == old.authorities {
            self.jwks.inherit(&old.jwks);
        }
        self.outages.inherit(&old.outages);
    }

    /// Offers what is in the token file now.
    pub(crate) async fn read_token(&self) {
        read_token(&self.config, &self.credential).await;
    }

    /// The same for a rejected token, again and again, so that it says nothing of a file that cannot be read.
    /// Returns whether the file's was taken.
    pub(crate) async fn replace_token(&self) -> bool {
        let Some(path) = &self.config.token_path else { return false };
        let token = tokio::fs::read_to_string(path).await;
        token.is_ok_and(|token| offer_file(&self.config.name, &self.credential, &token))
    }

    /// Whether nothing can be said about its tokens yet. Who has its API server review them needs no keys, and
    /// some clusters publish none.
    pub(crate) fn waits_for_keys(&self) -> bool {
        self.config.mode != Mode::Review && self.jwks.keys().is_none()
    }

    /// Whether its keys have this id.
    pub(crate) fn has_key(&self, id: &str) -> bool {
        self.jwks.keys().is_some_and(|keys| keys.has(id))
    }

    /// Stops to load keys.
    pub(crate) fn stop(&self) {
        self.tasks.cancel();
    }

    /// What its tokens must be.
    pub(crate) fn rules(&self) -> Rules<'_> {
        let ClusterConfig { issuers, leeway, require_key_id, .. } = &*self.config;
        Rules { issuers, leeway: *leeway, require_key_id: *require_key_id }
    }

    /// How long the keys may decide alone about a token, about which the API server did not answer now; none where
    /// they may not. The token ends after `left`.
    pub(crate) fn keys_may_decide(
        &self,
        token: &UnverifiedToken<'_>,
        left: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let ClusterConfig { mode, on_outage, accept_for, .. } = *self.config;
        if mode != Mode::Hybrid || on_outage != OnOutage::Accept {
            return None;
        }
        self.outages.unanswered(token.text(), left, accept_for, now)
    }
}

async fn read_token(config: &ClusterConfig, credential: &ClusterCredential) {
    let Some(path) = &config.token_path else { return };
    match tokio::fs::read_to_string(path).await {
        Ok(token) if bare(&token).is_empty() => {
            warn!(cluster = config.name, path = %path.display(), "token_path is empty: it should hold a token");
        }
        Ok(token) => _ = offer_file(&config.name, credential, &token),
        Err(error) => {
            warn!(cluster = config.name, path = %path.display(), "failed to read token_path: {error}");
        }
    }
}

fn offer_file(cluster: &str, credential: &ClusterCredential, token: &str) -> bool {
    let was_rejected = credential.is_rejected();
    let is_used = credential.offer(token);
    if is_used && was_rejected {
        info!(cluster, "the token of token_path is used instead of the rejected one");
    } else if !is_used && credential.passes_over(token) {
        info!(cluster, "the token of token_path is not used: the one that is held ends later");
    }
    is_used
}

async fn authorities(config: &ClusterConfig) -> Result<Option<Vec<u8>>, ClusterError> {
    let Some(path) = &config.ca_cert else { return Ok(None) };
    let read = |source| ClusterError::Authorities { path: path.clone(), source };
    tokio::fs::read(path).await.map(Some).map_err(read)
}

fn key_source(config: &ClusterConfig, credential: &Arc<ClusterCredential>, fetcher: &Fetcher) -> KeySource {
    let credential = Arc::clone(credential);
    KeySource {
        issuers: config.issuers.clone(),
        api_server: config.api_server.clone(),
        jwks_uri: config.jwks_uri.clone(),
        credential: Arc::new(move || credential.credential()),
        fetcher: fetcher.clone(),
    }
}

fn freshness(config: &ClusterConfig) -> Freshness {
    let ClusterConfig { cooldown, refresh_every, .. } = *config;
    Freshness { cooldown, refresh_every, ..Freshness::default() }
}
