//! The configuration of the exchange: whose tokens are exchanged, for accounts of which namespaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use portolan_core::names::is_dns_label;
use portolan_runtime::{args::interval, fetch::Named};
use serde::Deserialize;

use super::decide::ANY;
use crate::config::{ConfigError, check_url};

/// Whom a source token must be for when the configuration does not say.
pub(crate) const AUDIENCE: &str = "portolan-token-exchange";
/// What Kubernetes itself allows for clocks that differ.
const MAX_LEEWAY: Duration = Duration::from_secs(60);
const MAX_REFRESH: Duration = Duration::from_secs(240);
const COOLDOWN: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// Never among "every namespace".
pub(crate) const KUBE_SYSTEM: &str = "kube-system";
/// Issuers that keep their keys at another host, which their documentation names.
const KEYS_ELSEWHERE: [(&str, &str); 1] =
    [("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs")];

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whom a source token must be for; `*` is anybody.
    pub(crate) audiences: Vec<String>,
    pub(crate) issuers: BTreeMap<String, Arc<IssuerConfig>>,
    /// Whether annotations may name issuers that are not listed.
    pub(crate) any_issuer: bool,
    /// Namespaces whose accounts can be had; `*` is every one but `kube-system`.
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) rates: Rates,
}

/// One issuer whose tokens are exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerConfig {
    pub(crate) issuer: String,
    pub(crate) api_server: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) token_path: Option<PathBuf>,
    pub(crate) jwks_uri: Option<String>,
    /// Instead of those of the service.
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) max_source_lifetime: Duration,
    pub(crate) allow_addresses: Vec<Named>,
    pub(crate) plain_http: bool,
    pub(crate) require_key_id: bool,
    pub(crate) leeway: SignedDuration,
    pub(crate) cooldown: Duration,
    pub(crate) refresh_every: Duration,
}

/// Exchanges per second; none means as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as they are written: perCaller, perIssuer, perAddress")]
pub(crate) struct Rates {
    pub(crate) per_caller: Option<u32>,
    pub(crate) per_issuer: Option<u32>,
    pub(crate) per_address: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    audiences: Option<Vec<String>>,
    issuers: Vec<IssuerFile>,
    any_issuer: bool,
    namespaces: Vec<String>,
    rate_limits: RatesFile,
}

/// Names as in the configuration of the review side, where both have a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerFile {
    issuer: String,
    api_server: Option<String>,
    ca_cert: Option<PathBuf>,
    token_path: Option<PathBuf>,
    jwks_uri: Option<String>,
    audiences: Option<Vec<String>>,
    #[serde(rename = "maxSourceLifetime", alias = "max_source_lifetime")]
    max_source_lifetime: Option<String>,
    #[serde(default)]
    allow_addresses: Vec<String>,
    #[serde(default)]
    plain_http: bool,
    require_key_id: Option<bool>,
    leeway: Option<String>,
    jwks_cooldown: Option<String>,
    jwks_refresh: Option<String>,
}

/// 0 is no limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "as they are written: perCaller, perIssuer, perAddress")]
struct RatesFile {
    per_caller: u32,
    per_issuer: u32,
    per_address: u32,
}

impl Default for RatesFile {
    fn default() -> Self {
        Self { per_caller: 50, per_issuer: 1000, per_address: 0 }
    }
}

impl Config {
    /// Reads a file.
    pub(crate) async fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        Self::parse(&tokio::fs::read_to_string(path).await.map_err(read)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| {
            // What follows the first lines is a drawing of the place.
            ConfigError::Parse(error.to_string().lines().take(3).collect::<Vec<_>>().join("; "))
        })?;
        file.check()
    }

    /// What there is without a file: nobody may exchange anything.
    pub(crate) fn empty() -> Self {
        let Ok(config) = File::default().check() else { unreachable!("the defaults are sound") };
        config
    }

    /// Whom a token of an issuer must be for.
    pub(crate) fn audiences_of<'a>(&'a self, issuer: &'a IssuerConfig) -> &'a [String] {
        issuer.audiences.as_ref().unwrap_or(&self.audiences)
    }

    /// Whether accounts of a namespace can be had.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        let every = self.namespaces.contains(ANY) && namespace != KUBE_SYSTEM;
        every || self.namespaces.contains(namespace)
    }

    /// Every file that the configuration names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.issuers.values().filter_map(|issuer| issuer.ca_cert.clone()).collect()
    }

    /// What an operator should know about this configuration. `own` is the issuer of the target cluster.
    pub(crate) fn warnings(&self, own: Option<&str>) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |text: String| warnings.push(text);
        if self.issuers.is_empty() && !self.any_issuer {
            warn("no issuer is listed, so no token is exchanged: list them under issuers".to_owned());
        }
        if self.namespaces.is_empty() {
            warn("no namespace is listed, so no token is exchanged: list them under namespaces".to_owned());
        }
        if self.any_issuer {
            warn("anyIssuer: whoever may annotate a ServiceAccount chooses who gets its tokens".to_owned());
        }
        let any = |list: &[String]| list.iter().any(|audience| audience == ANY);
        if any(&self.audiences) || self.issuers.values().any(|i| i.audiences.as_deref().is_some_and(any)) {
            warn("audiences \"*\": whoever is shown a token of a listed issuer can exchange it".to_owned());
        }
        if self.namespaces.contains(KUBE_SYSTEM) {
            warn("kube-system is listed: some of its accounts may do anything in the cluster".to_owned());
        }
        if own.is_some_and(|own| self.issuers.contains_key(own)) {
            warn(
                "the issuer of this cluster itself is listed, so chains are possible: what is given here may \
                 be exchanged here again, each time for a new lifetime"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl IssuerConfig {
    /// An issuer that only an annotation names.
    pub(crate) fn unlisted(issuer: &str) -> Result<Self, String> {
        IssuerFile::named(issuer).check()
    }
}

impl File {
    fn check(self) -> Result<Config, ConfigError> {
        let other = |place: &str, problem| ConfigError::Other { place: place.to_owned(), problem };
        let mut issuers = BTreeMap::new();
        for issuer in self.issuers {
            let name = issuer.issuer.clone();
            let place = format!("issuer {name:?}");
            let issuer = issuer.check().map_err(|problem| other(&place, problem))?;
            if issuers.insert(name, Arc::new(issuer)).is_some() {
                return Err(other(&place, "it is listed twice".to_owned()));
            }
        }
        let audiences = self.audiences.unwrap_or_else(|| vec![AUDIENCE.to_owned()]);
        if audiences.iter().any(String::is_empty) || audiences.is_empty() {
            return Err(other("audiences", "name at least one, or \"*\" for any".to_owned()));
        }
        if let Some(wrong) = self.namespaces.iter().find(|name| *name != ANY && !is_dns_label(name)) {
            return Err(other("namespaces", format!("{wrong:?} is not the name of a namespace")));
        }
        let some = |rate: u32| Some(rate).filter(|rate| *rate > 0);
        Ok(Config {
            audiences,
            issuers,
            any_issuer: self.any_issuer,
            namespaces: self.namespaces.into_iter().collect(),
            rates: Rates {
                per_caller: some(self.rate_limits.per_caller),
                per_issuer: some(self.rate_limits.per_issuer),
                per_address: some(self.rate_limits.per_address),
            },
        })
    }
}

impl IssuerFile {
    fn named(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            api_server: None,
            ca_cert: None,
            token_path: None,
            jwks_uri: None,
            audiences: None,
            max_source_lifetime: None,
            allow_addresses: Vec::new(),
            plain_http: false,
            require_key_id: None,
            leeway: None,
            jwks_cooldown: None,
            jwks_refresh: None,
        }
    }

    fn check(self) -> Result<IssuerConfig, String> {
        let elsewhere = KEYS_ELSEWHERE.iter().find(|(issuer, _)| *issuer == self.issuer);
        let jwks_uri = self.jwks_uri.or_else(|| elsewhere.map(|(_, keys)| (*keys).to_owned()));
        match (&self.api_server, &jwks_uri) {
            (Some(url), _) => check_url("api_server", url, self.plain_http)?,
            (None, Some(url)) => check_url("jwks_uri", url, self.plain_http)?,
            (None, None) => check_url("issuer", &self.issuer, self.plain_http)?,
        }
        if self.issuer.is_empty() {
            return Err("issuer is required".to_owned());
        }
        if self.token_path.is_some() && self.api_server.is_none() {
            return Err("token_path needs api_server: no other host gets a credential".to_owned());
        }
        let leeway = at_most("leeway", self.leeway.as_deref(), MAX_LEEWAY)?.unwrap_or(MAX_LEEWAY);
        let lifetime = self.max_source_lifetime.as_deref();
        let cooldown = at_most("jwks_cooldown", self.jwks_cooldown.as_deref(), MAX_REFRESH)?;
        let refresh = at_most("jwks_refresh", self.jwks_refresh.as_deref(), MAX_REFRESH)?;
        Ok(IssuerConfig {
            issuer: self.issuer,
            api_server: self.api_server.map(|url| url.trim_end_matches('/').to_owned()),
            ca_cert: self.ca_cert,
            token_path: self.token_path,
            jwks_uri,
            audiences: self.audiences,
            max_source_lifetime: at_most("maxSourceLifetime", lifetime, HOUR * 24)?.unwrap_or(HOUR),
            allow_addresses: self
                .allow_addresses
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            plain_http: self.plain_http,
            require_key_id: self.require_key_id.unwrap_or(true),
            leeway: SignedDuration::from_secs(i64::try_from(leeway.as_secs()).unwrap_or(0)),
            cooldown: cooldown.unwrap_or(COOLDOWN),
            refresh_every: refresh.unwrap_or(MAX_REFRESH),
        })
    }
}

fn at_most(member: &str, text: Option<&str>, most: Duration) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let value = interval(text).map_err(|problem| format!("{member}: {problem}"))?;
    if value > most { Err(format!("{member}: at most {}s", most.as_secs())) } else { Ok(Some(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_nothing_is_open() {
        let config = Config::empty();
        assert_eq!(config.audiences, [AUDIENCE]);
        assert!(config.issuers.is_empty() && !config.any_issuer && !config.has_namespace("default"));
        assert_eq!(config.rates, Rates { per_caller: Some(50), per_issuer: Some(1000), per_address: None });
        let warnings = config.warnings(None);
        assert!(
            warnings.len() == 2 && warnings.iter().all(|w| w.contains("no token is exchanged")),
            "{warnings:?}"
        );
    }

    #[test]
    fn every_open_door_is_warned_of() {
        let text = "{audiences: ['*'], anyIssuer: true, namespaces: ['*', kube-system], issuers: [{issuer: 'https://own'}]}";
        let warnings = parse(text).unwrap().warnings(Some("https://own"));
        for word in ["anyIssuer", "audiences \"*\"", "kube-system", "chains are possible"] {
            assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
        }
        assert_eq!(
            parse("{namespaces: [a], issuers: [{issuer: 'https://i'}]}")
                .unwrap()
                .warnings(Some("https://own")),
            [""; 0]
        );
    }

    #[test]
    fn kube_system_is_there_only_by_name() {
        let every = parse("namespaces: ['*']").unwrap();
        assert!(every.has_namespace("default") && !every.has_namespace(KUBE_SYSTEM));
        assert!(parse("namespaces: ['*', kube-system]").unwrap().has_namespace(KUBE_SYSTEM));
    }

    #[test]
    fn issuers_have_their_own_rules() {
        let text = "issuers:\n- {issuer: 'https://accounts.google.com'}\n\
                    - {issuer: 'https://login.microsoftonline.com/t/v2.0', maxSourceLifetime: 90m, audiences: [api://x]}\n";
        let config = parse(text).unwrap();
        let google = &config.issuers["https://accounts.google.com"];
        assert_eq!(google.jwks_uri.as_deref(), Some("https://www.googleapis.com/oauth2/v3/certs"));
        assert_eq!(
            (google.max_source_lifetime, config.audiences_of(google)),
            (HOUR, &[AUDIENCE.to_owned()][..])
        );
        let azure = &config.issuers["https://login.microsoftonline.com/t/v2.0"];
        assert_eq!(
            (azure.max_source_lifetime.as_secs(), config.audiences_of(azure)),
            (5400, &["api://x".to_owned()][..])
        );
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            ("issuer: []", "unknown field"),
            ("issuers: [{issuer: 'http://i'}]", "is not https"),
            ("issuers: [{issuer: ftp}]", "is not an https URL"),
            ("issuers: [{issuer: 'https://i'}, {issuer: 'https://i'}]", "listed twice"),
            ("issuers: [{issuer: 'https://i', token_path: /t}]", "token_path needs api_server"),
            ("issuers: [{issuer: 'https://i', maxSourceLifetime: 25h}]", "at most"),
            ("issuers: [{issuer: 'https://i', allow_addresses: [x]}]", "is not an address"),
            ("audiences: []", "name at least one"),
            ("namespaces: [Default]", "is not the name of a namespace"),
        ];
        for (text, problem) in table {
            assert!(parse(text).unwrap_err().contains(problem), "{text}: {:?}", parse(text));
        }
    }
}
