//! Clients of API servers: the process's own, and those from restricted kubeconfigs.

mod count;

use std::{path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{
        AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
    },
};
use portolan_core::kubeconfig::{Credentials, RestrictedKubeconfig};
use secrecy::{ExposeSecret as _, SecretString};

use self::count::Count;
pub(crate) use self::count::register;
use crate::args::ClientArgs;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read.
    #[error("failed to read kubeconfig {path:?}")]
    Kubeconfig {
        /// Where it is.
        path: String,
        /// What is wrong.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// No kubeconfig and no pod account.
    #[error("found no cluster: give --kubeconfig, set KUBECONFIG, or run inside a pod")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The configuration does not make a client, for example because a certificate cannot be read.
    #[error("the kubeconfig cannot be used")]
    Unusable(#[source] kube::Error),
    /// The restricted kubeconfig does not make a configuration.
    #[error("the kubeconfig cannot be used")]
    Restricted(#[source] kube::config::KubeconfigError),
}

/// The process's own cluster: `--kubeconfig`, then `KUBECONFIG`, then the pod's account, then the home directory.
///
/// # Errors
/// Says which of them was tried and what is wrong with it.
pub async fn connect(args: &ClientArgs) -> Result<Client, ClientError> {
    counted(configuration(args).await?, "own")
}

/// What [`connect`] makes its client of.
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

async fn from_file(path: &Path, options: &KubeConfigOptions) -> Result<Config, ClientError> {
    let failed = |source| ClientError::Kubeconfig { path: path.display().to_string(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(failed)
}

async fn infer(options: &KubeConfigOptions) -> Result<Config, ClientError> {
    if let Some(context) = &options.context {
        let failed = |source| ClientError::Kubeconfig { path: format!("with context {context}"), source };
        return Config::from_kubeconfig(options).await.map_err(failed);
    }
    if std::env::var_os("KUBECONFIG").is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Config::infer().await.map_err(ClientError::NoCluster)
}

/// A client for the cluster of a restricted kubeconfig. No file is read and no program is run for it.
///
/// # Errors
/// When a certificate or key in it is not one.
pub async fn restricted(kubeconfig: &RestrictedKubeconfig) -> Result<Client, ClientError> {
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(in_full(kubeconfig), &options)
        .await
        .map_err(ClientError::Restricted)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    counted(config, "remote")
}

fn counted(config: Config, cluster: &'static str) -> Result<Client, ClientError> {
    let builder = ClientBuilder::try_from(config).map_err(ClientError::Unusable)?;
    Ok(builder.with_layer(&Count { cluster }).build())
}

fn in_full(kubeconfig: &RestrictedKubeconfig) -> Kubeconfig {
    const NAME: &str = "provider";
    let cluster = Cluster {
        server: Some(kubeconfig.server.clone()),
        certificate_authority_data: kubeconfig
            .certificate_authority
            .as_ref()
            .map(|ca| BASE64_STANDARD.encode(ca)),
        tls_server_name: kubeconfig.tls_server_name.clone(),
        ..Cluster::default()
    };
    let user = match &kubeconfig.credentials {
        Credentials::Token(token) => AuthInfo { token: Some(token.clone()), ..AuthInfo::default() },
        Credentials::ClientCertificate { certificate, key } => AuthInfo {
            client_certificate_data: Some(BASE64_STANDARD.encode(certificate)),
            client_key_data: Some(SecretString::from(BASE64_STANDARD.encode(key.expose_secret()))),
            ..AuthInfo::default()
        },
    };
    let context = Context {
        cluster: NAME.to_owned(),
        user: Some(NAME.to_owned()),
        namespace: Some(kubeconfig.namespace.clone()),
        ..Context::default()
    };
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    }
}
