//! An issuer at work: its keys, kept fresh, and what its tokens must be.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use portolan_core::auth::{
    Claims, Identity, Refusal, UnverifiedToken, compact::bare, keys::Rules, refusal::Unavailable,
};
use portolan_runtime::{
    authorities,
    config::issuer::Mode,
    fetch::{AddressPolicy, Credential, CredentialSource, FetchError, FetchSettings, Fetcher},
    jwks::{Freshness, Jwks, KeySource},
    limits::Rate,
    tasks::Tasks,
    token_review::{self, Remote},
};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use crate::config::IssuerConfig;

/// One issuer.
pub(crate) struct Issuer {
    pub(crate) config: Arc<IssuerConfig>,
    pub(crate) jwks: Arc<Jwks>,
    /// How often its callers may come.
    pub(crate) rate: Option<Rate>,
    /// What was in `ca_cert`.
    authorities: Option<Vec<u8>>,
    fetcher: Fetcher,
    credential: CredentialSource,
    tasks: Tasks,
}

/// An issuer that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("failed to read {path:?}")]
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

/// Where our own API server listens, and whose word an issuer's URL is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) own_api_server: &'a [SocketAddr],
    /// An operator may name an issuer in a private network; an annotation may not.
    pub(crate) by_operator: bool,
    pub(crate) per_second: Option<u32>,
}

impl Issuer {
    /// Starts to keep its keys fresh.
    pub(crate) async fn start(
        config: Arc<IssuerConfig>,
        surroundings: Surroundings<'_>,
        tasks: &Tasks,
    ) -> Result<Self, IssuerError> {
        let authorities = authorities(&config).await?;
        authorities::complain(authorities.as_deref(), config.ca_cert.as_deref());
        let settings = FetchSettings {
            policy: AddressPolicy {
                private: surroundings.by_operator,
                named: config.allow_addresses.clone(),
                own_api_server: surroundings.own_api_server.to_vec(),
            },
            extra_authorities: authorities.clone(),
            plain_http: config.plain_http,
            ..FetchSettings::default()
        };
        let path = config.ca_cert.clone().unwrap_or_default();
        let fetcher = Fetcher::new(&settings).map_err(|source| IssuerError::Fetcher { path, source })?;
        let credential = credential(&config);
        let source = KeySource {
            issuers: config.issuers.clone(),
            api_server: config.api_server.clone(),
            jwks_uri: config.jwks_uri.clone(),
            credential: Arc::clone(&credential),
            fetcher: fetcher.clone(),
        };
        let IssuerConfig { cooldown, refresh_every, .. } = *config;
        let tasks = tasks.child();
        let jwks = Jwks::start(&tasks, source, Freshness { cooldown, refresh_every, ..Freshness::default() });
        let rate = surroundings.per_second.map(Rate::per_second);
        Ok(Self { config, jwks, rate, authorities, fetcher, credential, tasks })
    }

    /// Whether it can go on as it is with another configuration.
    pub(crate) async fn fits(&self, config: &IssuerConfig, per_second: Option<u32>) -> bool {
        *self.config == *config
            && Rate::is(self.rate.as_ref(), per_second)
            && authorities(config).await.is_ok_and(|now| now == self.authorities)
    }

    /// Stops to load keys.
    pub(crate) fn stop(&self) {
        self.tasks.cancel();
    }

    /// The claims of a token that the issuer has signed. A key that is not known causes one request to the
    /// issuer, at most once per cooldown for all callers together.
    pub(crate) async fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        now: Timestamp,
    ) -> Result<Claims, Refusal> {
        let IssuerConfig { issuers, leeway, require_key_id, .. } = &*self.config;
        let rules = Rules { issuers, leeway: *leeway, require_key_id: *require_key_id };
        let keys = match self.jwks.keys() {
            Some(keys) => keys,
            None => self.jwks.newer().await.ok_or(Refusal::Unavailable(Unavailable::Issuer))?,
        };
        let claims = match keys.verify(token, &rules, now) {
            Err(refusal @ (Refusal::UnknownKey | Refusal::Signature)) => match self.jwks.newer().await {
                Some(newer) => self.jwks.unless_in_doubt(newer.verify(token, &rules, now)),
                None => self.jwks.unless_in_doubt(Err(refusal)),
            },
            verdict => verdict,
        }?;
        // Before types were written into headers, this was how logout tokens were told apart.
        if claims.events.is_some() { Err(Refusal::Type) } else { Ok(claims) }
    }

    /// Whether the cluster that issued a token still stands by it, where that is to be asked: its pod or account
    /// may be gone. The signature was checked before.
    pub(crate) async fn stands_by(
        &self,
        token: &UnverifiedToken<'_>,
        claims: &Claims,
    ) -> Result<(), Refusal> {
        if self.config.mode != Mode::Hybrid {
            return Ok(());
        }
        let audiences = &claims.aud.0;
        let identity = Identity::of(claims)?;
        let status = token_review::review(self.remote(), token, audiences).await?;
        Ok(token_review::agreed(status, &identity, audiences, audiences).map(drop)?)
    }

    /// Whether its API server reviews our own token, as it is to review those of callers.
    pub(crate) async fn reviews_its_own(&self) -> Result<(), String> {
        let path = self.config.token_path.as_deref().ok_or("there is no token_path")?;
        let token = read_token(path)?;
        token_review::ask(self.remote(), token.expose_secret(), &[])
            .await
            .map(drop)
            .map_err(|why| why.to_string())
    }

    fn remote(&self) -> Remote<'_> {
        Remote {
            name: self.config.name(),
            url: self.config.api_server.as_deref().unwrap_or_default(),
            credential: (self.credential)(),
            fetcher: &self.fetcher,
        }
    }

    /// What `ca_cert` holds, for people.
    pub(crate) fn about_authorities(&self) -> Option<String> {
        self.authorities.as_deref().and_then(authorities::about)
    }

    /// What is wrong with `token_path`, where one is named.
    pub(crate) fn credential_problem(&self) -> Option<String> {
        self.config.token_path.as_deref().and_then(|path| read_token(path).err())
    }
}

/// The token of a file; one that is empty is none.
fn read_token(path: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("failed to read token_path {}: {error}", path.display()))?;
    match bare(&text) {
        "" => Err(format!("token_path {} is empty: it should hold a token", path.display())),
        token => Ok(SecretString::from(token)),
    }
}

/// The token for the API server that answers for the issuer, read again each time: it is renewed in place. Without
/// one nothing is shown, and the log says so once.
fn credential(config: &IssuerConfig) -> CredentialSource {
    let (path, url) = (config.token_path.clone(), config.api_server.clone());
    let (issuer, told) = (config.name().to_owned(), Mutex::new(None));
    let url = url.and_then(|url| url.parse().ok());
    Arc::new(move || {
        let read = read_token(path.as_deref()?);
        let before = std::mem::replace(&mut *told.lock(), read.as_ref().err().cloned());
        let token = read
            .inspect_err(|problem| {
                if before.as_ref() != Some(problem) {
                    warn!(issuer, "{problem}");
                }
            })
            .ok()?;
        Credential::new(url.as_ref()?, token).ok()
    })
}

async fn authorities(config: &IssuerConfig) -> Result<Option<Vec<u8>>, IssuerError> {
    let Some(path) = &config.ca_cert else { return Ok(None) };
    let read = |source| IssuerError::Authorities { path: path.clone(), source };
    tokio::fs::read(path).await.map(Some).map_err(read)
}
