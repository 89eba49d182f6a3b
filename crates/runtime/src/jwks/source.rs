//! Where the keys of an issuer are: found through its discovery document, or at a URL that the operator gave.

use std::time::Duration;

use http::{HeaderMap, Uri, header};
use portolan_core::auth::{Algorithm, Keys, keys::InvalidKeys};
use serde::Deserialize;
use serde_json::Value;

use crate::fetch::{CredentialSource, FetchError, Fetched, Fetcher, Origin};

const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where every API server serves its keys.
const API_SERVER_KEYS: &str = "/openid/v1/jwks";

/// An issuer whose keys can be asked for.
#[derive(Clone)]
pub struct KeySource {
    /// What the tokens call it, and what its discovery document must call it.
    pub issuer: String,
    /// The API server, which then answers for the issuer.
    pub api_server: Option<String>,
    /// Where the keys are, instead of what discovery says.
    pub jwks_uri: Option<String>,
    /// What is shown to the API server.
    pub credential: CredentialSource,
    /// How to ask.
    pub fetcher: Fetcher,
}

/// Keys that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The discovery document could not be read.
    #[error("failed to read the discovery document")]
    Discovery(#[source] FetchError),
    /// The keys could not be read.
    #[error("failed to read the keys")]
    Fetch(#[source] FetchError),
    /// An answer that is no success.
    #[error("{0} was answered {1}")]
    Status(&'static str, http::StatusCode),
    /// Not a discovery document.
    #[error("the discovery document is not one")]
    NotADocument,
    /// A document of somebody else.
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    /// A URL that is none, or on a host that nobody listed.
    #[error(
        "the discovery document puts the keys on a host that is not configured; set jwks_uri to allow it"
    )]
    ForeignKeys,
    /// A configured URL that is none.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// Not a set of keys.
    #[error("the keys cannot be used")]
    Keys(#[source] InvalidKeys),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    /// Some issuers name here what their keys do not. Whatever else it is does not count.
    #[serde(default)]
    id_token_signing_alg_values_supported: Value,
}

impl Document {
    fn algorithms(&self) -> Vec<Algorithm> {
        let names = self.id_token_signing_alg_values_supported.as_array().into_iter().flatten();
        names.filter_map(|name| Algorithm::parse(name.as_str()?)).collect()
    }
}

impl KeySource {
    /// The keys, and how long the issuer wants them to be kept.
    pub(super) async fn fetch(&self) -> Result<(Keys, Option<Duration>), SourceError> {
        let (url, algorithms) = match &self.jwks_uri {
            Some(url) => (parse(url)?, Vec::new()),
            None => self.discover().await?,
        };
        let fetched = self.get(&url).await.map_err(SourceError::Fetch)?;
        let fetched = successful("the request for keys", fetched)?;
        let keys = Keys::parse(&fetched.body, &algorithms).map_err(SourceError::Keys)?;
        Ok((keys, max_age(&fetched.headers)))
    }

    /// Where the keys are, and which algorithms the issuer says it uses.
    async fn discover(&self) -> Result<(Uri, Vec<Algorithm>), SourceError> {
        let base = self.api_server.as_deref().unwrap_or(&self.issuer).trim_end_matches('/');
        let url = parse(&format!("{base}{DISCOVERY}"))?;
        let fetched = self.get(&url).await.map_err(SourceError::Discovery)?;
        let fetched = successful("discovery", fetched)?;
        let document: Document =
            serde_json::from_slice(&fetched.body).map_err(|_| SourceError::NotADocument)?;
        if document.issuer != self.issuer {
            return Err(SourceError::OtherIssuer);
        }
        let algorithms = document.algorithms();
        // The document of an API server names an address that is right inside its own cluster only.
        if self.api_server.is_some() && document.jwks_uri.ends_with(API_SERVER_KEYS) {
            return Ok((parse(&format!("{base}{API_SERVER_KEYS}"))?, algorithms));
        }
        let keys = parse(&document.jwks_uri).map_err(|_| SourceError::ForeignKeys)?;
        let origin = |url: &Uri| Origin::of(url).map_err(|_| SourceError::ForeignKeys);
        if origin(&keys)? == origin(&url)? { Ok((keys, algorithms)) } else { Err(SourceError::ForeignKeys) }
    }

    async fn get(&self, url: &Uri) -> Result<Fetched, FetchError> {
        self.fetcher.get(url, (self.credential)().as_ref()).await
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Uri, SourceError> {
    url.parse().map_err(|_| SourceError::Url(url.to_owned()))
}

fn successful(what: &'static str, fetched: Fetched) -> Result<Fetched, SourceError> {
    if fetched.status.is_success() { Ok(fetched) } else { Err(SourceError::Status(what, fetched.status)) }
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(header::CACHE_CONTROL)?.to_str().ok()?.split(',');
    let mut seconds = directives.filter_map(|directive| directive.trim().strip_prefix("max-age="));
    seconds.next()?.parse().ok().map(Duration::from_secs)
}
