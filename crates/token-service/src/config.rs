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
pub(crate) struct ServiceConfig {
    pub(crate) clusters: BTreeMap<String, Arc<ClusterConfig>>,
    pub(crate) renewal: Renewal,
    pub(crate) routes: Vec<Arc<IdentityMapping>>,
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
    /// Names of the issuer: one, or during a change the new and the old one.
    pub(crate) issuers: Vec<String>,
    pub(crate) api_server: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) token_path: Option<PathBuf>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) mode: VerificationMode,
    pub(crate) on_outage: OnOutage,
    /// Time for which the keys may decide alone while the API server does not answer.
    pub(crate) accept_for: Duration,
    /// Whom a token must be for when the question does not say. None: the cluster's own default.
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) allow_addresses: Vec<NamedAddress>,
    pub(crate) plain_http: bool,
    pub(crate) require_key_id: bool,
    pub(crate) leeway: SignedDuration,
    pub(crate) cache_for: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) refresh_every: Duration,
}

impl ClusterConfig {
    /// The current name of the issuer, or the one after a change.
    pub(crate) fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }
}

/// Policies of `hybrid` for an API server that does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnOutage {
    /// Nothing is accepted.
    #[default]
    Deny,
    /// The keys decide, as long as `acceptFor` says.
    Accept,
}

/// Settings for the renewal of credentials.
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
    pub(crate) proof: CallerProof,
    /// None means every cluster.
    pub(crate) clusters: Option<BTreeSet<String>>,
}

/// The ways in which a caller proves its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallerProof {
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

impl ServiceConfig {
    pub(crate) async fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&config::read(path).await?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        config::parse::<file::File>(text)?.check()
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

#[cfg(test)]
mod tests;
