//! The token service's command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, DrainArgs, LogArgs, PodArgs, parse_from},
    check::CheckArgs,
    lease::LeaseArgs,
    tls::TlsArgs,
};

use crate::{credentials::secret::CredentialSecret, host, moved, names::Names};

const MOVED: &str =
    "Tokens are exchanged by a program of its own, token-exchange; `token-service exchange` starts it.";

/// Answers `TokenReview`s for many clusters.
#[derive(Parser, Clone, Debug)]
#[command(name = "token-service", version, after_help = MOVED)]
pub struct TokenServiceArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

impl TokenServiceArgs {
    /// Reads the command line, or says what is wrong with it. One that asks for the exchange starts that instead.
    ///
    /// # Errors
    /// The exit code of the process.
    pub fn read() -> Result<Self, ExitCode> {
        let line: Vec<_> = std::env::args_os().collect();
        match moved::command_line(&Self::command(), &line) {
            Some(exchange) => Err(moved::start(&exchange)),
            None => parse_from("token-service", line),
        }
    }
}

/// Flags of the service.
#[derive(ClapArgs, Clone, Debug)]
pub struct ServiceArgs {
    /// File with the clusters. It is read again when it changes.
    #[arg(
        long,
        env = "CONFIG_PATH",
        default_value = "config/clusters.yaml",
        value_name = "FILE",
        global = true
    )]
    pub config: PathBuf,
    /// Port of the service, on every address.
    #[arg(long, env = "PORT", default_value_t = 8080, value_name = "PORT")]
    pub port: u16,
    /// Address of the service instead, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    pub address: Option<SocketAddr>,
    /// Serve plain HTTP, behind something that terminates TLS.
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub plain_http: bool,
    /// Namespace of the Secret with renewed credentials; the pod's own by default.
    #[arg(long, env = "NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of that Secret.
    #[arg(long, env = "SECRET_NAME", default_value = "kube-federated-auth", value_name = "NAME")]
    pub secret_name: String,
    /// Keep the names api.CLUSTER.kube-fed.svc in DNS, with Services in our namespace that lead to this Service there.
    #[arg(long, value_name = "SERVICE")]
    pub cluster_names: Option<String>,
    #[command(flatten)]
    pub tls: TlsArgs,
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
}

impl ServiceArgs {
    pub fn listen_address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port))
    }

    /// The Secret that keeps renewed credentials.
    pub fn secret(&self, client: kube::Client) -> CredentialSecret {
        CredentialSecret::new(client, &self.secret_namespace(), &self.secret_name)
    }

    /// The names of clusters that are kept, if any are.
    pub fn names(&self, client: &kube::Client) -> Option<Names> {
        let front = self.cluster_names.as_deref()?;
        Some(Names::new(client, self.pod.pod_namespace.as_deref().unwrap_or(host::NAMESPACE), front))
    }

    pub fn secret_namespace(&self) -> String {
        let namespace = self.namespace.clone().or_else(|| self.pod.pod_namespace.clone());
        namespace.unwrap_or_else(|| "kube-federated-auth".to_owned())
    }
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Says which cluster a token belongs to, and which rule accepts or refuses it. The token comes from
    /// standard input and is not printed.
    Explain(ExplainArgs),
    /// Checks the configuration and everything that it names.
    Check(CheckArgs),
    /// Prints a rule for `CoreDNS` that leads the names of clusters to a Service, without an object for each.
    Dns(DnsArgs),
}

/// Flags of `dns`.
#[derive(ClapArgs, Clone, Debug)]
pub struct DnsArgs {
    /// Service that the names lead to.
    #[arg(long, default_value = "api", value_name = "NAME")]
    pub service: String,
    /// Its namespace.
    #[arg(long, default_value = host::NAMESPACE, value_name = "NAMESPACE")]
    pub namespace: String,
    /// The domain of the cluster.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub zone: String,
}

/// Flags of `explain`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ExplainArgs {
    /// The cluster to ask; by default the one that `auto` would choose.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// An audience that the token must be for. May be repeated.
    #[arg(long = "audience", value_name = "AUDIENCE")]
    pub audiences: Vec<String>,
    /// The host name under which the question would come, for the routes.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The configured caller who would ask, for the routes.
    #[arg(long, value_name = "NAME")]
    pub caller: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_original_work() {
        let args = parse_from::<TokenServiceArgs>(
            "token-service",
            ["token-service", "--config", "c", "--port", "81"],
        )
        .unwrap();
        assert_eq!(args.service.listen_address().to_string(), "0.0.0.0:81");
        assert_eq!(args.service.secret_namespace(), "kube-federated-auth");
        assert!(
            parse_from::<TokenServiceArgs>("token-service", ["token-service", "--tls-cert-file", "c"])
                .is_err()
        );
    }

    #[test]
    fn commands_take_the_configuration_too() {
        let args = ["token-service", "explain", "--config", "c", "--audience", "a", "--audience", "b"];
        let Some(Command::Explain(explain)) =
            parse_from::<TokenServiceArgs>("token-service", args).unwrap().command
        else {
            panic!("it is explain");
        };
        assert_eq!(explain.audiences, ["a", "b"]);
    }
}
