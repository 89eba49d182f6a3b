//! A client without a credential of its own: each request carries that of its caller, and answers stay bytes.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper_util::client::legacy;
use kube::{
    Config,
    client::Body,
    config::{AuthInfo, Cluster, KubeConfigOptions},
};

pub use super::shards::Answer;
use crate::authorities::CaBundle;

use super::{
    CONNECT_TIMEOUT, ClientError, kubeconfig,
    pulse::{NoPulse, Pulse, below},
    shards::{Https, Shards},
    transport,
};
use crate::tasks::Tasks;

/// The address of an API server, and what its certificate is verified with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Its URL.
    pub server: String,
    /// The authorities of its certificate as PEM. If none, the public CAs.
    pub authorities: Option<Vec<u8>>,
    /// The name to verify its certificate against, if that is not the host of the URL.
    pub server_name: Option<String>,
}

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Path and query do not make a URL.
    #[error("the request has no valid path")]
    Path(#[from] http::Error),
    /// The API server did not answer.
    #[error("the API server did not answer")]
    Unreachable(#[from] legacy::Error),
}

/// Connections to one API server that carry no credential.
#[derive(Clone, Debug)]
pub struct Carrier {
    shards: Shards,
    connector: Https,
    base: Uri,
}

impl Carrier {
    /// Configures connections, which are made when they are needed.
    ///
    /// # Errors
    /// If the URL or an authority is invalid.
    pub async fn new(to: &Destination) -> Result<Self, ClientError> {
        // Otherwise an empty bundle would count as none.
        if let Some(pem) = &to.authorities {
            CaBundle::read(pem).map_err(ClientError::Authorities)?;
        }
        let cluster = Cluster {
            server: Some(to.server.clone()),
            certificate_authority_data: to
                .authorities
                .as_deref()
                .map(|pem| kubeconfig::authorities(pem, &to.server)),
            tls_server_name: to.server_name.clone(),
            ..Cluster::default()
        };
        let kubeconfig = kubeconfig::of_one(cluster, AuthInfo::default(), None);
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.map_err(ClientError::Restricted)?;
        let connector = transport::https(&config, CONNECT_TIMEOUT).map_err(ClientError::Unusable)?;
        let shards = Shards::new(connector.clone(), CONNECT_TIMEOUT, "remote");
        Ok(Self { shards, connector, base: config.cluster_url })
    }

    /// Sends a request whose URI is path and query only, with this `Authorization` and no other credential.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        authorization: &HeaderValue,
    ) -> Result<Response<Answer>, NoAnswer> {
        *request.uri_mut() = below(&self.base, request.uri())?;
        request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        let (parts, body) = request.into_parts();
        let body = if body.is_empty() { Body::empty() } else { Body::from(body) };
        Ok(self.shards.send(Request::from_parts(parts, body)).await?)
    }

    /// Opens a connection of its own, which is pinged.
    ///
    /// # Errors
    /// If there is none, or if it does not speak HTTP/2.
    pub async fn pulse(&self, tasks: &Tasks) -> Result<Pulse, NoPulse> {
        Pulse::open(&self.connector, &self.base, tasks).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_follow_the_servers_own() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let table = [
            ("https://h:1", "/api/v1/pods?limit=1", "https://h:1/api/v1/pods?limit=1"),
            ("https://h/k8s/a/", "/api", "https://h/k8s/a/api"),
        ];
        for (server, path, expected) in table {
            let to = Destination { server: server.to_owned(), ..Destination::default() };
            let carrier = Carrier::new(&to).await.unwrap();
            assert_eq!(below(&carrier.base, &path.parse().unwrap()).unwrap().to_string(), expected);
        }
        let broken = Destination {
            server: "https://h".into(),
            authorities: Some(b"x".to_vec()),
            ..Destination::default()
        };
        assert!(Carrier::new(&broken).await.is_err());
    }
}
