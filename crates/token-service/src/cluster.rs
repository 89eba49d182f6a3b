//! One configured cluster at work: its keys, its credential, and the way to its API server.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_core::auth::keys::Rules;
use portolan_runtime::{
    authorities,
    fetch::{AddressPolicy, FetchError, FetchSettings, Fetcher},
    jwks::{Freshness, Jwks, KeySource},
    tasks::Tasks,
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    config::{ClusterConfig, Mode},
    credentials::ClusterCredential,
    limits::Rate,
};

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) jwks: Arc<Jwks>,
    pub(crate) fetcher: Fetcher,
    pub(crate) credential: Arc<ClusterCredential>,
    pub(crate) rate: Option<Rate>,
    /// When the API server stopped answering reviews.
    outage_since: Mutex<Option<Instant>>,
    authorities: Option<Vec<u8>>,
    tasks: Tasks,
}

/// A cluster that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("failed to read ca_cert {path:?}")]
    Authorities {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("ca_cert cannot be used")]
    Fetcher(#[source] FetchError),
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
        let fetcher = Fetcher::new(&settings).map_err(ClusterError::Fetcher)?;
        let credential = Arc::new(ClusterCredential::new(config.api_server.as_deref()));
        // Before the keys are asked for, which some API servers show to known accounts only.
        read_token(&config, &credential).await;
        let tasks = tasks.child();
        Ok(Self {
            jwks: Jwks::start(&tasks, key_source(&config, &credential, &fetcher), freshness(&config)),
            fetcher,
            credential,
            rate: per_second.map(Rate::per_second),
            outage_since: Mutex::default(),
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
            (config.issuer.clone(), config.api_server.clone(), config.jwks_uri.clone())
        };
        if place(&self.config) == place(&old.config) && self.authorities == old.authorities {
            self.jwks.inherit(&old.jwks);
        }
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
        let ClusterConfig { issuer, leeway, require_key_id, .. } = &*self.config;
        Rules { issuer, leeway: *leeway, require_key_id: *require_key_id }
    }

    /// Whom a token must be for when the question does not say; none means what the token says.
    pub(crate) fn default_audiences(&self) -> &[String] {
        self.config.audiences.as_deref().unwrap_or_else(|| std::slice::from_ref(&self.config.issuer))
    }

    /// Remembers whether the API server answered. Returns how long it has not.
    pub(crate) fn reviewed(&self, answered: bool) -> Duration {
        let mut since = self.outage_since.lock();
        if answered {
            *since = None;
            return Duration::ZERO;
        }
        since.get_or_insert_with(Instant::now).elapsed()
    }

    /// Whether the keys may decide alone after an outage of this length.
    pub(crate) fn keys_may_decide(&self, outage: Duration) -> bool {
        self.config.mode == Mode::Hybrid
            && self.config.on_outage == crate::config::OnOutage::Accept
            && outage < self.config.accept_for
    }
}

async fn read_token(config: &ClusterConfig, credential: &ClusterCredential) {
    let Some(path) = &config.token_path else { return };
    match tokio::fs::read_to_string(path).await {
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
        issuer: config.issuer.clone(),
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
