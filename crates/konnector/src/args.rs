//! The konnector's command line.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use portolan_core::names::is_dns_label;
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, LogArgs, PodArgs, interval, listen_address},
    check::CheckArgs,
    install::InstallArgs,
    lease::LeaseArgs,
};

/// The values of `--accept-claims`.
const CLAIMS: [&str; 5] = ["configmaps", "secrets", "serviceaccounts", "all", "true"];

/// Binds the services of provider clusters and keeps their objects in sync.
#[derive(Parser, Clone, Debug)]
#[command(name = "konnector", version)]
pub struct KonnectorArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
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
    #[command(flatten)]
    pub(crate) install: InstallArgs,
    /// Address of `/healthz`.
    #[arg(long, default_value = ":8090", value_parser = listen_address, value_name = "ADDRESS")]
    pub server_address: SocketAddr,
    /// Interval at which to make sure that a provider still answers. Its changes are watched, and do not wait for
    /// this.
    #[arg(long, default_value = "15s", value_parser = interval, value_name = "DURATION")]
    pub provider_polling_interval: Duration,
    /// Interval of the heartbeat to providers that keep a ClusterBinding.
    #[arg(long, default_value = "5m", value_parser = interval, value_name = "DURATION")]
    pub heartbeat_interval: Duration,
    /// Namespaces whose Secrets may be read; the release's own and `default` when not given.
    #[arg(long, value_delimiter = ',', value_parser = namespace, value_name = "NAMESPACE", global = true)]
    pub secret_namespaces: Vec<String>,
    /// Labels and annotations that go to the provider although keys of their domain stay. `*` stands for any text.
    #[arg(long, value_delimiter = ',', value_name = "KEY")]
    pub allow_keys: Vec<String>,
    /// Labels and annotations that stay. `*` stands for any text.
    #[arg(long, value_delimiter = ',', value_name = "KEY")]
    pub deny_keys: Vec<String>,
    /// Hosts of conversion webhooks that a provider may name in the CRDs it brings; none when not given.
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub allow_conversion_webhooks: Vec<String>,
    /// Claims that are met for every binding; otherwise each bundle or binding agrees by an annotation.
    #[arg(long, value_delimiter = ',', value_parser = CLAIMS, value_name = "RESOURCE")]
    pub accept_claims: Vec<String>,
    /// Make the namespaces that a provider has asked for itself, with APIServiceNamespaces labelled
    /// `kube-bind.io/owner=provider`. They are never deleted.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub create_namespaces: bool,
    /// Treatment of bound objects and their copies when the provider withdraws an export. The annotation
    /// `kube-bind.io/on-withdraw` on a bundle or binding has the last word.
    #[arg(long, default_value = "keep", value_enum, value_name = "WHAT")]
    pub on_withdraw: OnWithdraw,
}

/// Treatment of bound objects and their copies when the provider withdraws an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnWithdraw {
    /// Both stay, and a later binding takes them over.
    #[default]
    Keep,
    /// Both are deleted, the copies as long as the provider still lets us.
    Delete,
}

/// Commands that end by themselves. They work with the rights of whoever runs them.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Checks everything that the konnector needs, with a cure for each thing that is wrong.
    Check(CheckArgs),
    /// Deletes bundles and bindings, and waits until they and everything they brought are gone.
    Drain(DrainArgs),
    /// Gives up a bundle whose provider is gone for good: takes our finalizers off, deletes the bundle and its
    /// bindings, keeps CRDs and objects, and says what is left.
    Release(ReleaseArgs),
    /// Tells beforehand what a change would do.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Deletes the copies that a bundle has left under a contract that it was bound to before.
    DeleteFormer(DeleteFormerArgs),
    /// Lists copies on providers whose objects are not on this cluster any more, as after a backup was restored.
    Orphans(OrphansArgs),
}

/// Flags of `orphans`.
#[derive(ClapArgs, Clone, Debug)]
pub struct OrphansArgs {
    #[command(subcommand)]
    pub action: Option<OrphansCommand>,
    /// One bundle; all of them when not given.
    #[arg(long, value_name = "NAME", global = true)]
    pub bundle: Option<String>,
}

/// The actions on orphans.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum OrphansCommand {
    /// Tells what would be deleted, and asks the provider whether it could be; deletes only with `--yes`.
    Delete {
        /// Delete what the dry run names.
        #[arg(long)]
        yes: bool,
    },
}

/// Flags of `drain`.
#[derive(ClapArgs, Clone, Debug)]
pub struct DrainArgs {
    /// Every bundle, and every binding that was made by hand: before the konnector is uninstalled.
    #[arg(long, required_unless_present = "bundle", conflicts_with = "bundle")]
    pub all: bool,
    /// One bundle.
    #[arg(long, value_name = "NAME")]
    pub bundle: Option<String>,
    /// Time to wait for the end.
    #[arg(long, default_value = "10m", value_parser = interval, value_name = "DURATION")]
    pub timeout: Duration,
}

/// Flags of `release`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ReleaseArgs {
    /// The bundle to give up. It may have been deleted before.
    #[arg(long, value_name = "NAME")]
    pub bundle: String,
}

/// Flags of `delete-former`.
#[derive(ClapArgs, Clone, Debug)]
pub struct DeleteFormerArgs {
    /// The bundle, which is bound to another contract by now.
    #[arg(value_name = "BUNDLE")]
    pub bundle: String,
    /// A kubeconfig that leads to the former contract.
    #[arg(long, value_name = "FILE")]
    pub provider_kubeconfig: PathBuf,
    /// The uid of the former contract's namespace, as `plan former` says it.
    #[arg(long, value_name = "UID")]
    pub contract: String,
}

/// The previews of `plan`.
#[derive(Subcommand, Clone, Debug)]
pub enum PlanCommand {
    /// Shows what deleting a bundle would take away, and where.
    Delete {
        /// The bundle.
        #[arg(value_name = "BUNDLE")]
        bundle: String,
    },
    /// Shows what stands on a provider under a contract that a bundle was, or is, bound to.
    Former {
        /// The bundle.
        #[arg(value_name = "BUNDLE")]
        bundle: String,
        /// A kubeconfig that leads to that contract.
        #[arg(long, value_name = "FILE")]
        provider_kubeconfig: PathBuf,
    },
    /// Shows what would stay, and where, if the provider withdrew everything that a bundle has bound.
    Withdraw {
        /// The bundle.
        #[arg(value_name = "BUNDLE")]
        bundle: String,
    },
}

impl KonnectorArgs {
    pub(crate) fn allowed_secret_namespaces(&self) -> BTreeSet<String> {
        if !self.secret_namespaces.is_empty() {
            return self.secret_namespaces.iter().cloned().collect();
        }
        let release = self.pod.pod_namespace.clone();
        release.into_iter().chain(["default".to_owned()]).collect()
    }
}

fn namespace(text: &str) -> Result<String, &'static str> {
    if is_dns_label(text) { Ok(text.to_owned()) } else { Err("no namespace can have this name") }
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn secrets_are_read_in_the_release_namespace_and_in_default() {
        let allowed = |arguments: &[&str]| {
            let arguments = ["konnector"].iter().chain(arguments).copied();
            parse_from::<KonnectorArgs>("konnector", arguments)
                .unwrap()
                .allowed_secret_namespaces()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(allowed(&["--pod-namespace", "kube-bind"]), ["default", "kube-bind"]);
        assert_eq!(allowed(&["--secret-namespaces", "a,b"]), ["a", "b"]);
    }

    #[test]
    fn names_that_cannot_be_and_an_interval_of_zero_are_usage_errors() {
        for wrong in ["--provider-polling-interval=0", "--lease-name=", "--secret-namespaces=a,Bad_NS"] {
            assert!(parse_from::<KonnectorArgs>("konnector", ["konnector", wrong]).is_err(), "{wrong}");
        }
        assert!(
            parse_from::<KonnectorArgs>("konnector", ["konnector", "--provider-polling-interval=15s"])
                .is_ok()
        );
    }
}
