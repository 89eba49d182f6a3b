//! The provider's command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, LogArgs, PodArgs, interval},
    check::CheckArgs,
    install::InstallArgs,
    lease::LeaseArgs,
};

use crate::{
    ignored::IgnoredContent,
    tenancy::{ConsumerScope, IsolationFlag, Tenancy},
};

/// Offers the labelled CRDs of this cluster to consumers, and answers their namespace requests.
#[derive(Parser, Clone, Debug)]
#[command(name = "provider", version)]
pub struct ProviderArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
}

/// Flags of the controllers.
#[derive(ClapArgs, Clone, Debug)]
pub struct ControllerArgs {
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
    pub install: InstallArgs,
    /// The provider's name for people, which consumers see on their bindings.
    #[arg(long, default_value = "Portolan provider", value_name = "TEXT")]
    pub pretty_name: String,
    /// Limit for a consumer's konnector to clean up after a withdrawn export.
    #[arg(long, default_value = "10m", value_parser = interval, value_name = "DURATION")]
    pub drain_limit: Duration,
    /// Isolation of the cluster-scoped copies of several consumers; the annotation kube-bind.io/isolation on a CRD
    /// has the last word.
    #[arg(long, default_value = "prefixed", value_enum, value_name = "WAY")]
    pub isolation: IsolationFlag,
    /// Reach of the consumers' watches; the annotation kube-bind.io/consumer-scope on a CRD has the last word.
    #[arg(long, default_value = "namespaced", value_enum, value_name = "SCOPE")]
    pub consumer_scope: ConsumerScope,
    /// Exports also what consumers share: cluster-scoped kinds, and watches across the cluster. Every consumer can
    /// then read the objects of all others of these kinds.
    #[arg(long)]
    pub allow_shared: bool,
    /// Objects that the platform puts into every namespace, as KIND/NAME with * for any text: they do not keep a
    /// namespace that nobody asks for any more.
    #[arg(long, value_delimiter = ',', value_name = "KIND/NAME")]
    pub ignored_content: Vec<IgnoredContent>,
}

impl ControllerArgs {
    pub fn tenancy(&self) -> Tenancy {
        Tenancy { isolation: self.isolation, scope: self.consumer_scope, allow_shared: self.allow_shared }
    }
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Prints a kubeconfig for a consumer, with only the rights that a konnector needs.
    ///
    /// Makes the contract namespace `kube-bind-<NAME>` with a ServiceAccount and its Role where they are
    /// missing. Each run prints a new token; earlier ones stay valid until they expire.
    Kubeconfig(KubeconfigArgs),
    /// Lists the consumers: when each was heard of last, what it has bound, and when its kubeconfig ends.
    Consumers(ConsumersArgs),
    /// Makes every token of a consumer void, and prints a new kubeconfig for it.
    ///
    /// The account of the consumer is recreated; its rights, exports and objects stay as they are.
    Revoke(RevokeArgs),
    /// Checks everything that the provider needs, and every consumer, with a cure for each thing that is wrong.
    Check(CheckArgs),
}

/// Flags of `provider consumers`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ConsumersArgs {
    /// Format of the list.
    #[arg(short, long, default_value = "table", value_enum)]
    pub output: TableOrJson,
}

/// Forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableOrJson {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For machines.
    Json,
}

/// Flags of `provider revoke`.
#[derive(ClapArgs, Clone, Debug)]
pub struct RevokeArgs {
    /// Name of the consumer.
    #[arg(long, value_name = "NAME")]
    pub consumer: String,
}

/// Flags of `provider kubeconfig`.
#[derive(ClapArgs, Clone, Debug)]
pub struct KubeconfigArgs {
    /// Name of the consumer.
    #[arg(long, value_name = "NAME")]
    pub consumer: String,
    /// URL under which the consumer reaches this cluster's API server; that of our own kubeconfig by default.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// PEM file with the CA of that server; that of our own kubeconfig by default.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Time for which the token is valid. The API server may allow less.
    #[arg(long, default_value = "720h", value_name = "DURATION")]
    pub token_duration: String,
    /// Label selector that chooses which exported CRDs the consumer gets; all of them by default.
    #[arg(long, value_name = "SELECTOR")]
    pub exports: Option<String>,
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn without_a_command_the_controllers_run() {
        let args = parse_from::<ProviderArgs>("provider", ["provider", "--pretty-name", "ACME"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.controller.pretty_name, "ACME");
    }

    #[test]
    fn what_every_namespace_has_is_named_by_kind_and_name() {
        let parse =
            |text: &str| parse_from::<ProviderArgs>("provider", ["provider", "--ignored-content", text]);
        let args = parse("configmaps/istio-*,serviceaccounts/builder").unwrap();
        assert_eq!(args.controller.ignored_content.len(), 2);
        assert!(parse("*/x").is_err());
    }

    #[test]
    fn a_kubeconfig_is_for_a_consumer() {
        assert!(parse_from::<ProviderArgs>("provider", ["provider", "kubeconfig"]).is_err());
        let args =
            parse_from::<ProviderArgs>("provider", ["provider", "kubeconfig", "--consumer", "a"]).unwrap();
        let Some(Command::Kubeconfig(command)) = args.command else { panic!("no command") };
        assert_eq!((command.consumer.as_str(), command.token_duration.as_str()), ("a", "720h"));
    }
}
