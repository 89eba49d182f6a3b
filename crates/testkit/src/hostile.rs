//! An API server that misbehaves, over TLS, as no real one does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::self_signed::SelfSigned;

/// The kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostility {
    /// A login page, with status 200.
    Html,
    /// The request is read and never answered.
    Hang,
    /// An endless OpenAPI document.
    Endless,
    /// Hashes of OpenAPI documents that change at every read, although the documents do not.
    MovingHashes,
    /// An OpenAPI document of one group-version that is not JSON.
    BrokenPart,
    /// Status 401 for everybody.
    Unauthorized,
    /// A schema that is nested too deeply.
    Deep,
    /// As many CRDs as [`MANY`] in groups of their own.
    Wide,
}

/// The CRDs of a server that is wide, beside two that every server has.
pub const MANY: usize = 2000;
/// The fields of each of them.
const FIELDS: usize = 100;

/// A running server.
pub struct HostileServer {
    /// Its port on loopback.
    pub port: u16,
    /// Its certificate, which is self-signed.
    pub ca_pem: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    hostility: Hostility,
    reads: AtomicU64,
    sent: AtomicUsize,
}

impl HostileServer {
    /// Starts one.
    pub async fn start(hostility: Hostility) -> Result<Self> {
        let SelfSigned { ca_pem, acceptor, .. } = SelfSigned::make()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { hostility, reads: AtomicU64::new(0), sent: AtomicUsize::new(0) });
        let state = Arc::clone(&shared);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(Arc::clone(&state), acceptor.clone(), stream));
            }
        });
        Ok(Self { port, ca_pem, shared, _serving: serving })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Number of reads of its index.
    pub fn index_reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// Number of bytes sent of endless documents.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

async fn serve(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..read]);
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).into_owned();
        text.drain(..end + 4);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if answer(&shared, &path, &mut stream).await.is_err() {
            return;
        }
    }
}

async fn answer<S: tokio::io::AsyncWrite + Unpin>(
    shared: &Shared,
    path: &str,
    stream: &mut S,
) -> std::io::Result<()> {
    match shared.hostility {
        Hostility::Html => return say(stream, "200 OK", "text/html", "<html>log in</html>").await,
        Hostility::Unauthorized => return say(stream, "401 Unauthorized", "application/json", "{}").await,
        Hostility::Hang => std::future::pending().await,
        _ => {}
    }
    let bare = path.split('?').next().unwrap_or_default();
    let body = match bare {
        "/version" => json!({"gitVersion": "v1.35.0"}).to_string(),
        "/api" => json!({"kind": "APIGroupDiscoveryList", "items": []}).to_string(),
        "/apis" => discovery(shared.hostility),
        "/openapi/v3" => index(shared),
        "/openapi/v3/apis/good.example/v1" => openapi("good.example"),
        "/openapi/v3/apis/bad.example/v1" => match shared.hostility {
            Hostility::Endless => return endless(shared, stream).await,
            Hostility::BrokenPart => "{\"components\":".to_owned(),
            Hostility::Deep => deep(),
            _ => openapi("bad.example"),
        },
        _ => match group_of(bare).filter(|_| shared.hostility == Hostility::Wide) {
            Some(group) => openapi(group),
            None => return say(stream, "403 Forbidden", "application/json", "{}").await,
        },
    };
    say(stream, "200 OK", "application/json", &body).await
}

/// The groups that a server has.
fn groups(hostility: Hostility) -> Vec<String> {
    let many = if hostility == Hostility::Wide { MANY } else { 0 };
    let wide = (0..many).map(|number| format!("wide{number}.example"));
    ["good.example".to_owned(), "bad.example".to_owned()].into_iter().chain(wide).collect()
}

fn group_of(path: &str) -> Option<&str> {
    path.strip_prefix("/openapi/v3/apis/")?.strip_suffix("/v1")
}

fn discovery(hostility: Hostility) -> String {
    let group = |name: &str| {
        json!({"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": "Current", "resources": [{
            "resource": "widgets", "responseKind": {"group": name, "version": "v1", "kind": "Widget"},
            "scope": "Namespaced", "singularResource": "widget", "verbs": ["get", "list"],
        }]}]})
    };
    let items: Vec<_> = groups(hostility).iter().map(|name| group(name)).collect();
    json!({"kind": "APIGroupDiscoveryList", "items": items}).to_string()
}

fn index(shared: &Shared) -> String {
    let reads = shared.reads.fetch_add(1, Ordering::Relaxed);
    let hash = if shared.hostility == Hostility::MovingHashes { reads } else { 0 };
    let entry =
        |group: &str| json!({"serverRelativeURL": format!("/openapi/v3/apis/{group}/v1?hash={hash}")});
    let paths: serde_json::Map<_, _> =
        groups(shared.hostility).iter().map(|group| (format!("apis/{group}/v1"), entry(group))).collect();
    json!({"paths": paths}).to_string()
}

fn openapi(group: &str) -> String {
    let field = |number: usize| {
        let description =
            format!("Field {number} of {group}, with a text as long as those that people write.");
        (format!("field{number}"), json!({"type": "string", "description": description}))
    };
    let fields: serde_json::Map<_, _> = (0..FIELDS).map(field).collect();
    json!({"components": {"schemas": {format!("{group}.Widget"): {
        "type": "object", "properties": fields,
        "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": "Widget"}],
    }}}})
    .to_string()
}

fn deep() -> String {
    let (open, close) = ("{\"items\":".repeat(200_000), "}".repeat(200_000));
    format!("{{\"components\":{{\"schemas\":{{\"a\":{open}{{}}{close}}}}}}}")
}

async fn say<S: tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
    status: &str,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}

/// Sends half a gigabyte of schema, as fast as it is read.
async fn endless<S: tokio::io::AsyncWrite + Unpin>(shared: &Shared, stream: &mut S) -> std::io::Result<()> {
    const WHOLE: usize = 500 * 1024 * 1024;
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {WHOLE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![b' '; 64 * 1024];
    for _ in 0..WHOLE / chunk.len() {
        stream.write_all(&chunk).await?;
        shared.sent.fetch_add(chunk.len(), Ordering::Relaxed);
        tokio::time::sleep(Duration::ZERO).await;
    }
    stream.flush().await
}
