//! Location of an issuer's keys: found through its discovery document, or a URL that the operator gave.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri, header};
use portolan_core::{
    auth::{IssuerKeys, SigningAlgorithm, keys::InvalidKeys},
    object::Object,
    text::{differing, quoted},
};
use serde::Deserialize;
use serde_json::Value;

use crate::fetch::{CredentialSource, FetchError, Fetched, Fetcher, UrlOrigin};

const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Path of the keys on every API server.
const API_SERVER_KEYS: &str = "/openid/v1/jwks";

/// An issuer whose keys can be asked for.
#[derive(Clone)]
pub struct KeySource {
    /// Names of the issuer in its tokens and its discovery document: one, or during a change the new and the old one.
    /// An issuer without an API server is asked at the first.
    pub issuers: Vec<String>,
    /// The API server, which then answers for the issuer.
    pub api_server: Option<String>,
    /// URL of the keys, instead of the one in the discovery document.
    pub jwks_uri: Option<String>,
    /// The credential that is shown to the API server.
    pub credential: CredentialSource,
    /// The fetcher for discovery and keys.
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
    #[error("{0} at {1} was answered {2}")]
    Status(&'static str, Uri, StatusCode),
    /// The token that was shown is not accepted.
    #[error("{0} at {1} was answered 401 Unauthorized: the token that was shown is not accepted")]
    Rejected(&'static str, Uri),
    /// Not a discovery document.
    #[error("the discovery document is invalid: {0}")]
    NotADocument(&'static str),
    /// A document of somebody else. Both names, side by side.
    #[error("the discovery document is that of another issuer: {0}")]
    OtherIssuer(String),
    /// A URL that no keys can be at.
    #[error("the discovery document puts the keys at {}, which is not an absolute http or https URL", quoted(.0))]
    NoUrl(String),
    /// A host that nobody listed.
    #[error(
        "the discovery document puts the keys at {}, which is another host than {host}; set jwks_uri to allow it",
        quoted(.keys)
    )]
    ForeignKeys {
        /// URL of the keys in the discovery document.
        keys: String,
        /// The host that was asked.
        host: String,
    },
    /// A configured URL that is not valid.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// Not a set of keys.
    #[error("the keys cannot be used")]
    Keys(#[source] InvalidKeys),
}

/// A member that is null counts as absent.
#[derive(Deserialize)]
struct Document {
    issuer: Option<String>,
    jwks_uri: Option<String>,
    /// Some issuers name here what their keys do not. Whatever else it is does not count.
    #[serde(default)]
    id_token_signing_alg_values_supported: Value,
}

impl Document {
    fn algorithms(&self) -> Vec<SigningAlgorithm> {
        let names = self.id_token_signing_alg_values_supported.as_array().into_iter().flatten();
        names.filter_map(|name| SigningAlgorithm::parse(name.as_str()?)).collect()
    }
}

impl KeySource {
    /// The keys, and how long the issuer wants them to be kept.
    pub(super) async fn fetch(&self) -> Result<(IssuerKeys, Option<Duration>), SourceError> {
        let (url, algorithms) = match &self.jwks_uri {
            Some(url) => (parse(url)?, Vec::new()),
            None => self.discover().await?,
        };
        let fetched = self.ask("the request for keys", &url, SourceError::Fetch).await?;
        let keys = IssuerKeys::parse(&fetched.body, &algorithms).map_err(SourceError::Keys)?;
        Ok((keys, max_age(&fetched.headers)))
    }

    /// Finds the URL of the keys, and the algorithms that the issuer says it uses.
    async fn discover(&self) -> Result<(Uri, Vec<SigningAlgorithm>), SourceError> {
        let base = self.api_server.as_deref().unwrap_or_else(|| self.name()).trim_end_matches('/');
        let url = parse(&format!("{base}{DISCOVERY}"))?;
        let fetched = self.ask("discovery", &url, SourceError::Discovery).await?;
        let document = read(&fetched.body)?;
        let algorithms = document.algorithms();
        self.check_issuer(document.issuer.as_deref())?;
        let keys = document.jwks_uri.ok_or(SourceError::NotADocument("it has no jwks_uri"))?;
        Ok((self.place_of_keys(&url, base, &keys)?, algorithms))
    }

    fn check_issuer(&self, found: Option<&str>) -> Result<(), SourceError> {
        let found = found.ok_or(SourceError::NotADocument("it has no issuer"))?;
        if self.issuers.iter().any(|issuer| issuer == found) {
            return Ok(());
        }
        Err(SourceError::OtherIssuer(differing(found, self.name())))
    }

    /// Maps the URL of the keys in a discovery document to the one to ask.
    fn place_of_keys(&self, asked: &Uri, base: &str, keys: &str) -> Result<Uri, SourceError> {
        let no_url = || SourceError::NoUrl(keys.to_owned());
        let url: Uri = keys.parse().map_err(|_| no_url())?;
        let origin = UrlOrigin::of(&url).map_err(|_| no_url())?;
        // The document of an API server names an address that is right inside its own cluster only.
        if self.api_server.is_some() && url.path().ends_with(API_SERVER_KEYS) {
            return parse(&format!("{base}{API_SERVER_KEYS}"));
        }
        if UrlOrigin::of(asked).is_ok_and(|asked| asked == origin) {
            return Ok(url);
        }
        let host = asked.authority().map(ToString::to_string).unwrap_or_default();
        Err(SourceError::ForeignKeys { keys: keys.to_owned(), host })
    }

    /// Name of the issuer in the log.
    pub(super) fn name(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// An answer that is a success.
    async fn ask(
        &self,
        what: &'static str,
        url: &Uri,
        failed: fn(FetchError) -> SourceError,
    ) -> Result<Fetched, SourceError> {
        let credential = (self.credential)();
        let fetched = self.fetcher.get(url, credential.as_ref()).await.map_err(failed)?;
        let (status, is_shown) =
            (fetched.status, credential.is_some_and(|credential| credential.is_for(url)));
        if status.is_success() {
            Ok(fetched)
        } else if status == StatusCode::UNAUTHORIZED && is_shown {
            Err(SourceError::Rejected(what, url.clone()))
        } else {
            Err(SourceError::Status(what, url.clone(), status))
        }
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Uri, SourceError> {
    url.parse().map_err(|_| SourceError::Url(url.to_owned()))
}

fn read(body: &[u8]) -> Result<Document, SourceError> {
    let document: Result<Object<Document>, _> = serde_json::from_slice(body);
    document.map(|Object(document)| document).map_err(|error| {
        SourceError::NotADocument(if error.is_data() {
            "it is JSON of an unexpected shape"
        } else {
            "it is not JSON"
        })
    })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(header::CACHE_CONTROL)?.to_str().ok()?.split(',');
    let mut seconds = directives.filter_map(|directive| directive.trim().strip_prefix("max-age="));
    seconds.next()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fetch::FetchSettings;

    fn source(issuers: &[&str], api_server: Option<&str>) -> KeySource {
        KeySource {
            issuers: issuers.iter().map(|&issuer| issuer.to_owned()).collect(),
            api_server: api_server.map(str::to_owned),
            jwks_uri: None,
            credential: Arc::new(|| None),
            fetcher: Fetcher::new(&FetchSettings::default()).unwrap(),
        }
    }

    fn place(source: &KeySource, keys: &str) -> String {
        let base = source.api_server.as_deref().unwrap_or_else(|| source.name());
        let asked = parse(&format!("{base}{DISCOVERY}")).unwrap();
        source.place_of_keys(&asked, base, keys).map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    #[tokio::test]
    async fn keys_are_asked_for_where_they_can_be_and_nowhere_else() {
        let (public, cluster) =
            (source(&["https://i.test/x"], None), source(&["i"], Some("https://api.test")));
        let table = [
            (&public, "https://i.test/keys", "https://i.test/keys"),
            (&public, "https://i.test/keys?v=1&p=a", "https://i.test/keys?v=1&p=a"),
            (&public, "https://I.test:443/keys", "https://i.test:443/keys"),
            (&public, "https://other.test/keys", "another host than i.test; set jwks_uri"),
            (&public, "http://i.test/keys", "another host"),
            (&public, "/keys", "not an absolute http or https URL"),
            (&public, "ftp://i.test/keys", "not an absolute http or https URL"),
            (&cluster, "https://10.0.0.1:6443/openid/v1/jwks", "https://api.test/openid/v1/jwks"),
            (&cluster, "https://10.0.0.1/openid/v1/jwks?a=b", "https://api.test/openid/v1/jwks"),
            (&cluster, "ftp://10.0.0.1/openid/v1/jwks", "not an absolute http or https URL"),
            (&cluster, "/openid/v1/jwks", "not an absolute http or https URL"),
            (&cluster, "https://10.0.0.1/other", "another host than api.test"),
        ];
        for (source, keys, expected) in table {
            let found = place(source, keys);
            let same = found.eq_ignore_ascii_case(expected) || found.contains(expected);
            assert!(same, "{keys}: {found}");
        }
        let long = place(&public, &format!("https://other.test/{}", "x".repeat(5000)));
        assert!(long.len() < 300, "{long}");
    }

    #[tokio::test]
    async fn a_document_says_what_is_wrong_with_it() {
        let source = source(&["https://new.test", "https://old.test"], Some("https://api.test"));
        let said = |issuer: Option<&str>| source.check_issuer(issuer).map_err(|error| error.to_string());
        assert!(said(Some("https://new.test")).is_ok() && said(Some("https://old.test")).is_ok());
        let slash = said(Some("https://new.test/")).unwrap_err();
        assert!(
            slash.contains(r#""https://new.test/" instead of "https://new.test"; they differ by the slash"#),
            "{slash}"
        );
        assert!(said(None).unwrap_err().contains("it has no issuer"));
        let table = [
            ("<html>", "it is not JSON"),
            ("", "it is not JSON"),
            ("[]", "JSON of an unexpected shape"),
            (r#"{"issuer":1}"#, "JSON of an unexpected shape"),
        ];
        for (body, words) in table {
            let error = read(body.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(words), "{body}: {error}");
        }
        let nulls = read(br#"{"issuer":null,"jwks_uri":null,"id_token_signing_alg_values_supported":null}"#);
        let nulls = nulls.unwrap();
        assert!(nulls.issuer.is_none() && nulls.jwks_uri.is_none() && nulls.algorithms().is_empty());
    }
}
