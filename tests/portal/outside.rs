//! A server on this machine that is neither the portal nor the cluster: an API, a Prometheus, a place with documents.

use std::sync::Arc;

use parking_lot::Mutex;
use portolan_testkit::self_signed::SelfSigned;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: String,
}

impl Asked {
    /// Path and query.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Status, lines of headers, and body. `None` is no answer at all.
pub type Answer = Option<(u16, String, Vec<u8>)>;

struct Shared {
    answer: Box<dyn Fn(&Asked) -> Answer + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
}

/// The server. It ends when it is dropped.
pub struct Outside {
    pub url: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Outside {
    /// A server over plain HTTP.
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let (listener, shared) = begin(answer).await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mut serving, served) = (JoinSet::new(), Arc::clone(&shared));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { url, shared, _serving: serving }
    }

    /// A server over TLS, and the CA of its certificate.
    pub async fn start_tls(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Self, String) {
        let SelfSigned { ca_pem, acceptor, .. } = SelfSigned::make().unwrap();
        let (listener, shared) = begin(answer).await;
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (mut serving, served) = (JoinSet::new(), Arc::clone(&shared));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, served) = (acceptor.clone(), Arc::clone(&served));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, served).await;
                    }
                });
            }
        });
        (Self { url, shared, _serving: serving }, ca_pem)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }
}

async fn begin(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (TcpListener, Arc<Shared>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, Arc::new(Shared { answer: Box::new(answer), asked: Mutex::default() }))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    let asked = loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        received.extend_from_slice(&buffer[..read]);
        if let Some(asked) = whole(&received) {
            break asked;
        }
    };
    shared.asked.lock().push(asked.clone());
    let Some((status, headers, body)) = (shared.answer)(&asked) else { return std::future::pending().await };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    // Who has read enough hangs up.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = stream.shutdown().await;
}

fn whole(received: &[u8]) -> Option<Asked> {
    let text = String::from_utf8_lossy(received);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let asked = Asked { head: head.to_owned(), body: body.to_owned() };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    (body.len() >= length).then_some(asked)
}

/// An answer of JSON.
#[expect(clippy::unnecessary_wraps, reason = "what answers may also say nothing")]
pub fn json(body: &serde_json::Value) -> Answer {
    Some((200, "content-type: application/json\r\n".to_owned(), body.to_string().into_bytes()))
}
