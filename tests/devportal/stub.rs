//! A web server on this machine that answers what a test wants, and notes what it was asked.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A request: its line and headers, and its body.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct Shared {
    /// Status and body by path. What is not there is never answered.
    answers: Mutex<HashMap<String, Vec<(u16, String)>>>,
    asked: Mutex<Vec<Asked>>,
}

/// The server. It ends when it is dropped.
pub struct Stub {
    pub url: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Stub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let mut serving = JoinSet::new();
        let served = Arc::clone(&shared);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { url, shared, _serving: serving }
    }

    /// Answers a path like this from now on.
    pub fn answer(&self, path: &str, status: u16, body: &str) {
        self.answers(path, &[(status, body)]);
    }

    /// Answers a path with one after another, and then with the last.
    pub fn answers(&self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().rev().map(|(status, body)| (*status, (*body).to_owned())).collect();
        self.shared.answers.lock().insert(path.to_owned(), answers);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    pub fn asked_for(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.head.split(' ').nth(1) == Some(path)).count()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, length, start) = loop {
        let Ok(read) = stream.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        received.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let head = text[..end].to_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
            break (head, length.unwrap_or(0_usize), end + 4);
        }
    };
    while received.len() < start + length {
        let Ok(read) = stream.read(&mut buffer).await else { return };
        received.extend_from_slice(&buffer[..read]);
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&received[start..]).into_owned();
    shared.asked.lock().push(Asked { head, body });
    let answer = {
        let mut answers = shared.answers.lock();
        answers.get_mut(&path).and_then(|left| if left.len() > 1 { left.pop() } else { left.last().cloned() })
    };
    let Some((status, body)) = answer else { return std::future::pending().await };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}
