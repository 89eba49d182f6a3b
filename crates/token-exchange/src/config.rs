//! The configuration of the exchange: whose tokens are exchanged, for accounts of which namespaces.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use portolan_runtime::{
    config::{self, ConfigError, issuer::VerificationMode},
    fetch::NamedAddress,
};

use crate::binding::ANY;

/// Default path of the configuration. The file may be absent.
pub const DEFAULT_CONFIG: &str = "config/exchange.yaml";
/// Whom a source token must be for when the configuration does not say.
pub const AUDIENCE: &str = "portolan-token-exchange";
/// Never among "every namespace".
pub const KUBE_SYSTEM: &str = "kube-system";

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// Whom a source token must be for; `*` is anybody.
    pub audiences: Vec<String>,
    /// By the first of their names.
    pub issuers: BTreeMap<String, Arc<IssuerConfig>>,
    /// `true` if annotations may name issuers that are not listed.
    pub any_issuer: bool,
    /// Namespaces whose accounts can be had; `*` is every one but `kube-system`.
    pub namespaces: BTreeSet<String>,
    pub rates: RateLimits,
}

/// One issuer whose tokens are exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Names of the issuer: one, or during a change the new and the old one.
    pub issuers: Vec<String>,
    pub api_server: Option<String>,
    pub ca_cert: Option<PathBuf>,
    pub token_path: Option<PathBuf>,
    pub jwks_uri: Option<String>,
    /// Instead of those of the service.
    pub audiences: Option<Vec<String>>,
    pub max_source_lifetime: Duration,
    pub allow_addresses: Vec<NamedAddress>,
    pub plain_http: bool,
    pub require_key_id: bool,
    /// With its keys, or, where it is a cluster, by its API server too.
    pub mode: VerificationMode,
    pub leeway: SignedDuration,
    pub cooldown: Duration,
    pub refresh_every: Duration,
}

/// Exchanges per second; none means as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as they are written: perCaller, perIssuer, perAddress")]
pub struct RateLimits {
    pub per_caller: Option<u32>,
    pub per_issuer: Option<u32>,
    pub per_address: Option<u32>,
}

impl ExchangeConfig {
    /// Reads a file.
    pub async fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&config::read(path).await?)
    }

    /// The file that was named, or, where nobody named one and there is none, the defaults.
    pub async fn read_or_default(path: &Path) -> Result<Self, ConfigError> {
        let default = path.as_os_str() == DEFAULT_CONFIG;
        if default && !tokio::fs::try_exists(path).await.unwrap_or(false) {
            return Ok(Self::empty());
        }
        Self::read(path).await
    }

    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        config::parse::<file::File>(text)?.check()
    }

    /// The configuration without a file: nobody may exchange anything.
    pub fn empty() -> Self {
        let Ok(config) = file::File::default().check() else { unreachable!("the defaults are sound") };
        config
    }

    /// Whom a token of an issuer must be for.
    pub fn audiences_of<'a>(&'a self, issuer: &'a IssuerConfig) -> &'a [String] {
        issuer.audiences.as_ref().unwrap_or(&self.audiences)
    }

    /// Returns `true` if accounts of a namespace can be had.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        let every = self.namespaces.contains(ANY) && namespace != KUBE_SYSTEM;
        every || self.namespaces.contains(namespace)
    }

    /// Every file that the configuration names.
    pub fn files(&self) -> Vec<PathBuf> {
        self.issuers.values().filter_map(|issuer| issuer.ca_cert.clone()).collect()
    }

    /// Warnings for an operator about this configuration. `own` is the issuer of the target cluster.
    pub fn warnings(&self, own: Option<&str>) -> Vec<String> {
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
        let has = |own: &str| self.issuers.values().any(|issuer| issuer.has_name(own));
        if own.is_some_and(has) {
            warn(
                "the issuer of this cluster itself is listed, so chains are possible: a token that is given here may \
                 be exchanged here again, each time for a new lifetime"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl IssuerConfig {
    /// The current name of the issuer, or the one after a change.
    pub fn name(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// Returns `true` if the issuer has this name, byte for byte.
    pub fn has_name(&self, name: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer == name)
    }

    /// An issuer that only an annotation names.
    pub fn unlisted(issuer: &str) -> Result<Self, String> {
        file::IssuerFile::named(issuer).check()
    }
}

#[cfg(test)]
mod tests;
