//! The gateway's command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};
use portolan_runtime::{
    args::{AdminArgs, DrainArgs, LogArgs, interval, parse},
    check::CheckArgs,
    tls::TlsArgs,
    traces::TraceArgs,
};

use crate::bounds::QueryBounds;

/// Serves GraphQL for every cluster that has a schema document.
#[derive(Parser, Clone, Debug)]
#[command(name = "gateway", version)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

impl Args {
    /// Reads the command line, or says what is wrong with it.
    ///
    /// # Errors
    /// The exit code of the process.
    pub fn read() -> Result<Self, ExitCode> {
        parse("gateway")
    }
}

/// Flags of the service.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Port of the service, on every address.
    #[arg(long, alias = "gateway-port", env = "GATEWAY_PORT", default_value_t = 8080, value_name = "PORT")]
    pub(crate) port: u16,
    /// Address of the service instead, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    pub(crate) address: Option<SocketAddr>,
    /// Serve plain HTTP, behind something that terminates TLS.
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub(crate) plain_http: bool,
    /// Origins whose pages may ask, such as `https://console.example.com`. None by default.
    #[arg(long = "cors-allowed-origins", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors_allowed_origins: Vec<String>,
    /// Serve the console and the start page, with the list of clusters for it.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) console: bool,
    #[command(flatten)]
    pub(crate) persisted: PersistedArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) memory: MemoryArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) drain: DrainArgs,
}

impl ServiceArgs {
    /// The mistake that keeps the gateway from starting, if there is one.
    pub(crate) fn mistake(&self) -> Option<ArgsMistake> {
        let persisted = &self.persisted;
        let has_no_documents = persisted.persisted_only && persisted.persisted_documents.is_none();
        self.source.mistake().or_else(|| has_no_documents.then_some(ArgsMistake::NoDocuments))
    }

    pub(crate) fn listen_address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port))
    }
}

/// Flags of the source of schema documents.
#[derive(ClapArgs, Clone, Debug, Default)]
#[command(next_help_heading = "Documents")]
pub(crate) struct SourceArgs {
    /// Directory with the schema documents, one file for each cluster. `definitions` if no source is given.
    #[arg(long, alias = "schemas-dir", env = "OPENAPI_DEFINITIONS_PATH", value_name = "DIR", global = true)]
    pub(crate) definitions: Option<PathBuf>,
    /// URL of a listener that serves the documents, instead of a directory.
    #[arg(long, value_name = "URL", value_parser = https, global = true)]
    pub(crate) listener_url: Option<String>,
    /// File with the token that the listener reviews. It is read for each request.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) listener_token_file: Option<PathBuf>,
    /// File with the CAs of the listener's certificate, as PEM. By default, the public CAs.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) listener_ca_file: Option<PathBuf>,
    /// Hosts of API servers that documents may name, such as `*.eks.amazonaws.com`; `*` stands for any text. By
    /// default, any.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', global = true)]
    pub(crate) allowed_hosts: Vec<String>,
}

impl SourceArgs {
    /// The directory, if no listener is named.
    pub(crate) fn directory(&self) -> &Path {
        self.definitions.as_deref().unwrap_or_else(|| Path::new("definitions"))
    }

    fn mistake(&self) -> Option<ArgsMistake> {
        match (&self.listener_url, &self.listener_token_file) {
            (Some(_), _) if self.definitions.is_some() => Some(ArgsMistake::TwoSources),
            (Some(_), None) => Some(ArgsMistake::NoToken),
            (None, token) if token.is_some() || self.listener_ca_file.is_some() => {
                Some(ArgsMistake::NoListener)
            }
            _ => None,
        }
    }
}

/// Flags that make no sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgsMistake {
    #[error("--definitions and --listener-url: give one of them, since each is a source of all documents")]
    TwoSources,
    #[error("--listener-url: give --listener-token-file, with a token that the listener accepts")]
    NoToken,
    #[error("--listener-token-file and --listener-ca-file: give --listener-url, too")]
    NoListener,
    #[error("--persisted-only: give --persisted-documents, since nothing could be executed")]
    NoDocuments,
}

fn https(text: &str) -> Result<String, String> {
    let is_https = text
        .parse::<http::Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some() && url.query().is_none());
    if is_https {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not https://HOST:PORT; the token would travel unencrypted"))
    }
}

/// Flags of persisted documents.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Persisted documents")]
pub(crate) struct PersistedArgs {
    /// Directory with queries that clients name by documentId, the name of the file, or by the hash of its bytes.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) persisted_documents: Option<PathBuf>,
    /// Execute nothing but persisted documents.
    #[arg(long)]
    pub(crate) persisted_only: bool,
}

/// Flags of reads from memory.
#[derive(ClapArgs, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "they are named as their flags")]
#[command(next_help_heading = "Memory")]
pub(crate) struct MemoryArgs {
    /// Directory with the gateway's own tokens, one file for each cluster, by its name. Kinds that are asked for often
    /// are kept in memory for clusters that have one. The files are read for each list and watch.
    #[arg(long, value_name = "DIR")]
    pub(crate) memory_credentials: Option<PathBuf>,
    /// Bytes of objects that all memories take together.
    #[arg(long, default_value_t = 128 * 1024 * 1024, value_name = "BYTES")]
    pub(crate) memory_bytes: u64,
    /// Keep Secrets, too.
    #[arg(long)]
    pub(crate) memory_secrets: bool,
}

/// Flags that limit what callers may ask for.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Fields within fields; introspection does not count. 0 is no limit.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) max_query_depth: usize,
    /// Fields of a query, those of a fragment as often as it is used. 0 is no limit.
    #[arg(long, default_value_t = 5000, value_name = "N")]
    pub(crate) max_query_complexity: usize,
    /// Queries in one request.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) max_query_batch_size: usize,
    /// Bytes of a request.
    #[arg(long, default_value_t = 3 * 1024 * 1024, value_name = "BYTES")]
    pub(crate) max_request_body_bytes: usize,
    /// Bytes of an API server's answer to one call.
    #[arg(long, default_value_t = 128 * 1024 * 1024, value_name = "BYTES")]
    pub(crate) max_response_bytes: usize,
    /// Requests that one caller may have in progress.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) max_inflight_requests: usize,
    /// Unknown tokens that one address may send per second.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) max_unknown_tokens: u32,
    /// Limit for a request.
    #[arg(long, default_value = "60s", value_parser = interval, value_name = "DURATION")]
    pub(crate) request_timeout: Duration,
    /// Limit for each cluster of a query to several.
    #[arg(long, default_value = "10s", value_parser = interval, value_name = "DURATION")]
    pub(crate) fleet_timeout: Duration,
    /// Limit for a subscription.
    #[arg(long, default_value = "30m", value_parser = interval, value_name = "DURATION")]
    pub(crate) subscription_timeout: Duration,
}

impl LimitArgs {
    pub(crate) const fn bounds(&self) -> QueryBounds {
        QueryBounds { depth: self.max_query_depth, fields: self.max_query_complexity }
    }
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Checks the documents and everything that they name.
    Check(CheckArgs),
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn the_names_of_the_original_work() {
        let args =
            parse_from::<Args>("gateway", ["gateway", "--schemas-dir", "d", "--gateway-port", "81"]).unwrap();
        assert_eq!(args.service.listen_address().to_string(), "0.0.0.0:81");
        assert_eq!(args.service.source.directory(), Path::new("d"));
        assert_eq!(
            (args.service.limits.max_query_depth, args.service.limits.max_query_complexity),
            (20, 5000)
        );
    }

    #[test]
    fn flags_that_make_no_sense_are_mistakes() {
        let mistake = |flags: &[&str]| {
            let line = ["gateway"].iter().chain(flags).copied();
            parse_from::<Args>("gateway", line).unwrap().service.mistake()
        };
        let (url, token) = ("--listener-url=https://listener:443", "--listener-token-file=t");
        let table: [(&[&str], Option<ArgsMistake>); 8] = [
            (&[], None),
            (&[url, token], None),
            (&["check", url, token, "--listener-ca-file=c"], None),
            (&[url], Some(ArgsMistake::NoToken)),
            (&[token], Some(ArgsMistake::NoListener)),
            (&[url, token, "--definitions=d"], Some(ArgsMistake::TwoSources)),
            (&["--persisted-documents=d", "--persisted-only"], None),
            (&["--persisted-only"], Some(ArgsMistake::NoDocuments)),
        ];
        for (flags, expected) in table {
            assert_eq!(mistake(flags), expected, "{flags:?}");
        }
        for url in ["http://listener", "listener:443", "https://", "https://h/?a=b"] {
            let flag = format!("--listener-url={url}");
            assert!(parse_from::<Args>("gateway", ["gateway", &flag]).is_err(), "{url}");
        }
    }
}
