//! Clients of API servers: the process's own, and those from restricted kubeconfigs.

pub mod carrier;
mod count;
mod failure;
mod kubeconfig;
mod lively;
pub mod pulse;
mod read;
mod shards;
mod signs;
mod transport;
mod watches;

use std::{net::SocketAddr, path::Path, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use portolan_core::kubeconfig::RestrictedKubeconfig;

pub use self::{
    failure::{ServerFault, server_fault},
    read::{ReadError, open, read_body},
    signs::follow_contact,
};
use crate::{args::ClientArgs, authorities::InvalidBundle, metrics::Metrics};

/// Limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts what all clients do that are made from now on.
pub(crate) fn register(metrics: &Metrics) {
    count::register(metrics);
    signs::register(metrics);
}

/// A cluster that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read.
    #[error("failed to read kubeconfig {path:?}")]
    Kubeconfig {
        /// Path of the file.
        path: String,
        /// The cause.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// No kubeconfig and no pod account.
    #[error("found no cluster: give --kubeconfig, set KUBECONFIG, or run inside a pod")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The configuration does not make a client, for example because a certificate cannot be read.
    #[error("the kubeconfig cannot be used")]
    Unusable(#[source] kube::Error),
    /// The authorities of a server's certificate hold none.
    #[error("the certificate authorities cannot be used")]
    Authorities(#[source] InvalidBundle),
    /// The restricted kubeconfig does not make a configuration.
    #[error("the kubeconfig cannot be used")]
    Restricted(#[source] kube::config::KubeconfigError),
}

/// The process's own cluster: `--kubeconfig`, then `KUBECONFIG`, then the pod's account, then the home directory.
///
/// # Errors
/// Says which of them was tried and what is wrong with it.
pub async fn connect(args: &ClientArgs) -> Result<Client, ClientError> {
    of(configuration(args).await?)
}

/// A client of the process's own cluster, for what [`configuration`] has found.
///
/// # Errors
/// When a certificate or key in it is not one.
pub fn of(config: Config) -> Result<Client, ClientError> {
    transport::client(config, "own").map_err(ClientError::Unusable)
}

/// The configuration from which [`connect`] makes its client.
///
/// # Errors
/// As [`connect`].
pub async fn configuration(args: &ClientArgs) -> Result<Config, ClientError> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(path) => from_file(path, &options).await?,
        None => infer(&options).await?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

/// Resolves the addresses at which the API server of a cluster listens.
pub async fn addresses(config: &Config) -> Vec<SocketAddr> {
    let url = &config.cluster_url;
    let port = url.port_u16().unwrap_or_else(|| if url.scheme_str() == Some("http") { 80 } else { 443 });
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    tokio::net::lookup_host((host, port)).await.map(Iterator::collect).unwrap_or_default()
}

async fn from_file(path: &Path, options: &KubeConfigOptions) -> Result<Config, ClientError> {
    let failed = |source| ClientError::Kubeconfig { path: path.display().to_string(), source };
    let mut kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    kubeconfig::pass_over_broken_authorities(&mut kubeconfig);
    Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(failed)
}

async fn infer(options: &KubeConfigOptions) -> Result<Config, ClientError> {
    if let Some(context) = &options.context {
        let failed = |source| ClientError::Kubeconfig { path: format!("with context {context}"), source };
        return Config::from_custom_kubeconfig(usual().map_err(failed)?, options).await.map_err(failed);
    }
    if std::env::var_os("KUBECONFIG").is_none() {
        // `kube` takes all of a bundle or nothing.
        if let Some(account) = kubeconfig::of_pod_with_broken_authorities()
            && let Ok(config) = Config::from_custom_kubeconfig(account, options).await
        {
            return Ok(config);
        }
        if let Ok(config) = Config::incluster() {
            return Ok(config);
        }
    }
    if let Ok(kubeconfig) = usual()
        && let Ok(config) = Config::from_custom_kubeconfig(kubeconfig, options).await
    {
        return Ok(config);
    }
    // Says what is wrong with each of them.
    Config::infer().await.map_err(ClientError::NoCluster)
}

/// Reads the kubeconfig that `KUBECONFIG` names, or the one in the home directory.
fn usual() -> Result<Kubeconfig, KubeconfigError> {
    let mut kubeconfig = Kubeconfig::read()?;
    kubeconfig::pass_over_broken_authorities(&mut kubeconfig);
    Ok(kubeconfig)
}

/// A client for the cluster of a restricted kubeconfig. No file is read and no program is run for it.
///
/// # Errors
/// When a certificate or key in it is not one.
pub async fn restricted(kubeconfig: &RestrictedKubeconfig) -> Result<Client, ClientError> {
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig::in_full(kubeconfig), &options)
        .await
        .map_err(ClientError::Restricted)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    transport::client(config, "remote").map_err(ClientError::Unusable)
}

#[cfg(test)]
mod tests;
