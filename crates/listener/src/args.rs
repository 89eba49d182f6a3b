//! The listener's command line.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand, builder::BoolishValueParser};
use portolan_core::names::is_dns_label;
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, DrainArgs, LogArgs, PodArgs, listen_address},
    check::CheckArgs,
    install::InstallArgs,
    lease::LeaseArgs,
    tls::TlsArgs,
};

const MIB: usize = 1024 * 1024;

/// Turns ClusterAccess objects into schema documents for gateways.
#[derive(Parser, Clone, Debug)]
#[command(name = "listener", version)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) listener: ListenerArgs,
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Checks everything that the listener needs, and every ClusterAccess, with a cure for each thing that is wrong.
    Check(CheckArgs),
}

/// Flags of the listener.
#[derive(ClapArgs, Clone, Debug)]
pub struct ListenerArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(flatten)]
    pub pod: PodArgs,
    #[command(flatten)]
    pub lease: LeaseArgs,
    #[command(flatten)]
    pub log: LogArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
    #[command(flatten)]
    pub install: InstallArgs,
    /// Serve the clusters of ClusterAccess objects. If false, the cluster of KUBECONFIG itself.
    #[arg(long, env = "MULTICLUSTER", default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub multicluster: bool,
    /// Must be false: kcp is not supported.
    #[arg(long, env = "ENABLE_KCP", default_value = "false", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub enable_kcp: bool,
    /// Path of the single cluster with --multicluster=false.
    #[arg(long, default_value = "single", value_name = "NAME")]
    pub single_path: String,
    /// Directory that documents are written to. If empty, none are.
    #[arg(long, default_value = "definitions", value_name = "DIRECTORY")]
    pub definitions_dir: String,
    /// Namespaces whose Secrets, ConfigMaps and service accounts may be referred to; by default `default` and the pod's
    /// own.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = namespace, global = true)]
    pub secret_namespaces: Vec<String>,
    /// Limit for the schema of one group-version, in MiB; all of a cluster together may have four times as much.
    #[arg(long, default_value_t = 32, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub max_schema_mib: u32,
    #[command(flatten)]
    pub stream: StreamArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Flags of the stream for gateways that run elsewhere.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Stream")]
pub struct StreamArgs {
    /// Address at which documents are served over HTTPS, such as :8443. If left out, they are not.
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub stream_address: Option<SocketAddr>,
    /// Serve plain HTTP, behind something that terminates TLS.
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub plain_http: bool,
    /// Service accounts of gateways, as NAMESPACE/NAME.
    #[arg(long, value_name = "ACCOUNTS", value_delimiter = ',', value_parser = account)]
    pub gateway_accounts: Vec<String>,
    /// Audience that the tokens of gateways must have.
    #[arg(long, default_value = "portolan-listener", value_name = "AUDIENCE")]
    pub stream_audience: String,
    /// Endpoint that reviews the tokens of gateways, such as `https://api.app1.kube-fed.svc.cluster.local`; by default
    /// the cluster's own API server.
    #[arg(long, env = "TOKENREVIEW_ENDPOINT", value_name = "URL")]
    pub tokenreview_endpoint: Option<String>,
    /// PEM file with the authorities of that endpoint.
    #[arg(long, value_name = "FILE", requires = "tokenreview_endpoint")]
    pub tokenreview_ca_file: Option<PathBuf>,
}

impl ListenerArgs {
    /// The mistake that keeps the listener from starting, if there is one.
    pub fn mistake(&self) -> Option<FlagMistake> {
        let streams = self.stream.stream_address.is_some();
        let path = portolan_core::api::gateway::check_path(&self.single_path);
        match path {
            _ if self.enable_kcp => Some(FlagMistake::Kcp),
            Err(error) => Some(FlagMistake::Path(error.to_string())),
            Ok(()) if streams && self.tls.tls_cert_file.is_none() && !self.stream.plain_http => {
                Some(FlagMistake::NoTls)
            }
            Ok(()) if streams && self.stream.gateway_accounts.is_empty() => Some(FlagMistake::NoAccounts),
            Ok(()) if !streams && self.directory().is_none() => Some(FlagMistake::Nowhere),
            Ok(()) => None,
        }
    }

    pub fn directory(&self) -> Option<PathBuf> {
        (!self.definitions_dir.is_empty()).then(|| PathBuf::from(&self.definitions_dir))
    }

    pub fn allowed_namespaces(&self) -> BTreeSet<String> {
        if !self.secret_namespaces.is_empty() {
            return self.secret_namespaces.iter().cloned().collect();
        }
        let own = self.pod.pod_namespace.clone();
        own.into_iter().chain(["default".to_owned()]).collect()
    }

    pub fn max_schema_bytes(&self) -> usize {
        usize::try_from(self.max_schema_mib).unwrap_or(usize::MAX).saturating_mul(MIB)
    }
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagMistake {
    #[error(
        "ENABLE_KCP=true: kcp is not supported; set ENABLE_KCP=false and make a ClusterAccess for each cluster"
    )]
    Kcp,
    #[error("--single-path: {0}")]
    Path(String),
    #[error(
        "--stream-address: give --tls-cert-file and --tls-key-file, or --plain-http where something else terminates TLS"
    )]
    NoTls,
    #[error("--stream-address: give --gateway-accounts, since nobody could read the documents")]
    NoAccounts,
    #[error("documents go nowhere: give --definitions-dir, --stream-address, or both")]
    Nowhere,
}

fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a namespace"))
    }
}

fn account(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_dns_label(namespace) && !name.is_empty() && !name.contains('/') => {
            Ok(format!("system:serviceaccount:{namespace}:{name}"))
        }
        _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
    }
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    fn args(flags: &[&str]) -> ListenerArgs {
        let line = ["listener"].iter().chain(flags).copied();
        parse_from::<Args>("listener", line).unwrap().listener
    }

    #[test]
    fn the_document_needs_no_flags() {
        let args = args(&[]);
        assert!(args.multicluster && !args.enable_kcp);
        assert_eq!((args.mistake(), args.directory()), (None, Some(PathBuf::from("definitions"))));
        assert_eq!(args.allowed_namespaces(), BTreeSet::from(["default".to_owned()]));
    }

    #[test]
    fn what_makes_no_sense_is_said_in_one_line() {
        let table: [(&[&str], FlagMistake); 4] = [
            (&["--enable-kcp=true"], FlagMistake::Kcp),
            (&["--definitions-dir="], FlagMistake::Nowhere),
            (&["--stream-address=:8443"], FlagMistake::NoTls),
            (&["--stream-address=:8443", "--plain-http"], FlagMistake::NoAccounts),
        ];
        for (flags, expected) in table {
            assert_eq!(args(flags).mistake(), Some(expected), "{flags:?}");
        }
        assert!(matches!(args(&["--single-path=a/b"]).mistake(), Some(FlagMistake::Path(_))));
        let sound = args(&["--stream-address=:8443", "--plain-http", "--gateway-accounts=a/b,c/d"]);
        assert_eq!(sound.mistake(), None);
        assert_eq!(sound.stream.gateway_accounts, ["system:serviceaccount:a:b", "system:serviceaccount:c:d"]);
        assert!(parse_from::<Args>("listener", ["listener", "--gateway-accounts=a"]).is_err());
    }
}
