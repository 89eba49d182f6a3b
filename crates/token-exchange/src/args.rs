//! The command line of the exchange, under its own name and under the one that its clients know.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, DrainArgs, LogArgs, PodArgs, go_style, parse_from},
    check::CheckArgs,
    config::ConfigError,
    tls::TlsArgs,
};

use crate::config::{DEFAULT_CONFIG, ExchangeConfig};

const DEFAULT_PORT: u16 = 8088;
/// The name that clients know.
const ORIGINAL_NAME: &str = "kfca";
/// The prefix of flags' environment names: that of the program which this once was a part of.
const ENVIRONMENT: &str = "token-service";

/// Exchanges tokens of other issuers for tokens of service accounts of this cluster.
#[derive(Parser, Clone, Debug)]
#[command(name = "token-exchange", version)]
pub struct ExchangeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// File with issuers, namespaces and audiences. It is read again when it changes.
    #[arg(long, env = "CONFIG_PATH", default_value = DEFAULT_CONFIG, value_name = "FILE", global = true)]
    pub config: PathBuf,
    /// Address that the exchange listens on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "ADDRESS", value_parser = address)]
    pub http_addr: IpAddr,
    /// Port that the exchange listens on.
    #[arg(long, default_value_t = DEFAULT_PORT, value_name = "PORT")]
    pub http_port: u16,
    /// Serve plain HTTP, behind something that terminates TLS.
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub plain_http: bool,
    /// Started under its other name, which serves plain HTTP unless a flag says otherwise.
    #[arg(long, hide = true)]
    pub original_name: bool,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) drain: DrainArgs,
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Checks the configuration and everything that it names.
    Check(CheckArgs),
    /// Says whether a token would be exchanged for one of an account, and which rule decides. The token comes from
    /// standard input and is not printed; none is made.
    Explain(ExplainArgs),
}

/// Flags of `explain`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ExplainArgs {
    /// Namespace of the account whose token would be asked for.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: String,
    /// That account.
    #[arg(long, value_name = "NAME")]
    pub service_account: String,
}

/// An address; an empty one means all addresses, as in Go.
fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => {
            text.parse().map_err(|_| "give an IP address, localhost, or nothing for all addresses".to_owned())
        }
    }
}

impl ExchangeArgs {
    /// Reads the command line, or says what is wrong with it.
    ///
    /// # Errors
    /// The exit code of the process.
    pub fn read() -> Result<Self, ExitCode> {
        parse_from(ENVIRONMENT, translated(std::env::args_os().collect()))
    }

    /// Flags of the admin port. Under the old name the port is left to the exchange, whose clients may know it at any
    /// port.
    pub fn admin(&self) -> AdminArgs {
        let mut admin = self.admin.clone();
        if self.original_name && admin.admin_address.port() == self.http_port {
            admin.admin_address.set_port(self.http_port.checked_add(1).unwrap_or(DEFAULT_PORT));
        }
        admin
    }

    /// The configuration, as the exchange reads it.
    pub async fn configuration(&self) -> Result<ExchangeConfig, ConfigError> {
        ExchangeConfig::read_or_default(&self.config).await
    }

    pub(crate) fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.http_addr, self.http_port)
    }

    pub(crate) fn knows_its_transport(&self) -> bool {
        self.tls.tls_cert_file.is_some() || self.plain_http || self.original_name
    }
}

/// The arguments as they are, or, for a program that is called `kfca`, with one dash or two before each name.
fn translated(arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_none_or(|name| name != ORIGINAL_NAME) {
        return arguments;
    }
    let (program, rest) = arguments.split_at(1);
    let renamed = [program, &["--original-name".into()]].concat();
    renamed.into_iter().chain(go_style(&ExchangeArgs::command(), rest.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> ExchangeArgs {
        let arguments = translated(arguments.iter().map(OsString::from).collect());
        parse_from(ENVIRONMENT, arguments).unwrap()
    }

    #[test]
    fn the_flags_of_the_document_work() {
        let bare = parse(&["/tmp/kfca"]);
        assert_eq!(bare.listen_address().to_string(), "0.0.0.0:8088");
        assert!(bare.knows_its_transport());
        for flags in [
            ["kfca", "-http-addr", "127.0.0.1", "-http-port", "9090"],
            ["kfca", "--http-addr", "127.0.0.1", "--http-port", "9090"],
        ] {
            let parsed = parse(&flags);
            assert_eq!(parsed.listen_address().to_string(), "127.0.0.1:9090");
            assert_eq!(parsed.admin().admin_address.port(), 9091, "metrics give way");
        }
        assert_eq!(bare.admin().admin_address.port(), 9090);
        for (text, listens) in [("localhost", "127.0.0.1:8088"), ("", "0.0.0.0:8088")] {
            assert_eq!(parse(&["kfca", "-http-addr", text]).listen_address().to_string(), listens);
        }
        let joined = parse(&["kfca", "-http-addr=::1", "-http-port=1", "-log-level", "debug"]);
        assert_eq!(
            (joined.listen_address().to_string(), joined.log.log_level.as_str()),
            ("[::1]:1".to_owned(), "debug")
        );
    }

    #[test]
    fn commands_take_the_configuration_under_both_names() {
        let table: [&[&str]; 4] = [
            &["token-exchange", "--config", "c", "check"],
            &["token-exchange", "check", "--config", "c", "-o", "json"],
            &["kfca", "check", "--config", "c"],
            &["kfca", "--config", "c", "check"],
        ];
        for line in table {
            let args = parse(line);
            assert_eq!(args.config, PathBuf::from("c"), "{line:?}");
            assert!(matches!(args.command, Some(Command::Check(_))), "{line:?}");
        }
        let line = ["kfca", "explain", "--namespace", "n", "--service-account", "a", "--config", "c"];
        let Some(Command::Explain(explain)) = parse(&line).command else { panic!("it is explain") };
        assert_eq!((explain.namespace.as_str(), explain.service_account.as_str()), ("n", "a"));
        assert!(parse(&["kfca"]).command.is_none());
    }

    #[test]
    fn the_exchange_has_a_configuration_of_its_own_and_asks_for_tls() {
        let exchange = parse(&["token-exchange"]);
        assert_eq!(exchange.config, PathBuf::from(DEFAULT_CONFIG));
        assert!(!exchange.knows_its_transport());
        let named = parse(&["token-exchange", "--config", "x", "--plain-http"]);
        assert_eq!(named.config, PathBuf::from("x"));
        assert!(named.knows_its_transport());
    }
}
