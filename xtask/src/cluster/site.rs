//! What the values of the charts have to know of a cluster: of our own node, or of somebody else's.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use serde_json::Value;

use super::{charts::LISTENER_HOST, hosts, node::ISSUER};

/// The API server as pods of any cluster reach it, whatever the domain of the cluster is.
const API_SERVER: &str = "https://kubernetes.default.svc";
/// The first address of the Services of our own node.
const ADDRESS: &str = "10.96.0.1";

/// Who signs the tokens of pods, and how pods reach the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) issuer: String,
    pub(super) api_server: String,
    /// The address of its Service.
    pub(super) address: String,
}

impl Site {
    /// Our own node.
    pub(super) fn ours() -> Self {
        Self { issuer: ISSUER.to_owned(), api_server: ISSUER.to_owned(), address: ADDRESS.to_owned() }
    }

    /// Asks somebody else's cluster.
    pub(super) async fn of(client: &Client) -> Result<Self> {
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
        let document: Value = client.request(request).await.context("asking the cluster who signs tokens")?;
        let issuer = document["issuer"].as_str().context("the cluster names no issuer of tokens")?.to_owned();
        let services: Api<Service> = Api::namespaced(client.clone(), "default");
        let service = services.get("kubernetes").await.context("the Service of the API server")?;
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let address = address.context("the Service of the API server has no address")?;
        Ok(Self { issuer, api_server: API_SERVER.to_owned(), address })
    }
}

/// A certificate for every host that the charts serve at, its key, and its authority, which is the certificate itself.
pub(super) fn certificate() -> Result<(String, String, String)> {
    let names: Vec<_> = hosts().into_iter().chain([LISTENER_HOST.to_owned()]).collect();
    let made = rcgen::generate_simple_self_signed(names).context("making a certificate")?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem(), made.cert.pem()))
}
