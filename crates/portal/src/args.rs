//! The portal's command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use http::Uri;
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, DrainArgs, LogArgs, PodArgs, interval},
    check::CheckArgs,
    fetch::Network,
    tls::TlsArgs,
};

/// Longest life of a session.
const LONGEST_SESSION: Duration = Duration::from_hours(8);

/// Serves the developer portal: REST and pages over APIProducts and APIKeys.
#[derive(Parser, Clone, Debug)]
#[command(name = "portal", version)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Checks the cluster, the portal's rights in it, the issuer and the session keys.
    Check(CheckArgs),
}

/// Flags of the service.
#[derive(ClapArgs, Clone, Debug)]
pub struct ServiceArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(flatten)]
    pub pod: PodArgs,
    /// Port of the service, on every address.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub port: u16,
    /// Address of the service instead, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    pub address: Option<SocketAddr>,
    /// Serve plain HTTP, behind something that terminates TLS.
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub plain_http: bool,
    /// URL by which browsers reach the portal, such as `https://portal.example.com`. Needed for logins.
    #[arg(long, value_name = "URL", value_parser = base_url, global = true)]
    pub external_url: Option<String>,
    #[command(flatten)]
    pub login: LoginArgs,
    #[command(flatten)]
    pub session: SessionArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub log: LogArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub drain: DrainArgs,
}

/// Flags of the login at an issuer.
#[derive(ClapArgs, Clone, Debug, Default)]
#[command(next_help_heading = "Login")]
pub struct LoginArgs {
    /// Issuer that people log in at, exactly as it names itself. Without it, only bearer tokens are accepted.
    #[arg(long, value_name = "URL", global = true)]
    pub oidc_issuer: Option<String>,
    /// The portal's id at the issuer.
    #[arg(long, value_name = "ID", global = true)]
    pub oidc_client_id: Option<String>,
    /// File with the portal's secret at the issuer. It is read for each login. Without it, the client is a public one.
    #[arg(long, value_name = "FILE", global = true)]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// Scopes to ask for.
    #[arg(
        long,
        value_name = "SCOPES",
        value_delimiter = ',',
        default_value = "openid,profile,email,offline_access"
    )]
    pub oidc_scopes: Vec<String>,
    /// File with the CAs of the issuer's certificate, as PEM. By default, the public CAs.
    #[arg(long, value_name = "FILE", global = true)]
    pub oidc_ca_file: Option<PathBuf>,
    /// File with people for demonstrations, each with a token: a login without a password. Refused on any address but
    /// loopback.
    #[arg(long, value_name = "FILE", conflicts_with = "oidc_issuer")]
    pub demo_users: Option<PathBuf>,
}

/// As whom sessions speak to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Identity {
    /// With the token of the login: the API server trusts the same issuer.
    #[default]
    Passthrough,
    /// With the portal's own account, which then may impersonate.
    Impersonate,
}

/// Flags of sessions.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub struct SessionArgs {
    /// File with the key that sessions are sealed with: 32 bytes, in base64 or as they are. Give it again for a former
    /// key: the first one seals, all of them open.
    #[arg(long = "session-key-file", value_name = "FILE", global = true)]
    pub session_key_files: Vec<PathBuf>,
    /// Whether sessions go to the API server with their own token, or by impersonation.
    #[arg(long, default_value = "passthrough", value_enum, global = true)]
    pub identity: Identity,
    /// Claim of the ID token that names the user to impersonate.
    #[arg(long, default_value = "sub", value_name = "CLAIM")]
    pub username_claim: String,
    /// Prefix of impersonated user names.
    #[arg(long, default_value = "oidc:", value_name = "PREFIX")]
    pub username_prefix: String,
    /// Claim of the ID token with the groups to impersonate.
    #[arg(long, default_value = "groups", value_name = "CLAIM")]
    pub groups_claim: String,
    /// Groups that count: those whose names begin so. By default, none is impersonated.
    #[arg(long, value_name = "PREFIX")]
    pub groups_prefix: Option<String>,
    /// Longest life of a session, at most 8h.
    #[arg(long, default_value = "8h", value_parser = session, value_name = "DURATION")]
    pub session_lifetime: Duration,
    /// Time after which an unused session ends.
    #[arg(long, default_value = "30m", value_parser = session, value_name = "DURATION")]
    pub session_idle: Duration,
}

/// Flags of what the portal asks besides the API server.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Usage and trying out")]
pub struct ReachArgs {
    /// Prometheus that knows the calls of users and plans, such as `http://prometheus.monitoring:9090`.
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub usage_prometheus_url: Option<String>,
    /// Let people send requests to APIs from their pages.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub try_it: bool,
    /// Networks that such requests may go to besides public addresses, such as 10.0.0.0/8.
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub try_allowed_cidrs: Vec<Network>,
    /// File with CAs that count for such requests besides the public ones, as PEM.
    #[arg(long, value_name = "FILE")]
    pub try_ca_file: Option<PathBuf>,
    /// URL of the gateway that such requests go to, where the names of APIs cannot be resolved. By default, requests go
    /// to the host name of the route over HTTPS.
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub try_gateway: Option<String>,
    /// Requests for keys, and logins, that one caller or address may make per second.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub max_reveals: u32,
    /// Unknown tokens that one address may send per second.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub max_unknown_tokens: u32,
}

impl ServiceArgs {
    pub fn listen_address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port))
    }
}

/// A URL of http or https without a query; the slash at its end is taken away.
fn base_url(text: &str) -> Result<String, String> {
    let is_base = text.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
    });
    if is_base {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!("{text:?} is not a URL such as https://portal.example.com"))
    }
}

fn session(text: &str) -> Result<Duration, String> {
    let duration = interval(text)?;
    if duration > LONGEST_SESSION { Err("no session is longer than 8h".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_page() {
        let args = parse_from::<Args>("portal", ["portal"]).unwrap().service;
        assert_eq!(args.listen_address().to_string(), "0.0.0.0:8080");
        assert_eq!(args.session.identity, Identity::Passthrough);
        assert_eq!(
            (args.session.session_lifetime, args.session.session_idle),
            (LONGEST_SESSION, Duration::from_mins(30))
        );
        for wrong in [
            "--session-lifetime=9h",
            "--external-url=portal.example",
            "--external-url=https://u@h",
            "--external-url=https://h/?a=b",
            "--identity=admin",
        ] {
            assert!(parse_from::<Args>("portal", ["portal", wrong]).is_err(), "{wrong}");
        }
        let args = parse_from::<Args>("portal", ["portal", "--external-url=https://h/"]).unwrap().service;
        assert_eq!(args.external_url.as_deref(), Some("https://h"));
    }
}
