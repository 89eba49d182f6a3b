//! The configuration as it is written: YAML, where a field that is not known is an error.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::SignedDuration;
use portolan_runtime::{args::interval, fetch::Named};
use serde::Deserialize;

use super::{
    CallerConfig, ClusterConfig, Config, ConfigError, Mode, OnOutage, Proof, RateLimits, Renewal, V1,
    check_name, check_url,
};
use crate::routing::{Matcher, Route};

/// What Kubernetes itself allows for clocks that differ.
const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// A verdict is kept this long at most.
const MAX_CACHE: Duration = Duration::from_secs(10);
/// TokenRequest gives no shorter token.
const MIN_TOKEN_DURATION: Duration = Duration::from_secs(600);
const MAX_REFRESH: Duration = Duration::from_secs(240);
/// 2026-11-01, when the old API was deprecated.
const DEPRECATED_SINCE: i64 = 1_793_491_200;

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
    api_server: Option<String>,
    ca_cert: Option<PathBuf>,
    token_path: Option<PathBuf>,
    jwks_uri: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default, rename = "onOutage", alias = "on_outage")]
    on_outage: OnOutage,
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalFile {
    interval: Option<String>,
    token_duration: Option<String>,
    renew_before: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RouteFile {
    host: Option<String>,
    path: Option<String>,
    caller: Option<String>,
    #[serde(default)]
    username_prefix: String,
    groups: Option<Vec<String>>,
    extra: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CallerFile {
    name: String,
    certificate: Option<CertificateFile>,
    service_account: Option<ServiceAccountFile>,
    clusters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CertificateFile {
    common_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceAccountFile {
    cluster: String,
    namespace: String,
    name: String,
    audience: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoFile {
    #[serde(default)]
    hosts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct V1File {
    enabled: bool,
    sunset: Option<String>,
    link: String,
}

impl Default for V1File {
    fn default() -> Self {
        Self { enabled: true, sunset: None, link: "/apis/authentication.k8s.io/v1/tokenreviews".to_owned() }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitsFile {
    #[serde(rename = "perCluster", alias = "per_cluster")]
    per_cluster: Option<u32>,
    #[serde(rename = "perCaller", alias = "per_caller")]
    per_caller: Option<u32>,
}

impl File {
    pub(super) fn check(self) -> Result<Config, ConfigError> {
        if self.clusters.is_empty() {
            return Err(ConfigError::NoClusters);
        }
        let mut clusters = BTreeMap::new();
        for (name, cluster) in self.clusters {
            let checked = cluster.check(&name);
            let checked =
                checked.map_err(|problem| ConfigError::Cluster { cluster: name.clone(), problem })?;
            clusters.insert(name, Arc::new(checked));
        }
        let at = |place: &str, index: usize| {
            let place = format!("{place} {}", index + 1);
            move |problem| ConfigError::Other { place, problem }
        };
        let mut routes = Vec::new();
        for (index, route) in self.routes.into_iter().enumerate() {
            routes.push(Arc::new(route.check().map_err(at("route", index))?));
        }
        let mut callers = Vec::new();
        for (index, caller) in self.callers.into_iter().enumerate() {
            callers.push(Arc::new(caller.check(&clusters).map_err(at("caller", index))?));
        }
        let renewal = self.renewal.check().map_err(|problem| other("renewal", problem))?;
        Ok(Config {
            clusters,
            renewal,
            routes,
            callers,
            auto: self.auto.map(|auto| auto.hosts.iter().map(|host| host.to_ascii_lowercase()).collect()),
            v1: self.v1.check().map_err(|problem| other("v1", problem))?,
            rate_limits: self.rate_limits.check().map_err(|problem| other("rateLimits", problem))?,
        })
    }
}

fn other(place: &str, problem: String) -> ConfigError {
    ConfigError::Other { place: place.to_owned(), problem }
}

impl ClusterFile {
    fn check(self, name: &str) -> Result<ClusterConfig, String> {
        check_name(name)?;
        let issuer = self.issuer.filter(|issuer| !issuer.is_empty()).ok_or("issuer is required")?;
        if let Some(api_server) = &self.api_server {
            check_url("api_server", api_server, self.plain_http)?;
        } else if self.jwks_uri.is_none() {
            check_url("issuer", &issuer, self.plain_http)?;
        }
        if let Some(jwks_uri) = &self.jwks_uri {
            check_url("jwks_uri", jwks_uri, self.plain_http)?;
        }
        if self.mode != Mode::Jwks && self.api_server.is_none() {
            return Err(format!("mode {} needs api_server", self.mode.label()));
        }
        if self.token_path.is_some() && self.api_server.is_none() {
            return Err("token_path needs api_server: no other host gets a credential".to_owned());
        }
        let allow_addresses = self.allow_addresses.iter().map(|text| text.parse::<Named>());
        let leeway = bounded("leeway", self.leeway.as_deref(), MAX_LEEWAY, MAX_LEEWAY)?;
        Ok(ClusterConfig {
            name: name.to_owned(),
            issuer,
            api_server: self.api_server.map(|url| url.trim_end_matches('/').to_owned()),
            ca_cert: self.ca_cert,
            token_path: self.token_path,
            jwks_uri: self.jwks_uri,
            mode: self.mode,
            on_outage: self.on_outage,
            audiences: self.audiences,
            allow_addresses: allow_addresses.collect::<Result<_, _>>()?,
            plain_http: self.plain_http,
            require_key_id: self.require_key_id.unwrap_or(true),
            leeway: SignedDuration::from_secs(i64::try_from(leeway.as_secs()).unwrap_or(0)),
            cache_for: bounded("cache", self.cache.as_deref(), MAX_CACHE, MAX_CACHE)?,
            cooldown: bounded(
                "jwks_cooldown",
                self.jwks_cooldown.as_deref(),
                MAX_REFRESH,
                Duration::from_secs(30),
            )?,
            refresh_every: bounded("jwks_refresh", self.jwks_refresh.as_deref(), MAX_REFRESH, MAX_REFRESH)?,
        })
    }
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

impl RenewalFile {
    fn check(self) -> Result<Renewal, String> {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let read = |member: &str, text: Option<String>, default| match text {
            Some(text) => interval(&text).map_err(|problem| format!("{member}: {problem}")),
            None => Ok(default),
        };
        let renewal = Renewal {
            interval: read("interval", self.interval, hours(1))?,
            token_duration: read("token_duration", self.token_duration, hours(168))?,
            renew_before: read("renew_before", self.renew_before, hours(48))?,
        };
        if renewal.token_duration < MIN_TOKEN_DURATION {
            return Err("token_duration: at least 10m, which is what the API server allows".to_owned());
        }
        if renewal.renew_before >= renewal.token_duration {
            return Err("renew_before must be shorter than token_duration".to_owned());
        }
        Ok(renewal)
    }
}

impl RouteFile {
    fn check(self) -> Result<Route, String> {
        let matcher = match (self.host, self.path, self.caller) {
            (Some(host), None, None) => Matcher::Host(host.to_ascii_lowercase()),
            (None, Some(path), None) if path.starts_with('/') => {
                Matcher::Path(path.trim_end_matches('/').to_owned())
            }
            (None, None, Some(caller)) => Matcher::Caller(caller),
            (None, Some(_), None) => return Err("path must start with /".to_owned()),
            _ => return Err("exactly one of host, path and caller is needed".to_owned()),
        };
        if self.username_prefix.starts_with("system:") {
            return Err("usernamePrefix must not start with system:, which is Kubernetes' own".to_owned());
        }
        Ok(Route { matcher, username_prefix: self.username_prefix, groups: self.groups, extra: self.extra })
    }
}

impl CallerFile {
    fn check(self, clusters: &BTreeMap<String, Arc<ClusterConfig>>) -> Result<CallerConfig, String> {
        let known = |name: &String| {
            let there = name == "*" || clusters.contains_key(name);
            there.then_some(()).ok_or_else(|| format!("there is no cluster {name:?}"))
        };
        self.clusters.iter().try_for_each(known)?;
        let proof = match (self.certificate, self.service_account) {
            (Some(certificate), None) => Proof::Certificate(certificate.common_name),
            (None, Some(account)) => {
                known(&account.cluster)?;
                let username = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
                Proof::ServiceAccount { cluster: account.cluster, username, audience: account.audience }
            }
            _ => return Err("exactly one of certificate and serviceAccount is needed".to_owned()),
        };
        let every = self.clusters.iter().any(|name| name == "*");
        let clusters = (!every).then(|| self.clusters.into_iter().collect());
        Ok(CallerConfig { name: self.name, proof, clusters })
    }
}

impl V1File {
    fn check(self) -> Result<V1, String> {
        let date = |text: &String| {
            let parsed: Result<jiff::Timestamp, _> = text.parse();
            let parsed =
                parsed.map_err(|_| format!("sunset {text:?} is not a time such as 2027-06-30T00:00:00Z"))?;
            Ok::<_, String>(parsed.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        };
        let sunset = self.sunset.as_ref().map(date).transpose()?;
        if !self.link.is_ascii() || self.link.contains(['<', '>', '\n', '\r']) {
            return Err("link must be a URL".to_owned());
        }
        Ok(V1 { enabled: self.enabled, deprecated_since: DEPRECATED_SINCE, sunset, link: self.link })
    }
}

impl RateLimitsFile {
    fn check(self) -> Result<RateLimits, String> {
        if self.per_cluster == Some(0) || self.per_caller == Some(0) {
            return Err("0 would refuse everything; leave the limit out instead".to_owned());
        }
        Ok(RateLimits { per_cluster: self.per_cluster, per_caller: self.per_caller })
    }
}
