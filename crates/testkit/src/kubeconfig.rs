//! Kubeconfigs as text, and clients made from them.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// The user of a kubeconfig.
#[derive(Clone, Copy, Debug)]
pub enum Credentials<'a> {
    /// A bearer token.
    Token(&'a str),
    /// A client certificate and its key, both PEM.
    Certificate {
        /// The certificate.
        certificate: &'a str,
        /// Its private key.
        key: &'a str,
    },
}

/// A kubeconfig with one self-contained context: no file paths, the CA embedded.
pub fn render(server: &str, ca_pem: &str, credentials: Credentials<'_>, namespace: &str) -> String {
    let ca = STANDARD.encode(ca_pem);
    let user = match credentials {
        Credentials::Token(token) => format!("token: {token}"),
        Credentials::Certificate { certificate, key } => format!(
            "client-certificate-data: {}\n    client-key-data: {}",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ),
    };
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: portolan
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: portolan
  user:
    {user}
contexts:
- name: portolan
  context:
    cluster: portolan
    user: portolan
    namespace: {namespace}
current-context: portolan
"
    )
}

/// The configuration that a kubeconfig describes.
pub async fn config(kubeconfig: &str) -> Result<Config> {
    let parsed = Kubeconfig::from_yaml(kubeconfig).context("this is not a kubeconfig")?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(parsed, &options).await.context("this kubeconfig cannot be used")
}

/// A client for a kubeconfig, without any rate limit of its own.
///
/// It belongs to the tokio runtime that it is made on: make one per test.
pub async fn client(kubeconfig: &str) -> Result<Client> {
    Client::try_from(config(kubeconfig).await?).context("cannot make a client of this kubeconfig")
}
