//! The controller's command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};
use http::Uri;
use portolan_core::names::is_dns_label;
use portolan_runtime::{
    args::{AdminArgs, ClientArgs, LogArgs, PodArgs, interval},
    check::CheckArgs,
    install::InstallArgs,
    lease::LeaseArgs,
};

use crate::{
    fetches::allowed::AllowedNetwork,
    notify::notifier::{Notifier, NotifierError},
    settings::KeySettings,
};

/// Largest OpenAPI text in a status: more would weigh on every list of products.
const INLINE_BYTES: usize = 16 * 1024;
/// Largest OpenAPI text at all: an object may have a little more than a million bytes.
const MOST_BYTES: usize = 1_000_000;

/// Finds out about APIProducts, and gives keys to whoever an APIKey was approved for.
#[derive(Parser, Clone, Debug)]
#[command(name = "devportal", version)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
}

/// Commands that end by themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Checks everything that the controller needs, and every APIProduct, with a cure for each thing that is wrong.
    Check(CheckArgs),
}

/// Flags of the controller.
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
    /// Namespaces to work in, those of gateways with policies among them. By default all of them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = namespace, global = true)]
    pub namespaces: Vec<String>,
    /// Number of keys that a user may have of one product; the annotation devportal.kuadrant.io/max-keys-per-user of a
    /// product has the last word.
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    pub max_keys_per_user: usize,
    /// Time for which a key still works after its rotation.
    #[arg(long, default_value = "24h", value_parser = interval, value_name = "DURATION")]
    pub rotation_overlap: Duration,
    #[command(flatten)]
    pub fetch: FetchArgs,
    #[command(flatten)]
    pub notify: NotifyArgs,
}

/// Flags of what is fetched from elsewhere: discovery documents of issuers, and OpenAPI texts.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Fetches")]
pub struct FetchArgs {
    /// Networks that may be fetched from besides public addresses: 10.0.0.0/8 or the like, and `services` for those of
    /// the cluster's Services. Our own API server is never among them.
    #[arg(long, default_value = "services", value_name = "NETWORKS", value_delimiter = ',')]
    pub fetch_allowed_cidrs: Vec<AllowedNetwork>,
    /// Limit for a whole fetch.
    #[arg(long, default_value = "10s", value_parser = interval, value_name = "DURATION")]
    pub fetch_timeout: Duration,
    /// Age at which a document is fetched again.
    #[arg(long, default_value = "1h", value_parser = interval, value_name = "DURATION")]
    pub fetch_refresh: Duration,
    /// Limit for an OpenAPI text, in bytes.
    #[arg(long, env = "OPENAPI_SPEC_MAX_SIZE", default_value_t = 512_000, value_name = "BYTES", value_parser = openapi_size)]
    pub openapi_spec_max_size: usize,
    /// Keep every OpenAPI text in the status of its product, also large ones.
    #[arg(long)]
    pub openapi_in_status: bool,
}

/// Flags of the webhook that is told what happens to keys.
#[derive(ClapArgs, Clone, Debug)]
#[command(next_help_heading = "Notifications")]
pub struct NotifyArgs {
    /// URL that CloudEvents about keys are posted to. If left out, none are.
    #[arg(long, value_name = "URL", requires = "notify_key_file")]
    pub notify_url: Option<Uri>,
    /// File with the key that they are signed with.
    #[arg(long, value_name = "FILE", requires = "notify_url")]
    pub notify_key_file: Option<PathBuf>,
}

impl FetchArgs {
    /// Largest OpenAPI text that is kept in the status.
    pub fn inline_bytes(&self) -> usize {
        if self.openapi_in_status { self.openapi_spec_max_size } else { INLINE_BYTES }
    }
}

impl NotifyArgs {
    pub fn notifier(&self) -> Result<Option<Notifier>, NotifierError> {
        let (Some(url), Some(key)) = (&self.notify_url, &self.notify_key_file) else { return Ok(None) };
        Notifier::new(url.clone(), key).map(Some)
    }
}

impl ControllerArgs {
    pub fn settings(&self) -> KeySettings {
        KeySettings { max_keys_per_user: self.max_keys_per_user, rotation_overlap: self.rotation_overlap }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a namespace"))
    }
}

fn openapi_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (1..=MOST_BYTES).contains(size));
    size.ok_or_else(|| format!("{text:?} is not a number of bytes up to {MOST_BYTES}"))
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_page() {
        let args = parse_from::<Args>("devportal", ["devportal"]).unwrap().controller;
        assert_eq!((args.max_keys_per_user, args.rotation_overlap), (10, Duration::from_hours(24)));
        assert!(args.namespaces.is_empty() && args.notify.notify_url.is_none());
        assert_eq!((args.fetch.openapi_spec_max_size, args.fetch.inline_bytes()), (512_000, INLINE_BYTES));
        assert_eq!(args.fetch.fetch_allowed_cidrs, [AllowedNetwork::Services]);
        for wrong in ["--fetch-allowed-cidrs=10.0.0.1", "--openapi-spec-max-size=0", "--notify-url=http://a"]
        {
            assert!(parse_from::<Args>("devportal", ["devportal", wrong]).is_err(), "{wrong}");
        }
        assert!(parse_from::<Args>("devportal", ["devportal", "--namespaces=A"]).is_err());
    }
}
