//! The part that the `explain` commands of services share: a token from standard input, and a text about it.

use std::{future::Future, io::Read as _, process::ExitCode, time::Duration};

use futures::future::join_all;
use portolan_core::auth::compact::bare;
use secrecy::SecretString;

use crate::{
    args::LogArgs,
    jwks::{Jwks, JwksStatus},
    process::{self, ProcessFailure},
};

/// Limit for fetching the keys of the issuers.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Reads a token and prints what `explained` says about it. Exits with 0 whatever that is, and with 64 where a
/// failure, such as that of the configuration, leaves nothing to explain.
pub fn run<F>(log: &LogArgs, explained: impl FnOnce(SecretString) -> F) -> ExitCode
where
    F: Future<Output = Result<String, ProcessFailure>>,
{
    process::run_for_code(log, || async {
        match said(explained).await {
            Ok(text) => {
                process::print(&text);
                ExitCode::SUCCESS
            }
            Err(failure) => process::usage(&*failure),
        }
    })
}

async fn said<F>(explained: impl FnOnce(SecretString) -> F) -> Result<String, ProcessFailure>
where
    F: Future<Output = Result<String, ProcessFailure>>,
{
    let mut token = String::new();
    std::io::stdin().read_to_string(&mut token)?;
    explained(SecretString::from(bare(&token))).await
}

/// Waits until each issuer was asked for its keys. Those that do not answer are shown as such.
pub async fn wait_for_keys(all: impl IntoIterator<Item = &Jwks>) {
    join_all(all.into_iter().map(|jwks| jwks.until(JwksStatus::is_tried, TIMEOUT))).await;
}
