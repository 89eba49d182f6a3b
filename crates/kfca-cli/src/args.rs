//! The command line: the flags that the original's users know, with one dash or two, and a few more.

use std::{convert::Infallible, io::Read as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser, ValueEnum};
use clap_complete::Shell;
use portolan_core::auth::compact::bare;
use portolan_runtime::args::{go_style, parse_from};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{ask::Question, failure::Failure};

/// Exchanges a token of one cluster for a token of a service account of another.
///
/// Exit codes: 0 it worked; 1 the service refused; 64 a mistake on the command line; 75 try again later.
#[derive(Parser, Clone, Debug)]
#[command(name = "kfca-cli", version)]
pub struct CliArgs {
    /// Service URL.
    #[arg(long, default_value = "http://0.0.0.0:8088", value_name = "URL")]
    pub url: String,
    /// Bearer token for authentication. Everybody on this machine can read it in the process list:
    /// --token-file and the environment do not have that.
    #[arg(long, env = "KFCA_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<SecretString>,
    /// File with that token instead; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Target namespace.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Target service account name.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// Request timeout in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Output: the token, the service's answer, or a credential for kubectl, which is kept until shortly before its
    /// end.
    #[arg(long, value_enum, default_value = "json", value_name = "FORM")]
    pub output: Output,
    /// PEM file with authorities that count besides the public ones and those of this machine.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Directory for kept credentials, instead of the user's cache.
    #[arg(long, value_name = "DIRECTORY")]
    pub cache_dir: Option<PathBuf>,
    /// Keep nothing.
    #[arg(long)]
    pub no_cache: bool,
    /// Print completions for a shell.
    #[arg(long, value_enum, value_name = "SHELL")]
    pub completions: Option<Shell>,
    /// The request of kubectl, which it sets itself.
    #[arg(long, env = "KUBERNETES_EXEC_INFO", hide = true)]
    pub exec_info: Option<String>,
    /// The user's cache, as freedesktop.org defines it.
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    cache_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
}

/// The formats of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The token alone.
    Token,
    /// The service's answer, indented.
    Json,
    /// The credential that kubectl wants from a plugin.
    ExecCredential,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(bare(text)))
}

impl CliArgs {
    /// Reads the command line, or says what is wrong with it.
    ///
    /// # Errors
    /// The exit code of the process.
    pub fn read() -> Result<Self, ExitCode> {
        parse_from("kfca-cli", go_style(&Self::command(), std::env::args_os()))
    }

    /// Builds the question to the service.
    pub async fn question(&self) -> Result<Question, Failure> {
        let required = |name: &str| Failure::Usage(format!("-{name} is required"));
        let text = |name: &str, value: &Option<String>| {
            value.clone().filter(|value| !value.is_empty()).ok_or_else(|| required(name))
        };
        let token = self.source_token()?.ok_or_else(|| required("token"))?;
        let namespace = text("namespace", &self.namespace)?;
        let account = text("service-account", &self.service_account)?;
        let unreadable =
            |path: &PathBuf, error| Failure::Usage(format!("failed to read {}: {error}", path.display()));
        let authorities = match &self.ca_file {
            None => None,
            Some(path) => Some(tokio::fs::read(path).await.map_err(|error| unreadable(path, error))?),
        };
        let (url, timeout) = (self.url.clone(), Duration::from_secs(self.timeout));
        Ok(Question { url, token, namespace, account, timeout, authorities })
    }

    fn source_token(&self) -> Result<Option<SecretString>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(self.token.clone().filter(|token| !token.expose_secret().is_empty()));
        };
        let mut text = String::new();
        let read = if path.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text).map(drop)
        } else {
            std::fs::read_to_string(path).map(|read| text = read)
        };
        read.map_err(|error| {
            Failure::Usage(format!("failed to read the token from {}: {error}", path.display()))
        })?;
        let token = Some(bare(&text)).filter(|token| !token.is_empty());
        token
            .map(|token| Some(SecretString::from(token)))
            .ok_or_else(|| Failure::Usage(format!("{} is empty: it should hold a token", path.display())))
    }

    /// Directory for kept credentials; `None` without a home.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        if self.no_cache {
            return None;
        }
        let users = self.cache_home.clone().filter(|path| path.is_absolute());
        let users = users.or_else(|| Some(self.home.as_ref()?.join(".cache")));
        self.cache_dir.clone().or_else(|| Some(users?.join("portolan").join("kfca-cli")))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn parse(arguments: &[&str]) -> CliArgs {
        let arguments = arguments.iter().map(OsString::from);
        parse_from("kfca-cli", go_style(&CliArgs::command(), arguments)).unwrap()
    }

    #[test]
    fn the_flags_of_the_document_work_with_one_dash_and_two() {
        let defaults = parse(&["kfca-cli"]);
        assert_eq!(
            (defaults.url.as_str(), defaults.timeout, defaults.output),
            ("http://0.0.0.0:8088", 30, Output::Json)
        );
        for dash in ["-", "--"] {
            let flag = |name: &str| format!("{dash}{name}");
            let args = parse(&[
                "kfca-cli",
                &flag("url"),
                "http://localhost:8088",
                &flag("token"),
                "t",
                &flag("namespace"),
                "n",
                &flag("service-account=a"),
                &flag("timeout"),
                "5",
            ]);
            assert_eq!((args.url.as_str(), args.timeout), ("http://localhost:8088", 5));
            assert_eq!((args.namespace.as_deref(), args.service_account.as_deref()), (Some("n"), Some("a")));
            assert_eq!(args.token.as_ref().unwrap().expose_secret(), "t");
            assert!(!format!("{args:?}").contains("\"t\""));
        }
    }

    #[test]
    fn credentials_are_kept_in_the_users_cache() {
        let args = |cache: Option<&str>, home: &str| CliArgs {
            cache_home: cache.map(PathBuf::from),
            home: Some(PathBuf::from(home)),
            ..parse(&["kfca-cli"])
        };
        assert_eq!(args(None, "/h").cache_dir().unwrap(), PathBuf::from("/h/.cache/portolan/kfca-cli"));
        assert_eq!(args(Some("/c"), "/h").cache_dir().unwrap(), PathBuf::from("/c/portolan/kfca-cli"));
        assert_eq!(args(Some("c"), "/h").cache_dir().unwrap(), PathBuf::from("/h/.cache/portolan/kfca-cli"));
        assert_eq!(CliArgs { no_cache: true, ..args(None, "/h") }.cache_dir(), None);
    }
}
