//! The service below a Kubernetes client: TLS, authentication, a few tries, and connections that are seen to live.

use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use kube::{
    Client, Config,
    client::{ClientBuilder, ConfigExt as _, RustlsTlsError, retry::RetryPolicy},
};
use rustls::pki_types::ServerName;
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

use super::{CONNECT_TIMEOUT, count::Count, shards::Shards, signs::SILENCE};

/// Number of tries for a request that an API server is too busy for before the caller gets the error.
const TRIES: u32 = 3;

/// A client for a configuration.
pub(super) fn client(config: Config, cluster: &'static str) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        // Says that this needs what is not built in.
        return ClientBuilder::try_from(config).map(ClientBuilder::build);
    }
    let connect_limit = config.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let shards = Shards::new(https(&config, connect_limit)?, connect_limit, cluster);
    let tries = RetryPolicy::new(Duration::from_millis(50), Duration::from_secs(1), TRIES, true);
    let tries = tries.expect("the longest delay is longer than the shortest");
    let service = ServiceBuilder::new()
        .layer(Count { cluster })
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(tries)))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(shards);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

pub(super) fn https(config: &Config, connect_limit: Duration) -> kube::Result<HttpsConnector<HttpConnector>> {
    let builder =
        HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    let builder = match &config.tls_server_name {
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(RustlsTlsError::InvalidServerName);
            let name = name.map_err(kube::Error::RustlsTls)?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().enable_http2().wrap_connector(tcp(connect_limit)))
}

/// The kernel notices sooner than we do that a peer is gone, where nothing in between answers for it.
fn tcp(connect_limit: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_limit));
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector.set_keepalive_interval(Some(Duration::from_secs(5)));
    connector.set_keepalive_retries(Some(3));
    connector.set_tcp_user_timeout(Some(SILENCE));
    connector
}
