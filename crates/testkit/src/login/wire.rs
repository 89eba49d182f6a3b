//! Requests and answers on the wire, one connection each.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{Shared, pages};

const MAX_BYTES: usize = 1 << 20;

/// A request, with the parameters of its query and of its form.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) form: HashMap<String, String>,
    headers: String,
}

impl Request {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (line, headers) = head.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (query, form) = (parameters(query), parameters(body));
        Some(Self { method, path: path.to_owned(), query, form, headers: headers.to_owned() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn parameters(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(status: &'static str, body: &Value) -> Self {
        let headers = "content-type: application/json\r\ncache-control: no-store\r\n".to_owned();
        Self { status, headers, body: body.to_string() }
    }

    pub(super) fn html(body: String) -> Self {
        Self { status: "200 OK", headers: "content-type: text/html; charset=utf-8\r\n".to_owned(), body }
    }

    pub(super) fn to(location: &str) -> Self {
        Self { status: "302 Found", headers: format!("location: {location}\r\n"), body: String::new() }
    }

    pub(super) fn error(status: &'static str, error: &str) -> Self {
        Self::json(status, &serde_json::json!({"error": error}))
    }
}

/// Serves until the task is dropped.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(Arc::clone(&shared), acceptor.clone(), stream));
    }
}

async fn connection(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_whole(&text) && text.len() < MAX_BYTES {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        text.extend_from_slice(&buffer[..read]);
    }
    let answer = match Request::read(&String::from_utf8_lossy(&text)) {
        Some(request) => pages::answer(&shared, &request),
        None => Answer::error("400 Bad Request", "invalid_request"),
    };
    let Answer { status, headers, body } = answer;
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut lengths = head.lines().filter_map(|line| line.split_once(':'));
    let length = lengths.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0)
}
