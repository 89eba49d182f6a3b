//! A server that answers as no stock API server does, over TLS and HTTP/1.1: an aggregated API, or a kubelet.

use std::sync::Arc;

use parking_lot::Mutex;
use portolan_testkit::self_signed::SelfSigned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A request that the server has got.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// The headers, in lower case.
    pub headers: String,
}

impl Asked {
    pub fn has_token(&self, token: &str) -> bool {
        self.headers.contains(&format!("authorization: bearer {token}\r\n"))
    }

    pub fn wants_metadata(&self) -> bool {
        self.headers.contains("as=partialobjectmetadata")
    }

    fn is_review(&self) -> bool {
        self.path.contains("selfsubject")
    }
}

/// Added to a status: the connection closes after the body, which is shorter than was announced.
pub const BREAKS_OFF: u16 = 10_000;

/// Status and body of an answer.
pub type Reply = (u16, String);

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running server.
pub struct Fake {
    pub port: u16,
    pub ca_pem: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Fake {
    /// Starts one that answers by a script. Reviews that the script does not know (404) accept every token.
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let SelfSigned { ca_pem, acceptor, .. } = SelfSigned::make().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Arc<Script> = Arc::new(script);
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let all = Arc::clone(&asked);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(acceptor.clone(), stream, Arc::clone(&script), Arc::clone(&all)));
            }
        });
        Self { port, ca_pem, asked, _serving: serving }
    }

    /// The requests since the last time, without reviews.
    pub fn take(&self) -> Vec<Asked> {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.into_iter().filter(|asked| !asked.is_review()).collect()
    }

    /// Number of requests, reviews included.
    pub fn count(&self) -> usize {
        self.asked.lock().len()
    }

    /// A schema document with the kind Widget of x.io, which this server serves.
    pub fn document(&self) -> Value {
        let authority = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &self.ca_pem);
        document(&format!("https://127.0.0.1:{}", self.port), &json!({"data": authority}))
    }
}

/// A schema document with the kind Widget of x.io.
pub fn document(host: &str, ca: &Value) -> Value {
    let text = json!({"type": "string"});
    let metadata = json!({"type": "object", "properties": {"name": text, "namespace": text}});
    let widget = json!({
        "type": "object",
        "properties": {"metadata": {"$ref": "#/definitions/m.ObjectMeta"}, "size": text},
        "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "Widget"}],
        "x-kubernetes-plural": "widgets", "x-kubernetes-scope": "Namespaced",
        "x-kubernetes-verbs": ["get", "list", "watch"], "x-kubernetes-categories": [],
    });
    json!({
        "definitions": {"m.ObjectMeta": metadata, "x.Widget": widget},
        "x-cluster-metadata": {"host": host, "path": "f", "ca": ca},
    })
}

/// A list of widgets.
pub fn widgets(names: &[&str]) -> String {
    let items: Vec<_> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name, "namespace": "n"}, "size": "big"}))
        .collect();
    json!({"kind": "WidgetList", "apiVersion": "x.io/v1", "metadata": {"resourceVersion": "7"}, "items": items})
        .to_string()
}

/// A refusal in the words of Kubernetes.
pub fn refusal(code: u16, reason: &str, message: &str) -> Reply {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    (code, status.to_string())
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    script: Arc<Script>,
    all: Arc<Mutex<Vec<Asked>>>,
) -> Option<()> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
        while let Some((asked, length)) = request(&read) {
            read.drain(..length);
            all.lock().push(asked.clone());
            let (mut status, mut body) = script(&asked);
            if status == 404 && asked.is_review() {
                status = 201;
                body = json!({"status": {"userInfo": {"username": "somebody"}, "allowed": true}}).to_string();
            }
            let breaks_off = status >= BREAKS_OFF;
            let head = format!(
                "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                status % BREAKS_OFF,
                body.len() + usize::from(breaks_off)
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(body.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            if breaks_off {
                return stream.shutdown().await.ok();
            }
        }
    }
}

/// A whole request at the beginning of these bytes, and its length.
fn request(bytes: &[u8]) -> Option<(Asked, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (line, headers) = head.split_once("\r\n")?;
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = end + length.unwrap_or(0);
    let mut words = line.split(' ');
    let path = words.nth(1)?.to_owned();
    (bytes.len() >= whole).then_some((Asked { path, headers }, whole))
}
