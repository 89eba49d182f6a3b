//! The parts of the configuration besides the clusters, as they are written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use portolan_runtime::args::interval;
use serde::Deserialize;

use crate::{
    config::{CallerConfig, CallerProof, ClusterConfig, RateLimits, Renewal, V1},
    host,
    mapping::{IdentityMapping, MappingMatcher},
};

/// TokenRequest gives no shorter token.
const MIN_TOKEN_DURATION: Duration = Duration::from_secs(600);
/// 2026-11-01, when the old API was deprecated.
const DEPRECATED_SINCE: i64 = 1_793_491_200;

/// A year later it may go.
const SUNSET: &str = "2027-11-01T00:00:00Z";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewalFile {
    interval: Option<String>,
    token_duration: Option<String>,
    renew_before: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RouteFile {
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
pub(super) struct CallerFile {
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
pub(super) struct AutoFile {
    #[serde(default)]
    hosts: Vec<String>,
}

impl AutoFile {
    /// The hosts for which the cluster is chosen by the token.
    pub(super) fn check(self) -> Result<BTreeSet<String>, String> {
        self.hosts.iter().map(|host| normal(host)).collect()
    }
}

/// A host as questions name it: without port, in lower case.
fn normal(host: &str) -> Result<String, String> {
    host::normalized(host).ok_or_else(|| format!("{host:?} is not a host name"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct V1File {
    enabled: bool,
    sunset: Option<String>,
    link: String,
}

impl Default for V1File {
    fn default() -> Self {
        Self {
            enabled: true,
            sunset: Some(SUNSET.to_owned()),
            link: "/apis/authentication.k8s.io/v1/tokenreviews".to_owned(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitsFile {
    #[serde(rename = "perCluster", alias = "per_cluster")]
    per_cluster: Option<u32>,
    #[serde(rename = "perCaller", alias = "per_caller")]
    per_caller: Option<u32>,
}

impl RenewalFile {
    pub(super) fn check(self) -> Result<Renewal, String> {
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
    pub(super) fn check(self) -> Result<IdentityMapping, String> {
        let matcher = match (self.host, self.path, self.caller) {
            (Some(host), None, None) => MappingMatcher::Host(normal(&host)?),
            // Paths are compared as they are decoded, so such a route would be for nobody.
            (None, Some(path), None) if path.contains('%') => {
                return Err("path must be written without %".to_owned());
            }
            (None, Some(path), None) if path.starts_with('/') => {
                MappingMatcher::Path(path.trim_end_matches('/').to_owned())
            }
            (None, None, Some(caller)) => MappingMatcher::Caller(caller),
            (None, Some(_), None) => return Err("path must start with /".to_owned()),
            _ => return Err("exactly one of host, path and caller is needed".to_owned()),
        };
        if self.username_prefix.starts_with("system:") {
            return Err("usernamePrefix must not start with system:, which is Kubernetes' own".to_owned());
        }
        Ok(IdentityMapping {
            matcher,
            username_prefix: self.username_prefix,
            groups: self.groups,
            extra: self.extra,
        })
    }
}

impl CallerFile {
    pub(super) fn check(
        self,
        clusters: &BTreeMap<String, Arc<ClusterConfig>>,
    ) -> Result<CallerConfig, String> {
        let known = |name: &String| {
            let there = name == "*" || clusters.contains_key(name);
            there.then_some(()).ok_or_else(|| format!("there is no cluster {name:?}"))
        };
        self.clusters.iter().try_for_each(known)?;
        let proof = match (self.certificate, self.service_account) {
            (Some(certificate), None) => CallerProof::Certificate(certificate.common_name),
            (None, Some(account)) if account.cluster == "*" => {
                return Err("serviceAccount: cluster must be one cluster, not \"*\"".to_owned());
            }
            (None, Some(account)) => {
                known(&account.cluster)?;
                let username = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
                CallerProof::ServiceAccount { cluster: account.cluster, username, audience: account.audience }
            }
            _ => return Err("exactly one of certificate and serviceAccount is needed".to_owned()),
        };
        let every = self.clusters.iter().any(|name| name == "*");
        let clusters = (!every).then(|| self.clusters.into_iter().collect());
        Ok(CallerConfig { name: self.name, proof, clusters })
    }
}

impl V1File {
    pub(super) fn check(self) -> Result<V1, String> {
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
    pub(super) fn check(self) -> Result<RateLimits, String> {
        if self.per_cluster == Some(0) || self.per_caller == Some(0) {
            return Err("0 would refuse everything; leave the limit out instead".to_owned());
        }
        Ok(RateLimits { per_cluster: self.per_cluster, per_caller: self.per_caller })
    }
}
