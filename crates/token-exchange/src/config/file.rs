//! The configuration of the exchange as it is written: YAML, where a field that is not known is an error.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::SignedDuration;
use portolan_core::{names::is_dns_label, pattern, text::quoted};
use portolan_runtime::{
    args::interval,
    config::{
        ConfigError,
        issuer::{VerificationMode, check_keys_url, check_url, issuers},
    },
};
use serde::Deserialize;

use super::{AUDIENCE, ExchangeConfig, IssuerConfig, RateLimits};
use crate::binding::ANY;

/// Limit on the leeway for clocks that differ; Kubernetes itself allows as much.
const MAX_LEEWAY: Duration = Duration::from_secs(60);
const MAX_REFRESH: Duration = Duration::from_secs(240);
const COOLDOWN: Duration = Duration::from_secs(30);
const MIN_PAUSE: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Azure gives managed identities a day and five minutes.
const MAX_SOURCE_LIFETIME: Duration = Duration::from_secs(25 * 3600);
/// Issuers that keep their keys at another host, which their documentation names. Every tenant of Azure is an
/// issuer of its own, as tokens of version 1 name it.
const KEYS_ELSEWHERE: [(&str, &str); 2] = [
    ("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs"),
    ("https://sts.windows.net/*", "https://login.microsoftonline.com/common/discovery/keys"),
];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct File {
    audiences: Option<Vec<String>>,
    issuers: Vec<IssuerFile>,
    any_issuer: bool,
    namespaces: Vec<String>,
    rate_limits: RatesFile,
}

/// Names as in the configuration of the review side, where both have a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerFile {
    issuer: Option<String>,
    issuers: Option<Vec<String>>,
    api_server: Option<String>,
    ca_cert: Option<PathBuf>,
    token_path: Option<PathBuf>,
    #[serde(default)]
    mode: VerificationMode,
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

impl File {
    pub(super) fn check(self) -> Result<ExchangeConfig, ConfigError> {
        let part = |place: &str, problem| ConfigError::Part { place: place.to_owned(), problem };
        let mut issuers: BTreeMap<String, Arc<IssuerConfig>> = BTreeMap::new();
        for issuer in self.issuers {
            let place = format!("issuer {:?}", issuer.name());
            let issuer = issuer.check().map_err(|problem| part(&place, problem))?;
            let twin =
                issuers.values().find_map(|known| known.issuers.iter().find(|name| issuer.has_name(name)));
            if let Some(twin) = twin {
                return Err(part(&place, format!("{} is listed twice", quoted(twin))));
            }
            issuers.insert(issuer.name().to_owned(), Arc::new(issuer));
        }
        let audiences = self.audiences.unwrap_or_else(|| vec![AUDIENCE.to_owned()]);
        if audiences.iter().any(String::is_empty) || audiences.is_empty() {
            return Err(part("audiences", "name at least one, or \"*\" for any".to_owned()));
        }
        if let Some(wrong) = self.namespaces.iter().find(|name| *name != ANY && !is_dns_label(name)) {
            return Err(part("namespaces", format!("{wrong:?} is not the name of a namespace")));
        }
        let some = |rate: u32| Some(rate).filter(|rate| *rate > 0);
        Ok(ExchangeConfig {
            audiences,
            issuers,
            any_issuer: self.any_issuer,
            namespaces: self.namespaces.into_iter().collect(),
            rates: RateLimits {
                per_caller: some(self.rate_limits.per_caller),
                per_issuer: some(self.rate_limits.per_issuer),
                per_address: some(self.rate_limits.per_address),
            },
        })
    }
}

impl IssuerFile {
    pub(super) fn named(issuer: &str) -> Self {
        Self {
            issuer: Some(issuer.to_owned()),
            issuers: None,
            api_server: None,
            ca_cert: None,
            token_path: None,
            mode: VerificationMode::Jwks,
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

    /// The name that a person uses.
    fn name(&self) -> &str {
        let several = self.issuers.as_ref().and_then(|issuers| issuers.first());
        self.issuer.as_ref().or(several).map_or("", String::as_str)
    }

    pub(super) fn check(self) -> Result<IssuerConfig, String> {
        let issuers = issuers(self.issuer, self.issuers)?;
        let jwks_uri = self.jwks_uri.or_else(|| keys_elsewhere(&issuers[0]));
        check_places(&issuers[0], self.api_server.as_deref(), jwks_uri.as_deref(), self.plain_http)?;
        if self.token_path.is_some() && self.api_server.is_none() {
            return Err("token_path needs api_server: no other host gets a credential".to_owned());
        }
        check_mode(self.mode, self.token_path.is_some())?;
        let is_cluster = self.api_server.is_some();
        let leeway = at_most("leeway", self.leeway.as_deref(), MAX_LEEWAY)?.unwrap_or(MAX_LEEWAY);
        let lifetime = self.max_source_lifetime.as_deref();
        let cooldown = at_most("jwks_cooldown", self.jwks_cooldown.as_deref(), MAX_REFRESH)?;
        let refresh = at_most("jwks_refresh", self.jwks_refresh.as_deref(), MAX_REFRESH)?;
        Ok(IssuerConfig {
            issuers,
            api_server: self.api_server.map(|url| url.trim_end_matches('/').to_owned()),
            ca_cert: self.ca_cert,
            token_path: self.token_path,
            jwks_uri,
            audiences: self.audiences,
            max_source_lifetime: at_most("maxSourceLifetime", lifetime, MAX_SOURCE_LIFETIME)?.unwrap_or(HOUR),
            allow_addresses: self
                .allow_addresses
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            plain_http: self.plain_http,
            // Those of Kubernetes always do; other issuers with one key need not.
            require_key_id: self.require_key_id.unwrap_or(is_cluster),
            mode: self.mode,
            leeway: SignedDuration::from_secs(i64::try_from(leeway.as_secs()).unwrap_or(0)),
            cooldown: cooldown.unwrap_or(COOLDOWN).max(MIN_PAUSE),
            refresh_every: refresh.unwrap_or(MAX_REFRESH).max(MIN_PAUSE),
        })
    }
}

/// Every URL that is going to be asked.
fn check_places(
    issuer: &str,
    api_server: Option<&str>,
    jwks_uri: Option<&str>,
    plain_http: bool,
) -> Result<(), String> {
    if let Some(url) = api_server {
        check_url("api_server", url, plain_http)?;
    }
    match jwks_uri {
        Some(url) => check_keys_url("jwks_uri", url, plain_http),
        None if api_server.is_none() => check_url("issuer", issuer, plain_http),
        None => Ok(()),
    }
}

fn keys_elsewhere(issuer: &str) -> Option<String> {
    KEYS_ELSEWHERE
        .iter()
        .find(|(pattern, _)| pattern::matches(pattern, issuer))
        .map(|(_, keys)| (*keys).to_owned())
}

/// An exchange needs the keys: they say who asks, before anybody else is asked.
fn check_mode(mode: VerificationMode, has_credential: bool) -> Result<(), String> {
    match mode {
        VerificationMode::Jwks => Ok(()),
        VerificationMode::Hybrid if has_credential => Ok(()),
        VerificationMode::Hybrid => {
            Err("mode hybrid needs api_server, and token_path with a token of an account that may \
                             create tokenreviews there"
                .to_owned())
        }
        VerificationMode::Review => Err("mode review is not for exchanges: jwks or hybrid".to_owned()),
    }
}

fn at_most(member: &str, text: Option<&str>, most: Duration) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let value = interval(text).map_err(|problem| format!("{member}: {problem}"))?;
    if value > most { Err(format!("{member}: at most {}s", most.as_secs())) } else { Ok(Some(value)) }
}
