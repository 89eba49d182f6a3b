//! The check that a server can be started with the files that it is given.

use super::finding::Check;
use crate::{
    tasks::Tasks,
    telemetry::ErrorChain,
    tls::{ServerTls, TlsArgs},
};

/// Checks certificate and key; `plain` is whether the server may do without.
pub async fn tls(args: &TlsArgs, plain: bool, tasks: &Tasks, docs: &str) -> Check {
    let result = match ServerTls::start(args, tasks).await {
        Ok(Some(_)) => Ok("certificate and key match".to_owned()),
        Ok(None) if plain => Ok("plain HTTP, as asked for".to_owned()),
        Ok(None) => Err("no certificate, and plain HTTP was not asked for".to_owned()),
        Err(error) => Err(ErrorChain(&error).to_string()),
    };
    Check::new("tls", result, "give --tls-cert-file and --tls-key-file, or --plain-http", docs)
}
