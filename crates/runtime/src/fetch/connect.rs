//! Connections of the fetcher: resolved once, checked, then connected to exactly that address.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::{
    AddressPolicy, FetchError, FetchSettings,
    race::{in_turns, race},
};
use crate::authorities::CaBundle;

pub(super) type Connector = HttpsConnector<CheckedTcp>;

pub(super) fn connector(settings: &FetchSettings) -> Result<Connector, FetchError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = &settings.extra_authorities {
        let bundle = CaBundle::read(pem).map_err(FetchError::Authorities)?;
        roots.add_parsable_certificates(bundle.usable);
    }
    if settings.system_authorities {
        // Those that cannot be read would be missed by the one connection that needs them.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // One host per fetcher, and connections are kept: few sessions are worth remembering.
    tls.resumption = Resumption::in_memory_sessions(4);
    let tcp =
        CheckedTcp { policy: Arc::new(settings.policy.clone()), connect_timeout: settings.connect_timeout };
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp))
}

/// Makes TCP connections to addresses that the policy allows.
#[derive(Clone, Debug)]
pub(super) struct CheckedTcp {
    policy: Arc<AddressPolicy>,
    connect_timeout: Duration,
}

impl Service<Uri> for CheckedTcp {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&url).await.map(TokioIo::new) })
    }
}

impl CheckedTcp {
    async fn connect(&self, url: &Uri) -> io::Result<TcpStream> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in self.in_time(resolve(url)).await? {
            match self.policy.check(address) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        match refused.filter(|_| allowed.is_empty()) {
            Some(forbidden) => Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden)),
            None => race(in_turns(allowed), |address| self.in_time(attempt(address))).await,
        }
    }

    async fn in_time<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let ended = timeout(self.connect_timeout, step).await;
        ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn resolve(url: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or_else(|| if url.scheme_str() == Some("https") { 443 } else { 80 });
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}
