//! The configuration: which clusters there are, how their tokens are checked, and who may ask.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use jiff::SignedDuration;
use portolan_core::{names::is_dns_label, text::quoted};
use portolan_runtime::fetch::{Named, Origin};
use serde::Deserialize;

use crate::route::Route;

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) clusters: BTreeMap<String, Arc<ClusterConfig>>,
    pub(crate) renewal: Renewal,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) callers: Vec<Arc<CallerConfig>>,
    /// Hosts whose questions are answered by the cluster that has the token's key; none means never.
    pub(crate) auto: Option<BTreeSet<String>>,
    pub(crate) v1: V1,
    pub(crate) rate_limits: RateLimits,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterConfig {
    pub(crate) name: String,
    /// What it calls itself: one name, or during a change the new and the old one.
    pub(crate) issuers: Vec<String>,
    pub(crate) api_server: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) token_path: Option<PathBuf>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) on_outage: OnOutage,
    /// How long the keys may decide alone while the API server does not answer.
    pub(crate) accept_for: Duration,
    /// Whom a token must be for when the question does not say. None: the cluster's own default.
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) allow_addresses: Vec<Named>,
    pub(crate) plain_http: bool,
    pub(crate) require_key_id: bool,
    pub(crate) leeway: SignedDuration,
    pub(crate) cache_for: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) refresh_every: Duration,
}

impl ClusterConfig {
    /// What it calls itself, or will do so after a change.
    pub(crate) fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }
}

/// How tokens of a cluster are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// With the issuer's keys.
    #[default]
    Jwks,
    /// By the cluster's own API server.
    Review,
    /// With the keys first, then by the API server.
    Hybrid,
}

impl Mode {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Jwks => "jwks",
            Self::Review => "review",
            Self::Hybrid => "hybrid",
        }
    }
}

/// What `hybrid` does when the API server does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnOutage {
    /// Nothing is accepted.
    #[default]
    Deny,
    /// The keys decide, as long as `acceptFor` says.
    Accept,
}

/// How credentials are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) interval: Duration,
    pub(crate) token_duration: Duration,
    pub(crate) renew_before: Duration,
}

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallerConfig {
    pub(crate) name: String,
    pub(crate) proof: Proof,
    /// None means every cluster.
    pub(crate) clusters: Option<BTreeSet<String>>,
}

/// How a caller shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// By a client certificate with this common name.
    Certificate(String),
    /// By a token of a `ServiceAccount` of a cluster, for this audience.
    ServiceAccount { cluster: String, username: String, audience: String },
}

/// The old API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V1 {
    pub(crate) enabled: bool,
    pub(crate) deprecated_since: i64,
    pub(crate) sunset: Option<String>,
    pub(crate) link: String,
}

/// Questions per second; none means as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateLimits {
    pub(crate) per_cluster: Option<u32>,
    pub(crate) per_caller: Option<u32>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("failed to read the configuration {path:?}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration is not as expected: {0}")]
    Parse(String),
    #[error("no clusters configured")]
    NoClusters,
    #[error("cluster {cluster:?}: {problem}")]
    Cluster { cluster: String, problem: String },
    #[error("{place}: {problem}")]
    Other { place: String, problem: String },
}

impl Config {
    pub(crate) async fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        Self::parse(&tokio::fs::read_to_string(path).await.map_err(read)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: file::File = serde_saphyr::from_str(text).map_err(|error| {
            // What follows the first lines is a drawing of the place.
            ConfigError::Parse(error.to_string().lines().take(3).collect::<Vec<_>>().join("; "))
        })?;
        file.check()
    }

    /// Every file that the configuration names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let named = |cluster: &Arc<ClusterConfig>| [cluster.ca_cert.clone(), cluster.token_path.clone()];
        self.clusters.values().flat_map(named).flatten().collect()
    }
}

/// A name that is a DNS label and is not part of the names that choose a cluster.
fn check_name(name: &str) -> Result<(), String> {
    match name {
        "api" | "kube-fed" => Err("the name is reserved: hosts are called api.<cluster>.kube-fed".to_owned()),
        _ if is_dns_label(name) => Ok(()),
        _ => Err("the name must be lower-case letters, digits and dashes, at most 63".to_owned()),
    }
}

/// A URL that something is appended to.
pub(crate) fn check_url(member: &str, url: &str, plain_http: bool) -> Result<(), String> {
    check_keys_url(member, url, plain_http)?;
    if url.contains('?') { Err(format!("{member} {} has a query", quoted(url))) } else { Ok(()) }
}

/// The same for the URL of keys, to which nothing is added: it may have a query.
pub(crate) fn check_keys_url(member: &str, url: &str, plain_http: bool) -> Result<(), String> {
    let shown = quoted(url);
    let origin = url.parse::<Uri>().ok().filter(|url| Origin::of(url).is_ok());
    let Some(parsed) = origin.filter(|_| !url.contains('#')) else {
        return Err(format!("{member} {shown} is not an https URL"));
    };
    if parsed.scheme_str() == Some("http") && !plain_http {
        return Err(format!("{member} {shown} is not https; plain_http: true allows it"));
    }
    Ok(())
}

/// The issuers of `issuer` or of `issuers`, of which there must be one.
pub(crate) fn issuers(one: Option<String>, several: Option<Vec<String>>) -> Result<Vec<String>, String> {
    let issuers = match (one, several) {
        (Some(_), Some(_)) => return Err("give issuer or issuers, not both".to_owned()),
        (Some(one), None) => vec![one],
        (None, several) => several.unwrap_or_default(),
    };
    if issuers.is_empty() || issuers.iter().any(String::is_empty) {
        return Err("issuer is required".to_owned());
    }
    let twice = issuers.iter().enumerate().find(|(index, issuer)| issuers[..*index].contains(issuer));
    match twice {
        Some((_, issuer)) => Err(format!("issuers: {} is there twice", quoted(issuer))),
        None => Ok(issuers),
    }
}

#[cfg(test)]
mod tests;
