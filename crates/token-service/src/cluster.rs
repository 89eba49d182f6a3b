//! A running cluster entry: its keys, its credential, and the way to its API server.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use portolan_core::auth::{UnverifiedToken, audience, compact::bare, keys::TokenRules};
use portolan_runtime::{
    config::issuer::VerificationMode,
    fetch::{AddressPolicy, CaCertError, CaCertFetcher, FetchSettings, Fetcher},
    jwks::{Jwks, JwksStatus, KeyFreshness, KeySource},
    limits::RateLimit,
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
pub struct Cluster {
    pub config: Arc<ClusterConfig>,
    pub jwks: Arc<Jwks>,
    pub outbound: CaCertFetcher,
    pub credential: Arc<ClusterCredential>,
    pub rate: Option<RateLimit>,
    /// Audiences of its API server, as far as they are known without asking it.
    pub api_audiences: Vec<String>,
    /// Outages of its API server, for each token on its own.
    pub outages: Outages,
    /// Numbers of attempts to get keys that were passed on to the credential: with success, and rejected.
    heard_of_keys: Mutex<(u64, u64)>,
    tasks: Tasks,
}

impl Cluster {
    /// Starts to load the keys of a cluster.
    pub async fn start(
        config: Arc<ClusterConfig>,
        own_api_server: &[std::net::SocketAddr],
        per_second: Option<u32>,
        tasks: &Tasks,
    ) -> Result<Self, CaCertError> {
        let settings = FetchSettings {
            policy: AddressPolicy {
                // Who configures a cluster may have it in a private network.
                private: true,
                named: config.allow_addresses.clone(),
                own_api_server: own_api_server.to_vec(),
                ..AddressPolicy::default()
            },
            plain_http: config.plain_http,
            ..FetchSettings::default()
        };
        let outbound = CaCertFetcher::new(config.ca_cert.as_deref(), settings).await?;
        let credential = Arc::new(ClusterCredential::new(config.api_server.as_deref()));
        // Before the keys are asked for, which some API servers show to known accounts only.
        read_token(&config, &credential).await;
        let tasks = tasks.child();
        Ok(Self {
            jwks: Jwks::start(
                &tasks,
                key_source(&config, &credential, &outbound.fetcher),
                freshness(&config),
            ),
            outbound,
            credential,
            rate: per_second.map(RateLimit::per_second),
            api_audiences: audience::of_api_server(&config.issuers),
            outages: Outages::default(),
            heard_of_keys: Mutex::default(),
            tasks,
            config,
        })
    }

    /// Describes the authorities in `ca_cert` for people.
    pub fn about_authorities(&self) -> Option<String> {
        self.outbound.about()
    }

    /// Returns `true` if the cluster can be kept under another configuration.
    pub async fn fits(&self, config: &ClusterConfig) -> bool {
        *self.config == *config && self.outbound.is_current().await
    }

    /// Takes over what the same cluster had under an older configuration: its credential, and its keys until
    /// newer ones are there.
    pub fn inherit(&self, old: &Self) {
        if self.config.token_path.is_some() {
            self.credential.inherit(&old.credential);
        }
        let place = |config: &ClusterConfig| {
            (config.issuers.clone(), config.api_server.clone(), config.jwks_uri.clone())
        };
        if place(&self.config) == place(&old.config) && self.outbound.trusts_the_same(&old.outbound) {
            self.jwks.inherit(&old.jwks);
        }
        self.outages.inherit(&old.outages);
    }

    /// Offers what is in the token file now.
    pub async fn read_token(&self) {
        read_token(&self.config, &self.credential).await;
    }

    /// The same for a rejected token, again and again, so that it says nothing of a file that cannot be read.
    /// Returns whether the file's was taken.
    pub async fn replace_token(&self) -> bool {
        let Some(path) = &self.config.token_path else { return false };
        let token = tokio::fs::read_to_string(path).await;
        token.is_ok_and(|token| offer_file(&self.config.name, &self.credential, &token))
    }

    /// Tells the credential what became of it when keys were asked for: where tokens are checked by keys alone, nothing
    /// else is asked of the API server for days.
    pub fn hear_of_keys(&self) {
        let JwksStatus { succeeded, rejected, .. } = self.jwks.status();
        let heard = std::mem::replace(&mut *self.heard_of_keys.lock(), (succeeded, rejected));
        let name = &self.config.name;
        if rejected > heard.1 {
            self.credential.keys_answered(name, StatusCode::UNAUTHORIZED);
        } else if succeeded > heard.0 && self.config.jwks_uri.is_none() {
            self.credential.keys_answered(name, StatusCode::OK);
        }
    }

    /// Returns `true` if nothing can be said about its tokens yet. A cluster whose API server reviews them needs no
    /// keys, and some publish none.
    pub fn waits_for_keys(&self) -> bool {
        self.config.mode != VerificationMode::Review && self.jwks.keys().is_none()
    }

    /// Returns `true` if its keys have this id.
    pub fn has_key(&self, id: &str) -> bool {
        self.jwks.keys().is_some_and(|keys| keys.has(id))
    }

    /// Stops to load keys.
    pub fn stop(&self) {
        self.tasks.cancel();
    }

    /// The rules for its tokens.
    pub fn rules(&self) -> TokenRules<'_> {
        let ClusterConfig { issuers, leeway, require_key_id, .. } = &*self.config;
        TokenRules { issuers, leeway: *leeway, require_key_id: *require_key_id }
    }

    /// Time for which the keys may decide alone about a token, about which the API server did not answer now; `None`
    /// where they may not. The token ends after `left`.
    pub fn keys_may_decide(
        &self,
        token: &UnverifiedToken<'_>,
        left: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let ClusterConfig { mode, on_outage, accept_for, .. } = *self.config;
        if mode != VerificationMode::Hybrid || on_outage != OnOutage::Accept {
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
        info!(cluster, "the token of token_path is not used: the current one expires later");
    }
    is_used
}

fn key_source(config: &ClusterConfig, credential: &Arc<ClusterCredential>, fetcher: &Fetcher) -> KeySource {
    let credential = Arc::clone(credential);
    KeySource {
        issuers: config.issuers.clone(),
        api_server: config.api_server.clone(),
        jwks_uri: config.jwks_uri.clone(),
        credential: Arc::new(move || credential.for_keys()),
        fetcher: fetcher.clone(),
    }
}

fn freshness(config: &ClusterConfig) -> KeyFreshness {
    let ClusterConfig { cooldown, refresh_every, .. } = *config;
    KeyFreshness { cooldown, refresh_every, ..KeyFreshness::default() }
}
