//! A server for routers: with TLS or without, bounded in connections and patience, and polite when it ends.

mod patient;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::{debug, info};

use self::patient::Patient;
use crate::{
    tasks::Tasks,
    tls::{ServerTls, Subject},
};

/// How long a client may take for a TLS handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that was told to end still answers on kept connections, so that clients close them.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// How many connections there are at the same time. More wait in the queue of the kernel.
const MAX_CONNECTIONS: usize = 4096;
/// How many requests a client may have under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;

/// How long all headers of an HTTP/2 request may be together: one may hold a token of 16 KiB.
const MAX_HEADER_LIST: u32 = 32 * 1024;

/// Who is at the other end of a connection: an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Whom its verified certificate names.
    pub certificate: Option<Arc<Subject>>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: choose another address, or stop what uses it")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Serves a router until the tasks are cancelled. Then answers ask clients to close their connections, and a
/// moment later what is under way is finished.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn serve(
    tasks: &Tasks,
    address: SocketAddr,
    tls: Option<ServerTls>,
    router: Router,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    info!(address = %local, tls = tls.is_some(), "serving");
    let server = Arc::new(Server { tls, router, ending: AtomicBool::new(false) });
    tasks.spawn_graceful(run(server, listener, tasks.clone()));
    Ok(local)
}

struct Server {
    tls: Option<ServerTls>,
    router: Router,
    ending: AtomicBool,
}

async fn run(server: Arc<Server>, listener: TcpListener, tasks: Tasks) {
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    tokio::select! {
        () = accept(&server, &listener, &graceful, &places, &tasks) => {}
        () = tasks.cancelled() => {}
    }
    server.ending.store(true, Ordering::Relaxed);
    tokio::select! {
        () = accept(&server, &listener, &graceful, &places, &tasks) => {}
        () = sleep(FAREWELL) => {}
    }
    // Who waits in the queue of the kernel would be cut off; everybody in it is taken at once.
    let _ = timeout(Duration::ZERO, accept(&server, &listener, &graceful, &places, &tasks)).await;
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    server: &Arc<Server>,
    listener: &TcpListener,
    graceful: &GracefulShutdown,
    places: &Arc<Semaphore>,
    tasks: &Tasks,
) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                let connection = Arc::clone(server).connection(stream, address, graceful.watcher(), place);
                tasks.spawn_graceful(connection);
            }
            // Out of file descriptors, or a client that is gone already: neither is helped by hurry.
            Err(error) => {
                debug!(%error, "failed to accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
        _place: OwnedSemaphorePermit,
    ) {
        // Without it, answers of two parts wait for each other; if it fails, they do.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let peer = Peer { address, certificate: None };
            return self.http(TokioIo::new(stream), peer, watcher).await;
        };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await else {
            return debug!(%address, "no TLS handshake");
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(|certificate| Subject::of(certificate)).map(Arc::new);
        self.http(TokioIo::new(stream), Peer { address, certificate }, watcher).await;
    }

    async fn http<S>(self: Arc<Self>, stream: S, peer: Peer, watcher: hyper_util::server::graceful::Watcher)
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let server = Arc::clone(&self);
            request.extensions_mut().insert(peer.clone());
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_headers(64);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(PATIENCE);
        let connection = builder.serve_connection(Patient::new(stream, PATIENCE), service).into_owned();
        // Clients break off connections as they like.
        let _ = watcher.watch(connection).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let kept = request.version() == Version::HTTP_11;
        let mut response = match self.router.clone().oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if kept && self.ending.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
