//! The configuration as it is written: YAML, where a field that is not known is an error.

mod parts;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::SignedDuration;
use portolan_runtime::{
    args::interval,
    config::{
        ConfigError,
        issuer::{VerificationMode, check_keys_url, check_url, issuers},
    },
    fetch::NamedAddress,
};
use serde::Deserialize;

use self::parts::{AutoFile, CallerFile, RateLimitsFile, RenewalFile, RouteFile, V1File};
use super::{CallerConfig, ClusterConfig, OnOutage, ServiceConfig, check_name};
use crate::mapping::{IdentityMapping, MappingMatcher};

/// Limit on the leeway for clocks that differ; Kubernetes itself allows as much.
const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// A verdict is kept this long at most.
const MAX_CACHE: Duration = Duration::from_secs(10);
/// The keys decide alone this long at most while an API server does not answer.
const MAX_OUTAGE: Duration = Duration::from_secs(300);
const MAX_REFRESH: Duration = Duration::from_secs(240);
const MIN_PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    clusters: BTreeMap<String, ClusterFile>,
    #[serde(default)]
    renewal: RenewalFile,
    #[serde(default)]
    routes: Vec<RouteFile>,
    #[serde(default)]
    callers: Vec<CallerFile>,
    auto: Option<AutoFile>,
    #[serde(default)]
    v1: V1File,
    #[serde(default, rename = "rateLimits", alias = "rate_limits")]
    rate_limits: RateLimitsFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    issuer: Option<String>,
    issuers: Option<Vec<String>>,
    api_server: Option<String>,
    ca_cert: Option<PathBuf>,
    token_path: Option<PathBuf>,
    jwks_uri: Option<String>,
    #[serde(default)]
    mode: VerificationMode,
    #[serde(default, rename = "onOutage", alias = "on_outage")]
    on_outage: OnOutage,
    #[serde(rename = "acceptFor", alias = "accept_for")]
    accept_for: Option<String>,
    audiences: Option<Vec<String>>,
    #[serde(default)]
    allow_addresses: Vec<String>,
    #[serde(default)]
    plain_http: bool,
    require_key_id: Option<bool>,
    leeway: Option<String>,
    cache: Option<String>,
    jwks_cooldown: Option<String>,
    jwks_refresh: Option<String>,
}

impl File {
    pub(super) fn check(self) -> Result<ServiceConfig, ConfigError> {
        if self.clusters.is_empty() {
            return Err(ConfigError::Whole("no clusters configured".to_owned()));
        }
        let mut clusters = BTreeMap::new();
        for (name, cluster) in self.clusters {
            let checked = cluster.check(&name);
            let checked = checked.map_err(|problem| part(&format!("cluster {name:?}"), problem))?;
            clusters.insert(name, Arc::new(checked));
        }
        let at = |place: &str, index: usize| {
            let place = format!("{place} {}", index + 1);
            move |problem| ConfigError::Part { place, problem }
        };
        let mut routes = Vec::new();
        for (index, route) in self.routes.into_iter().enumerate() {
            routes.push(Arc::new(route.check().map_err(at("route", index))?));
        }
        let mut callers = Vec::new();
        for (index, caller) in self.callers.into_iter().enumerate() {
            callers.push(Arc::new(caller.check(&clusters).map_err(at("caller", index))?));
            check_twin(&callers).map_err(at("caller", index))?;
        }
        for (index, route) in routes.iter().enumerate() {
            check_caller(route, &callers).map_err(at("route", index))?;
        }
        let renewal = self.renewal.check().map_err(|problem| part("renewal", problem))?;
        Ok(ServiceConfig {
            clusters,
            renewal,
            routes,
            callers,
            auto: self.auto.map(AutoFile::check).transpose().map_err(|problem| part("auto", problem))?,
            v1: self.v1.check().map_err(|problem| part("v1", problem))?,
            rate_limits: self.rate_limits.check().map_err(|problem| part("rateLimits", problem))?,
        })
    }
}

/// A route for somebody who is nobody would be for nobody, and answers would be raw.
fn check_caller(route: &IdentityMapping, callers: &[Arc<CallerConfig>]) -> Result<(), String> {
    let MappingMatcher::Caller(name) = &route.matcher else { return Ok(()) };
    let known = callers.iter().any(|caller| caller.name == *name);
    if known { Ok(()) } else { Err(format!("there is no caller {name:?}")) }
}

/// Rights, rates, routes and the audit know a caller by its name: the last one must not have an earlier one's.
fn check_twin(callers: &[Arc<CallerConfig>]) -> Result<(), String> {
    let Some((last, earlier)) = callers.split_last() else { return Ok(()) };
    let known = earlier.iter().any(|caller| caller.name == last.name);
    if known { Err(format!("there is another caller {:?}", last.name)) } else { Ok(()) }
}

fn part(place: &str, problem: String) -> ConfigError {
    ConfigError::Part { place: place.to_owned(), problem }
}

impl ClusterFile {
    fn check(self, name: &str) -> Result<ClusterConfig, String> {
        check_name(name)?;
        let issuers = issuers(self.issuer, self.issuers)?;
        if let Some(api_server) = &self.api_server {
            check_url("api_server", api_server, self.plain_http)?;
        } else if self.jwks_uri.is_none() {
            check_url("issuer", &issuers[0], self.plain_http)?;
        }
        if let Some(jwks_uri) = &self.jwks_uri {
            check_keys_url("jwks_uri", jwks_uri, self.plain_http)?;
        }
        if self.mode != VerificationMode::Jwks && self.api_server.is_none() {
            return Err(format!("mode {} needs api_server", self.mode.label()));
        }
        if self.token_path.is_some() && self.api_server.is_none() {
            return Err("token_path needs api_server: no other host gets a credential".to_owned());
        }
        if self.audiences.as_ref().is_some_and(Vec::is_empty) {
            return Err("audiences: name at least one, or \"*\" for any".to_owned());
        }
        let allow_addresses = self.allow_addresses.iter().map(|text| text.parse::<NamedAddress>());
        let leeway = bounded("leeway", self.leeway.as_deref(), MAX_LEEWAY, MAX_LEEWAY)?;
        Ok(ClusterConfig {
            name: name.to_owned(),
            issuers,
            api_server: self.api_server.map(|url| url.trim_end_matches('/').to_owned()),
            ca_cert: self.ca_cert,
            token_path: self.token_path,
            jwks_uri: self.jwks_uri,
            mode: self.mode,
            on_outage: self.on_outage,
            accept_for: bounded("acceptFor", self.accept_for.as_deref(), MAX_OUTAGE, MAX_OUTAGE)?,
            audiences: self.audiences,
            allow_addresses: allow_addresses.collect::<Result<_, _>>()?,
            plain_http: self.plain_http,
            require_key_id: self.require_key_id.unwrap_or(true),
            leeway: SignedDuration::from_secs(i64::try_from(leeway.as_secs()).unwrap_or(0)),
            cache_for: bounded("cache", self.cache.as_deref(), MAX_CACHE, MAX_CACHE)?,
            cooldown: pause("jwks_cooldown", self.jwks_cooldown.as_deref(), Duration::from_secs(30))?,
            refresh_every: pause("jwks_refresh", self.jwks_refresh.as_deref(), MAX_REFRESH)?,
        })
    }
}

/// A pause between requests to an issuer: without one it would be asked in a loop.
fn pause(member: &str, text: Option<&str>, default: Duration) -> Result<Duration, String> {
    let value = bounded(member, text, MAX_REFRESH, default)?;
    if value < MIN_PAUSE { Err(format!("{member}: at least 1s")) } else { Ok(value) }
}

/// A duration that may be left out, and must not be longer than `most`. `0s` is none.
fn bounded(member: &str, text: Option<&str>, most: Duration, default: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    let value = match text {
        "0" | "0s" => Duration::ZERO,
        _ => interval(text).map_err(|problem| format!("{member}: {problem}"))?,
    };
    if value > most { Err(format!("{member}: at most {}s", most.as_secs())) } else { Ok(value) }
}
