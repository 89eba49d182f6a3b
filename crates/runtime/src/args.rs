//! Flags that services share, and how a command line is read.
//!
//! Every flag also has an environment name, `PORTOLAN_<SERVICE>_<FLAG>`. A mistake ends the process with one
//! line and exit code 64 (`EX_USAGE`).

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Command, CommandFactory, FromArgMatches, ValueEnum, error::ErrorKind};
use rand::RngExt as _;

/// Exit code of a process that was configured wrongly (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Flags of the log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Level of the log, or tracing directives such as `info,portolan_konnector=debug`.
    #[arg(long, default_value = "info", value_name = "FILTER", global = true)]
    pub log_level: String,
    /// One line of text, or one JSON object, per event.
    #[arg(long, default_value = "text", value_enum, alias = "logging-format", global = true)]
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

/// Flags of the port for metrics and health.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Admin port")]
pub struct AdminArgs {
    /// Address of `/metrics`, `/livez` and `/readyz`.
    #[arg(long, default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
}

/// Flags for the shutdown of a service that clients call.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Shutdown")]
pub struct DrainArgs {
    /// How long to continue to serve after SIGTERM, not ready any more, so that clients learn of the end first.
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = span)]
    pub drain_delay: Duration,
}

/// Flags that choose the cluster.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct ClientArgs {
    /// Path of a kubeconfig. Without it: KUBECONFIG, then the pod's own account, then ~/.kube/config.
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use instead of its current one.
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

/// Identity of the pod. Set by the Deployment from the pod's own fields.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Pod")]
pub struct PodArgs {
    /// Name of the pod: the identity in the lease.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Namespace of the release.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", global = true)]
    pub pod_namespace: Option<String>,
}

impl PodArgs {
    /// Names this process among its replicas: the name of the pod, or outside of one a random name.
    pub fn instance(&self) -> String {
        let name = self.pod_name.clone().filter(|name| !name.is_empty());
        name.unwrap_or_else(|| format!("portolan-{:016x}", rand::rng().random::<u64>()))
    }
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
/// # Examples
///
/// ```
/// use clap::Parser;
/// use portolan_runtime::args::{self, LogArgs};
///
/// #[derive(Parser)]
/// struct HelloArgs {
///     #[command(flatten)]
///     log: LogArgs,
/// }
///
/// let args: HelloArgs = args::parse_from("hello", ["hello", "--log-level=debug"]).expect("a good command line");
/// assert_eq!(args.log.log_level, "debug");
/// ```
///
/// # Errors
/// As [`parse`].
pub fn parse_from<A: CommandFactory + FromArgMatches>(
    service: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
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

/// Arguments in which Go's spelling of a long flag of `command`, `-name` or `-name=value`, is changed into
/// `--name`. Values stay as they are.
pub fn go_style(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut changed: Vec<OsString> = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        let flag = argument.to_str().filter(|_| !is_value).and_then(|text| text.strip_prefix('-'));
        let dashed = flag.map(|text| text.strip_prefix('-').unwrap_or(text));
        let name = dashed.map(|text| text.split_once('=').map_or(text, |(name, _)| name));
        let known = name.and_then(|name| command.get_arguments().find(|arg| arg.get_long() == Some(name)));
        is_value = known.is_some_and(|arg| arg.get_action().takes_values())
            && dashed.is_some_and(|text| !text.contains('='));
        changed.push(match (known, dashed) {
            (Some(_), Some(text)) => format!("--{text}").into(),
            _ => argument,
        });
    }
    changed
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

/// Reads a duration such as `15s`, `1m30s` or `500ms`. Zero and less make no sense for an interval.
///
/// # Errors
/// One line for the command line.
pub fn interval(text: &str) -> Result<Duration, String> {
    let duration =
        duration(text).ok_or_else(|| format!("{text:?} is not a duration such as 15s or 1m30s"))?;
    if duration.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(duration) }
}

/// Reads a duration that may be zero.
///
/// # Errors
/// One line for the command line.
fn span(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| format!("{text:?} is not a duration such as 5s, or 0"))
}

/// Reads an address such as `0.0.0.0:8090`, or `:8090` for all interfaces.
///
/// # Errors
/// One line for the command line.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is not an address such as 0.0.0.0:8090 or :8090"))
}

fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Some(total);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        // Some are written by whoever may annotate an object: a sum that is too large is an error like any other.
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &after[unit..];
    }
    (!text.trim().is_empty()).then_some(total)
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
        let has = |flag: &str, env: &str| names.iter().any(|(f, e)| f == flag && e == env);
        assert!(has("log-level", "PORTOLAN_TOKEN_SERVICE_LOG_LEVEL"), "{names:?}");
        assert!(has("admin-address", "PORTOLAN_TOKEN_SERVICE_ADMIN_ADDRESS"), "{names:?}");
        assert!(has("pod-name", "POD_NAME"), "{names:?}");
    }

    #[test]
    fn a_mistake_is_a_usage_error_and_help_is_not() {
        let code = |arguments: &[&str]| parse_from::<Sample>("x", arguments.to_vec()).unwrap_err();
        assert_eq!(code(&["x", "--admin-address", "nowhere"]), ExitCode::from(EXIT_USAGE));
        assert_eq!(code(&["x", "--help"]), ExitCode::SUCCESS);
    }

    #[test]
    fn one_dash_is_as_good_as_two_and_values_stay() {
        let words = ["-log-level", "-admin-address", "--pod-name=-x", "-admin-address=1.2.3.4:5", "-v", "-"];
        let changed = go_style(&Sample::command(), words.map(OsString::from));
        let expected =
            ["--log-level", "-admin-address", "--pod-name=-x", "--admin-address=1.2.3.4:5", "-v", "-"];
        assert_eq!(changed, expected.map(OsString::from));
    }

    #[test]
    fn a_process_without_a_pod_has_a_name_too() {
        let named = |name: Option<&str>| PodArgs { pod_name: name.map(str::to_owned), pod_namespace: None };
        assert_eq!(named(Some("service-0")).instance(), "service-0");
        for nameless in [named(None), named(Some(""))] {
            let name = nameless.instance();
            let digits = name.strip_prefix("portolan-").unwrap();
            assert!(digits.len() == 16 && digits.chars().all(|digit| digit.is_ascii_hexdigit()), "{name}");
            assert_ne!(name, nameless.instance());
        }
    }

    #[test]
    fn intervals_are_written_as_people_write_them() {
        let table = [
            ("15s", Some(Duration::from_secs(15))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("1.5h", Some(Duration::from_secs(5400))),
            ("0", None),
            ("0s", None),
            ("-1s", None),
            ("15", None),
            ("10000000000000000000s", Some(Duration::from_secs(10_000_000_000_000_000_000))),
            ("10000000000000000000s10000000000000000000s", None),
            ("99999999999999999999h", None),
            ("", None),
            ("s", None),
        ];
        for (text, expected) in table {
            assert_eq!(interval(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_port_alone_means_all_interfaces() {
        assert_eq!(listen_address(":8090").unwrap().to_string(), "0.0.0.0:8090");
        assert_eq!(listen_address("[::1]:1").unwrap().to_string(), "[::1]:1");
        assert!(listen_address("8090").is_err());
    }
}
