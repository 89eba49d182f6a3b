//! The konnector's command line.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use clap::Parser;
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, LogArgs, PodArgs, interval, listen_address},
    lease::LeaseArgs,
};

/// Binds the services of provider clusters and keeps their objects in sync.
#[derive(Parser, Clone, Debug)]
#[command(name = "konnector", version)]
pub struct Args {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Address of `/healthz`.
    #[arg(long, default_value = ":8090", value_parser = listen_address, value_name = "ADDRESS")]
    pub(crate) server_address: SocketAddr,
    /// How often to make sure that a provider still answers. Its changes are watched, and do not wait for this.
    #[arg(long, default_value = "15s", value_parser = interval, value_name = "DURATION")]
    pub(crate) provider_polling_interval: Duration,
    /// How often to give a sign of life to providers that keep a ClusterBinding.
    #[arg(long, default_value = "5m", value_parser = interval, value_name = "DURATION")]
    pub(crate) heartbeat_interval: Duration,
    /// Namespaces whose Secrets may be read; the release's own and `default` when not given.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE")]
    pub(crate) secret_namespaces: Vec<String>,
    /// Labels and annotations that go to the provider although keys of their domain stay. `*` stands for any text.
    #[arg(long, value_delimiter = ',', value_name = "KEY")]
    pub(crate) allow_keys: Vec<String>,
    /// Labels and annotations that stay. `*` stands for any text.
    #[arg(long, value_delimiter = ',', value_name = "KEY")]
    pub(crate) deny_keys: Vec<String>,
    /// Hosts of conversion webhooks that a provider may name in the CRDs it brings; none when not given.
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub(crate) allow_conversion_webhooks: Vec<String>,
}

impl Args {
    pub(crate) fn allowed_secret_namespaces(&self) -> BTreeSet<String> {
        if !self.secret_namespaces.is_empty() {
            return self.secret_namespaces.iter().cloned().collect();
        }
        let release = self.pod.pod_namespace.clone();
        release.into_iter().chain(["default".to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn secrets_are_read_in_the_release_namespace_and_in_default() {
        let allowed = |arguments: &[&str]| {
            let arguments = ["konnector"].iter().chain(arguments).copied();
            parse_from::<Args>("konnector", arguments)
                .unwrap()
                .allowed_secret_namespaces()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(allowed(&["--pod-namespace", "kube-bind"]), ["default", "kube-bind"]);
        assert_eq!(allowed(&["--secret-namespaces", "a,b"]), ["a", "b"]);
    }

    #[test]
    fn an_interval_of_zero_is_a_usage_error() {
        assert!(parse_from::<Args>("konnector", ["konnector", "--provider-polling-interval=0"]).is_err());
        assert!(parse_from::<Args>("konnector", ["konnector", "--provider-polling-interval=15s"]).is_ok());
    }
}
