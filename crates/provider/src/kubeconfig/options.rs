//! Options of the command line, checked before the cluster is touched.

use std::{path::Path, time::Duration};

use portolan_core::names::{self, InvalidName};
use portolan_runtime::{
    args::interval,
    authorities::{CaBundle, InvalidBundle},
};

use crate::{
    args::KubeconfigArgs,
    selector::{self, InvalidSelector},
};

/// The API server issues no token for less.
const MIN_TOKEN_DURATION: Duration = Duration::from_mins(10);
/// Nor for more.
const MAX_TOKEN_DURATION: Duration = Duration::from_secs(1 << 32);

/// A command line that holds.
#[derive(Clone, Debug)]
pub(super) struct KubeconfigOptions {
    pub(super) consumer: String,
    /// The contract namespace.
    pub(super) namespace: String,
    pub(super) server: Option<String>,
    /// PEM.
    pub(super) certificate_authority: Option<String>,
    pub(super) token_duration: Duration,
    pub(super) exports: Option<String>,
}

/// A mistake on the command line.
#[derive(Debug, thiserror::Error)]
pub(super) enum OptionsError {
    #[error("--consumer")]
    Consumer(#[source] InvalidName),
    #[error("--server {0:?} is not a URL such as https://provider.example:6443")]
    Server(String),
    #[error("--ca-file {path:?} cannot be read")]
    CaFileUnreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("--ca-file {path:?} holds no certificate in PEM (-----BEGIN CERTIFICATE-----) that can be used")]
    CaFileUnusable {
        path: String,
        #[source]
        source: InvalidBundle,
    },
    #[error("--token-duration: {0}")]
    TokenDuration(String),
    #[error("--exports")]
    Exports(#[source] InvalidSelector),
}

impl KubeconfigOptions {
    pub(super) fn read(args: &KubeconfigArgs) -> Result<Self, OptionsError> {
        if let Some(exports) = &args.exports {
            selector::parse(exports).map_err(OptionsError::Exports)?;
        }
        Ok(Self {
            consumer: args.consumer.clone(),
            namespace: names::contract_namespace(&args.consumer).map_err(OptionsError::Consumer)?,
            server: args.server.as_deref().map(server).transpose()?,
            certificate_authority: args.ca_file.as_deref().map(certificate_authority).transpose()?,
            token_duration: token_duration(&args.token_duration)?,
            exports: args.exports.clone(),
        })
    }
}

fn server(text: &str) -> Result<String, OptionsError> {
    let server = text.trim_end_matches('/');
    let host = server.strip_prefix("https://").unwrap_or_default();
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\\' | '@' | '?' | '#');
    let valid = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && !host.contains(odd);
    if valid { Ok(server.to_owned()) } else { Err(OptionsError::Server(text.to_owned())) }
}

fn certificate_authority(path: &Path) -> Result<String, OptionsError> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|source| OptionsError::CaFileUnreadable { path: shown.clone(), source })?;
    let bundle = CaBundle::read(&bytes)
        .map_err(|source| OptionsError::CaFileUnusable { path: shown.clone(), source })?;
    bundle.warn(&format!("--ca-file {shown:?}"));
    Ok(bundle.to_pem())
}

fn token_duration(text: &str) -> Result<Duration, OptionsError> {
    let duration = interval(text).map_err(OptionsError::TokenDuration)?;
    if duration < MIN_TOKEN_DURATION {
        return Err(OptionsError::TokenDuration(format!(
            "{text} is too short: the API server gives 10m at least"
        )));
    }
    if duration > MAX_TOKEN_DURATION {
        return Err(OptionsError::TokenDuration(format!(
            "{text} is too long: the API server gives 1193046h at most"
        )));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use portolan_runtime::{args::parse_from, telemetry::ErrorChain};

    use super::*;
    use crate::args::{Command, ProviderArgs};

    fn read(arguments: &[&str]) -> Result<KubeconfigOptions, String> {
        let all = ["provider", "kubeconfig"].iter().chain(arguments).copied();
        let args = parse_from::<ProviderArgs>("provider", all).unwrap();
        let Some(Command::Kubeconfig(command)) = args.command else { panic!("no command") };
        KubeconfigOptions::read(&command).map_err(|error| ErrorChain(&error).to_string())
    }

    #[test]
    fn defaults_are_those_that_help_shows() {
        let options = read(&["--consumer", "team-a"]).unwrap();
        assert_eq!(options.namespace, "kube-bind-team-a");
        assert_eq!(options.token_duration, Duration::from_hours(720));
        assert_eq!((options.server, options.certificate_authority, options.exports), (None, None, None));
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_flag() {
        let table: [(&[&str], &str); 8] = [
            (&["--consumer", "Team_A"], "--consumer: \"Team_A\" is not a DNS label of at most 53 characters"),
            (
                &["--consumer", "a", "--server", "http://x"],
                "--server \"http://x\" is not a URL such as https://",
            ),
            (&["--consumer", "a", "--server", "https://a b"], "--server \"https://a b\" is not"),
            (
                &["--consumer", "a", "--ca-file", "/no/such/file"],
                "--ca-file \"/no/such/file\" cannot be read: No such file",
            ),
            (
                &["--consumer", "a", "--token-duration", "soon"],
                "--token-duration: \"soon\" is not a duration",
            ),
            (&["--consumer", "a", "--token-duration", "5m"], "--token-duration: 5m is too short"),
            (&["--consumer", "a", "--token-duration", "2000000h"], "--token-duration: 2000000h is too long"),
            (&["--consumer", "a", "--exports", "a b"], "--exports: \"a b\" is not a label requirement"),
        ];
        for (arguments, expected) in table {
            let error = read(arguments).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn of_a_ca_file_what_can_be_used_is_taken() {
        let good = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        let broken = "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            certificate_authority(&file)
        };
        for text in [good.clone(), format!("# two\n{good}{broken}"), format!("{broken}{good}")] {
            assert_eq!(read(&text).unwrap(), good.replace("\r\n", "\n"), "{text}");
        }
        for bad in ["", "Q0E=", "-----BEGIN CERTIFICATE-----", broken] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn servers_are_urls_that_a_konnector_takes() {
        assert_eq!(server("https://[::1]:6443/").unwrap(), "https://[::1]:6443");
        for bad in ["", "provider", "https://", "https:///x", "https://u@h", "https://h?x", "https://h\"\n"] {
            assert!(server(bad).is_err(), "{bad:?}");
        }
    }
}
