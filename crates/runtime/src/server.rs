//! A server for routers: with TLS or without, bounded in connections and waiting time, and polite while it drains.

pub mod answer;
pub mod bearer;
pub mod body;
mod leftover;
mod opening;
mod request;

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::unconstrained,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::ServiceExt as _;
use tracing::{debug, info};

use self::opening::Opened;
use crate::{
    tasks::Tasks,
    tls::{CertificateSubject, ServerTls},
};

/// Limit for a client's TLS handshake, for its first bytes, and for the head of a request.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a draining server still answers on kept connections, so that clients close them.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Limit on concurrent connections. More wait in the queue of the kernel.
const MAX_CONNECTIONS: usize = 4096;
/// Limit on the requests that a client has under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;

/// Limit on all headers of an HTTP/2 request together: one may hold a token of 16 KiB.
const MAX_HEADER_LIST: u32 = 32 * 1024;

/// The other end of a connection: an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address of the client.
    pub address: SocketAddr,
    /// Whom its verified certificate names.
    pub certificate: Option<Arc<CertificateSubject>>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: choose another address, or stop what uses it")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Serves a router until the tasks are cancelled. Then answers ask clients to close their connections, and a
/// moment later what is under way is finished.
///
/// # Examples
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use portolan_runtime::{
///     process::ProcessFailure,
///     server::serve,
///     tasks::Tasks,
///     tls::{ServerTls, TlsArgs},
/// };
///
/// async fn start(args: &TlsArgs, tasks: &Tasks) -> Result<(), ProcessFailure> {
///     let tls = ServerTls::start(args, tasks).await?;
///     let router = Router::new().route("/", get(|| async { "hello" }));
///     serve(tasks, ([0, 0, 0, 0], 8443).into(), tls, router).await?;
///     Ok(())
/// }
/// ```
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
    let server = Arc::new(Server { tls, router, tasks: tasks.clone(), draining: AtomicBool::new(false) });
    tasks.spawn_graceful(run(server, Door::new(listener, tasks.clone())));
    Ok(local)
}

struct Server {
    tls: Option<ServerTls>,
    router: Router,
    tasks: Tasks,
    draining: AtomicBool,
}

async fn run(server: Arc<Server>, door: Door) {
    let tasks = door.tasks.clone();
    tokio::select! {
        () = door.accept(&server) => {}
        () = tasks.cancelled() => {}
    }
    server.draining.store(true, Ordering::Relaxed);
    tokio::select! {
        () = door.accept(&server) => {}
        () = sleep(DRAIN_TIME) => {}
    }
    // Who waits in the queue of the kernel would be cut off; everybody in it is taken at once, however many they are.
    let _ = timeout(Duration::ZERO, unconstrained(door.accept(&server))).await;
    door.close().await;
}

/// The listener and its limits.
struct Door {
    listener: TcpListener,
    tasks: Tasks,
    places: Arc<Semaphore>,
    /// The connections of which nothing was read yet.
    unheard: TaskTracker,
    /// Cancelled when they are not waited for any more.
    closed: CancellationToken,
}

/// The resources that a connection holds while it is open.
struct Guest {
    address: SocketAddr,
    unheard: TaskTrackerToken,
    closed: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Door {
    fn new(listener: TcpListener, tasks: Tasks) -> Self {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { listener, tasks, places, unheard: TaskTracker::new(), closed: CancellationToken::new() }
    }

    async fn accept(&self, server: &Arc<Server>) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let (unheard, closed) = (self.unheard.token(), self.closed.clone());
                    let guest = Guest { address, unheard, closed, _place: place };
                    self.tasks.spawn_graceful(Arc::clone(server).connection(stream, guest));
                }
                // Out of file descriptors, or a client that is gone already: neither is helped by hurry.
                Err(error) => {
                    debug!(%error, "failed to accept");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn close(self) {
        drop(self.listener);
        self.unheard.close();
        // Whoever came in last may have asked already; without this, nobody would answer.
        let _ = timeout(DRAIN_TIME, self.unheard.wait()).await;
        self.closed.cancel();
    }
}

/// The result of a beginning, unless it fails, takes too long, or is not waited for any more.
async fn in_time<T>(closed: &CancellationToken, beginning: impl Future<Output = io::Result<T>>) -> Option<T> {
    tokio::select! {
        biased;
        begun = timeout(CLIENT_TIMEOUT, beginning) => begun.ok()?.ok(),
        () = closed.cancelled() => None,
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(CLIENT_TIMEOUT).max_headers(64);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .keep_alive_interval(CLIENT_TIMEOUT);
    builder
}

/// Serves a connection until it ends. Once the door is closed, what is under way is finished, and nothing else begins.
async fn serve_until<C: Future>(closed: &CancellationToken, connection: C, finish: impl FnOnce(Pin<&mut C>)) {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = &mut connection => return,
        () = closed.cancelled() => finish(connection.as_mut()),
    }
    connection.await;
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, guest: Guest) {
        let address = guest.address;
        // Without it, answers of two parts wait for each other; if it fails, they do.
        let _ = stream.set_nodelay(true);
        // Each future has a box of its own, since a connection keeps the memory of the largest one in it.
        let Some(tls) = &self.tls else {
            return Box::pin(self.http(stream, None, guest)).await;
        };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        let Some(stream) = Box::pin(in_time(&guest.closed, handshake)).await else {
            return debug!(%address, "no TLS handshake");
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate =
            certificate.and_then(|certificate| CertificateSubject::of(certificate)).map(Arc::new);
        Box::pin(self.http(stream, certificate, guest)).await;
    }

    async fn http<S>(self: Arc<Self>, stream: S, certificate: Option<Arc<CertificateSubject>>, guest: Guest)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Guest { address, unheard, closed, _place } = guest;
        let Some(stream) = Box::pin(in_time(&closed, Opened::new(stream, unheard))).await else {
            return debug!(%address, "no first bytes");
        };
        let peer = Peer { address, certificate };
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let server = Arc::clone(&self);
            request.extensions_mut().insert(peer.clone());
            async move { Ok::<_, std::convert::Infallible>(Box::pin(server.answer(request)).await) }
        });
        // Clients break off connections as they like.
        if stream.is_http2() {
            let connection = http2().serve_connection(stream, service);
            Box::pin(serve_until(&closed, connection, http2::Connection::graceful_shutdown)).await;
        } else {
            let connection = http1().serve_connection(stream, service).with_upgrades();
            Box::pin(serve_until(&closed, connection, http1::UpgradeableConnection::graceful_shutdown)).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let kept = request.version() == Version::HTTP_11;
        let (mut request, leftover) = leftover::heard(request);
        let mut response = if let Some(refusal) = request::refusal(&request) {
            drop(request);
            refusal
        } else {
            request::without_last_slash(request.uri_mut());
            let answered = self.router.clone().oneshot(request).await;
            answered.unwrap_or_else(|never| match never {})
        };
        leftover.pour_away(&self.tasks);
        // What changes its protocol says so in that very header, and is not kept for another request anyway.
        let changes = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if kept && !changes && self.draining.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_has_come_in_the_last_moment_is_heard_out() {
        let tasks = Tasks::default();
        let router = Router::new().route("/", get(async || "here"));
        let address = serve(&tasks, "127.0.0.1:0".parse().unwrap(), None, router).await.unwrap();
        tasks.cancel();
        sleep(DRAIN_TIME / 2).await;
        // The server runs on this thread: when it goes on, the door is to be closed, and somebody stands in it.
        std::thread::sleep(DRAIN_TIME);
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        sleep(DRAIN_TIME / 5).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
        assert!(tasks.drained(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_change_of_protocol_is_one_while_the_server_drains_too() {
        let tasks = Tasks::default();
        let change = async || {
            (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, "x")])
        };
        let router = Router::new().route("/change", get(change)).route("/stay", get(async || "here"));
        let address = serve(&tasks, "127.0.0.1:0".parse().unwrap(), None, router).await.unwrap();
        let (one, other) = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        tasks.cancel();
        sleep(DRAIN_TIME / 5).await;
        let table = [
            (one, "/change", "HTTP/1.1 101 ", "\r\nconnection: upgrade\r\n"),
            (other, "/stay", "HTTP/1.1 200 ", "\r\nconnection: close\r\n"),
        ];
        for (stream, path, status, header) in table {
            let mut stream = stream.unwrap();
            let asked =
                format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
            stream.write_all(asked.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(status) && answer.contains(header), "{path}: {answer}");
        }
    }
}
