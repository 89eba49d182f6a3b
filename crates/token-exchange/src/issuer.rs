//! A running issuer: its keys, kept fresh, and what its tokens must be.

use std::{net::SocketAddr, path::Path, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use portolan_core::auth::{
    TokenClaims, TokenRefusal, UnverifiedToken, UserIdentity, compact::bare, keys::TokenRules,
    refusal::Unavailable,
};
use portolan_runtime::{
    config::issuer::VerificationMode,
    fetch::{AddressPolicy, CaCertError, CaCertFetcher, CredentialSource, FetchCredential, FetchSettings},
    jwks::{Jwks, KeyFreshness, KeySource},
    limits::RateLimit,
    tasks::Tasks,
    token_review::{self, RemoteReviewer},
};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use crate::config::IssuerConfig;

/// One issuer.
pub struct SourceIssuer {
    pub config: Arc<IssuerConfig>,
    pub jwks: Arc<Jwks>,
    /// Limit on the rate of its callers.
    pub rate: Option<RateLimit>,
    outbound: CaCertFetcher,
    credential: CredentialSource,
    tasks: Tasks,
}

/// Addresses of our own API server, and who vouches for an issuer's URL.
#[derive(Clone, Copy, Debug)]
pub struct IssuerSurroundings<'a> {
    pub own_api_server: &'a [SocketAddr],
    /// An operator may name an issuer in a private network; an annotation may not.
    pub by_operator: bool,
    pub per_second: Option<u32>,
}

impl SourceIssuer {
    /// Starts to keep its keys fresh.
    pub async fn start(
        config: Arc<IssuerConfig>,
        surroundings: IssuerSurroundings<'_>,
        tasks: &Tasks,
    ) -> Result<Self, CaCertError> {
        let settings = FetchSettings {
            policy: AddressPolicy {
                private: surroundings.by_operator,
                named: config.allow_addresses.clone(),
                own_api_server: surroundings.own_api_server.to_vec(),
                ..AddressPolicy::default()
            },
            plain_http: config.plain_http,
            ..FetchSettings::default()
        };
        let outbound = CaCertFetcher::new(config.ca_cert.as_deref(), settings).await?;
        let credential = credential(&config);
        let source = KeySource {
            issuers: config.issuers.clone(),
            api_server: config.api_server.clone(),
            jwks_uri: config.jwks_uri.clone(),
            credential: Arc::clone(&credential),
            fetcher: outbound.fetcher.clone(),
        };
        let IssuerConfig { cooldown, refresh_every, .. } = *config;
        let tasks = tasks.child();
        let jwks =
            Jwks::start(&tasks, source, KeyFreshness { cooldown, refresh_every, ..KeyFreshness::default() });
        let rate = surroundings.per_second.map(RateLimit::per_second);
        Ok(Self { config, jwks, rate, outbound, credential, tasks })
    }

    /// Returns `true` if the issuer can be kept under another configuration.
    pub async fn fits(&self, config: &IssuerConfig, per_second: Option<u32>) -> bool {
        *self.config == *config
            && RateLimit::is(self.rate.as_ref(), per_second)
            && self.outbound.is_current().await
    }

    /// Stops to load keys.
    pub fn stop(&self) {
        self.tasks.cancel();
    }

    /// The claims of a token that the issuer has signed. A key that is not known causes one request to the
    /// issuer, at most once per cooldown for all callers together.
    pub async fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        now: Timestamp,
    ) -> Result<TokenClaims, TokenRefusal> {
        let IssuerConfig { issuers, leeway, require_key_id, .. } = &*self.config;
        let rules = TokenRules { issuers, leeway: *leeway, require_key_id: *require_key_id };
        let keys = match self.jwks.keys() {
            Some(keys) => keys,
            None => self.jwks.newer().await.ok_or(TokenRefusal::Unavailable(Unavailable::Issuer))?,
        };
        let claims = match keys.verify(token, &rules, now) {
            Err(refusal @ (TokenRefusal::UnknownKey | TokenRefusal::Signature)) => {
                match self.jwks.newer().await {
                    Some(newer) => self.jwks.unless_in_doubt(newer.verify(token, &rules, now)),
                    None => self.jwks.unless_in_doubt(Err(refusal)),
                }
            }
            verdict => verdict,
        }?;
        // Before types were written into headers, this was how logout tokens were told apart.
        if claims.events.is_some() { Err(TokenRefusal::Type) } else { Ok(claims) }
    }

    /// Asks the cluster that issued a token, where that is configured, whether the token still counts: its pod or
    /// account may be gone. The signature was checked before.
    pub async fn stands_by(
        &self,
        token: &UnverifiedToken<'_>,
        claims: &TokenClaims,
    ) -> Result<(), TokenRefusal> {
        if self.config.mode != VerificationMode::Hybrid {
            return Ok(());
        }
        let audiences = &claims.aud.0;
        let identity = UserIdentity::of(claims)?;
        let status = token_review::review(self.remote(), token, audiences).await?;
        Ok(token_review::agreed(status, &identity, audiences, audiences).map(drop)?)
    }

    /// Checks that its API server reviews our own token, as it is to review those of callers.
    pub async fn reviews_its_own(&self) -> Result<(), String> {
        let path = self.config.token_path.as_deref().ok_or("there is no token_path")?;
        let token = read_token(path)?;
        token_review::ask(self.remote(), token.expose_secret(), &[])
            .await
            .map(drop)
            .map_err(|why| why.to_string())
    }

    fn remote(&self) -> RemoteReviewer<'_> {
        RemoteReviewer {
            name: self.config.name(),
            url: self.config.api_server.as_deref().unwrap_or_default(),
            credential: (self.credential)(),
            fetcher: &self.outbound.fetcher,
        }
    }

    /// Describes the authorities in `ca_cert` for people.
    pub fn about_authorities(&self) -> Option<String> {
        self.outbound.about()
    }

    /// The fault of `token_path`, where one is named.
    pub fn credential_problem(&self) -> Option<String> {
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
        FetchCredential::new(url.as_ref()?, token).ok()
    })
}
