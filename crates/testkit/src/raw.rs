//! HTTP/1.1 by hand: requests as no library would send them, and answers as they came.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An answer.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// Its status; 0 when there was none.
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub headers: String,
    /// The same as they came.
    pub head: String,
    /// The body.
    pub text: String,
}

impl RawAnswer {
    /// The body as JSON, `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The values of a header, whose name is in lower case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

/// Sends one request to a port of this machine, on a connection of its own. `headers` are whole lines, each with
/// its `\r\n`; only the length of the body and `connection: close` are added.
///
/// # Errors
/// When nobody accepts the connection, or it breaks before the head is sent. A server that refuses early may stop
/// reading the body.
pub async fn http(port: u16, line: &str, headers: &str, body: &[u8]) -> std::io::Result<RawAnswer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (headers, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok(RawAnswer { status, headers: headers.to_lowercase(), head: headers.to_owned(), text: text.to_owned() })
}
