//! Flags that services share, and how a command line is read.
//!
//! Every flag also has an environment name, `PORTOLAN_<SERVICE>_<FLAG>`. A mistake ends the process with one
//! line and exit code 64 (`EX_USAGE`).

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Command, CommandFactory, FromArgMatches, ValueEnum, error::ErrorKind};

/// Exit code of a process that was configured wrongly (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// How to log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// What to log: a level, or tracing directives such as `info,portolan_konnector=debug`.
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub log_level: String,
    /// One line of text, or one JSON object, per event.
    #[arg(long, default_value = "text", value_enum, alias = "logging-format")]
    pub log_format: LogFormat,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where metrics and health are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Admin port")]
pub struct AdminArgs {
    /// Address of `/metrics`, `/livez` and `/readyz`.
    #[arg(long, default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
}

/// Which cluster to talk to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct ClientArgs {
    /// Path of a kubeconfig. Without it: KUBECONFIG, then the pod's own account, then ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Who we are inside a cluster. Set by the Deployment from the pod's own fields.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Pod")]
pub struct PodArgs {
    /// Name of the pod: the identity in the lease.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Namespace of the release.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,
}

/// Reads the command line of a service, or says what is wrong with it.
///
/// # Errors
/// The exit code of the process, after help, the version or one clear line has been written.
pub fn parse<A: CommandFactory + FromArgMatches>(service: &str) -> Result<A, ExitCode> {
    parse_from(service, std::env::args_os())
}

/// [`parse`] for arguments given by the caller.
///
/// # Errors
/// As [`parse`].
pub fn parse_from<A: CommandFactory + FromArgMatches>(
    service: &str,
    arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> Result<A, ExitCode> {
    let command = with_environment(A::command(), service);
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| A::from_arg_matches(&matches));
    parsed.map_err(|error| {
        // Nothing can be done about a closed standard error.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(EXIT_USAGE),
        }
    })
}

/// Gives every long flag that has no environment name yet the one that the service's name implies.
pub fn with_environment(command: Command, service: &str) -> Command {
    let prefix = format!("PORTOLAN_{}_", service.to_uppercase().replace('-', "_"));
    command
        .mut_args(|arg| {
            let Some(long) = arg.get_long().map(str::to_owned) else { return arg };
            if arg.get_env().is_some() || matches!(long.as_str(), "help" | "version") {
                return arg;
            }
            arg.env(format!("{prefix}{}", long.to_uppercase().replace('-', "_")))
        })
        .mut_subcommands(|subcommand| with_environment(subcommand, service))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Sample {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        pod: PodArgs,
    }

    #[test]
    fn every_flag_has_an_environment_name() {
        let command = with_environment(Sample::command(), "token-service");
        let names: Vec<_> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_env()?.to_str()?.to_owned())))
            .collect();
        let named = |flag: &str, env: &str| names.iter().any(|(f, e)| f == flag && e == env);
        assert!(named("log-level", "PORTOLAN_TOKEN_SERVICE_LOG_LEVEL"), "{names:?}");
        assert!(named("admin-address", "PORTOLAN_TOKEN_SERVICE_ADMIN_ADDRESS"), "{names:?}");
        assert!(named("pod-name", "POD_NAME"), "{names:?}");
    }

    #[test]
    fn a_mistake_is_a_usage_error_and_help_is_not() {
        let code = |arguments: &[&str]| parse_from::<Sample>("x", arguments.to_vec()).unwrap_err();
        assert_eq!(code(&["x", "--admin-address", "nowhere"]), ExitCode::from(EXIT_USAGE));
        assert_eq!(code(&["x", "--help"]), ExitCode::SUCCESS);
    }
}
