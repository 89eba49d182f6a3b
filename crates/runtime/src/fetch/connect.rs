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
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use tokio::{net::TcpStream, time::timeout};
use tower::{BoxError, Service};

use super::{
    AddressPolicy, FetchError, FetchSettings,
    race::{in_turns, race},
};
use crate::authorities::CaBundle;

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

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
    let (policy, connect_timeout) = (Arc::new(settings.policy.clone()), settings.connect_timeout);
    Ok(Connector { policy, connect_timeout, tls: Arc::new(tls) })
}

/// Makes connections to addresses that the policy allows.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    policy: Arc<AddressPolicy>,
    connect_timeout: Duration,
    tls: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&url).await })
    }
}

impl Connector {
    async fn connect(&self, url: &Uri) -> Result<Stream, BoxError> {
        let addresses = in_time(self.connect_timeout, resolve(url)).await?;
        self.reach(addresses, url).await
    }

    /// A connection to one of the addresses, with its TLS where the URL has that: an address that takes connections and
    /// says nothing is as silent as any.
    pub(super) async fn reach(&self, addresses: Vec<SocketAddr>, url: &Uri) -> Result<Stream, BoxError> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in addresses {
            match self.policy.check(address) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        match refused.filter(|_| allowed.is_empty()) {
            Some(forbidden) => Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden).into()),
            None => race(in_turns(allowed), |address| self.attempt(address, url)).await.map_err(telling),
        }
    }

    async fn attempt(&self, address: SocketAddr, url: &Uri) -> Result<Stream, BoxError> {
        let tcp = Tcp { address, limit: self.connect_timeout };
        let mut connector = HttpsConnector::from((tcp, Arc::clone(&self.tls)));
        connector.call(url.clone()).await
    }
}

/// The failure to tell of. One of TLS says more than one of TCP, which other addresses of the host may have had.
fn telling(failures: Vec<BoxError>) -> BoxError {
    let failure = failures.into_iter().max_by_key(is_of_tls);
    failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address").into())
}

/// The operating system's own errors have no other one in them.
fn is_of_tls(error: &BoxError) -> bool {
    error.downcast_ref::<io::Error>().is_none_or(|error| error.get_ref().is_some())
}

/// Makes TCP connections to one address, whatever the URL.
#[derive(Clone, Copy, Debug)]
struct Tcp {
    address: SocketAddr,
    limit: Duration,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, limit } = *self;
        Box::pin(async move { in_time(limit, open(address)).await.map(TokioIo::new) })
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn in_time<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn resolve(url: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or_else(|| if url.scheme_str() == Some("https") { 443 } else { 80 });
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_certificate_is_told_whatever_other_addresses_do() {
        let refused = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let bad = || BoxError::from(io::Error::other("invalid peer certificate"));
        let said = |failures: Vec<BoxError>| telling(failures).to_string();
        assert_eq!(said(vec![refused(), bad()]), "invalid peer certificate");
        assert_eq!(said(vec![bad(), refused()]), "invalid peer certificate");
        assert_eq!(said(vec![refused()]), "connection refused");
        assert_eq!(said(Vec::new()), "the host has no address");
    }
}
