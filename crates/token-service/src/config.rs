//! The configuration: which clusters there are, how their tokens are checked, and who may ask.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use portolan_core::names::is_dns_label;
use portolan_runtime::{
    config::{self, ConfigError, issuer::VerificationMode},
    fetch::NamedAddress,
};
use serde::Deserialize;

use crate::mapping::IdentityMapping;

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    pub clusters: BTreeMap<String, Arc<ClusterConfig>>,
    pub renewal: Renewal,
    pub routes: Vec<Arc<IdentityMapping>>,
    pub callers: Vec<Arc<CallerConfig>>,
    /// Hosts whose questions are answered by the cluster that has the token's key; none means never.
    pub auto: Option<BTreeSet<String>>,
    pub v1: V1,
    pub rate_limits: RateLimits,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    pub name: String,
    /// Names of the issuer: one, or during a change the new and the old one.
    pub issuers: Vec<String>,
    pub api_server: Option<String>,
    pub ca_cert: Option<PathBuf>,
    pub token_path: Option<PathBuf>,
    pub jwks_uri: Option<String>,
    pub mode: VerificationMode,
    pub on_outage: OnOutage,
    /// Time for which the keys may decide alone while the API server does not answer.
    pub accept_for: Duration,
    /// Whom a token must be for when the question does not say. None: the cluster's own default.
    pub audiences: Option<Vec<String>>,
    pub allow_addresses: Vec<NamedAddress>,
    pub plain_http: bool,
    pub require_key_id: bool,
    pub leeway: SignedDuration,
    pub cache_for: Duration,
    pub cooldown: Duration,
    pub refresh_every: Duration,
}

impl ClusterConfig {
    /// The current name of the issuer, or the one after a change.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }
}

/// Policies of `hybrid` for an API server that does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// Nothing is accepted.
    #[default]
    Deny,
    /// The keys decide, as long as `acceptFor` says.
    Accept,
}

/// Settings for the renewal of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    pub interval: Duration,
    pub token_duration: Duration,
    pub renew_before: Duration,
}

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerConfig {
    pub name: String,
    pub proof: CallerProof,
    /// None means every cluster.
    pub clusters: Option<BTreeSet<String>>,
}

/// The ways in which a caller proves its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerProof {
    /// By a client certificate with this common name.
    Certificate(String),
    /// By a token of a `ServiceAccount` of a cluster, for this audience.
    ServiceAccount { cluster: String, username: String, audience: String },
}

/// The old API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V1 {
    pub enabled: bool,
    pub deprecated_since: i64,
    pub sunset: Option<String>,
    pub link: String,
}

/// Questions per second; none means as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub per_cluster: Option<u32>,
    pub per_caller: Option<u32>,
}

impl ServiceConfig {
    pub async fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&config::read(path).await?)
    }

    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        config::parse::<file::File>(text)?.check()
    }

    /// Every file that the configuration names.
    pub fn files(&self) -> Vec<PathBuf> {
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

#[cfg(test)]
mod tests;
