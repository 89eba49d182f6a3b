//! A service that answers as a test says, to see what the client makes of it.

use std::sync::Arc;

use parking_lot::Mutex;
use portolan_testkit::issuer::now;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

#[derive(Default)]
struct State {
    answer: (u16, String),
    requests: usize,
}

/// A running service.
pub struct Scripted {
    pub url: String,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let (shared, mut serving) = (Arc::clone(&state), JoinSet::new());
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(&shared, stream).await;
            }
        });
        Self { url, state, _serving: serving }
    }

    /// From now on it gives this token, which ends in so many seconds.
    pub fn gives(&self, token: &str, seconds: i64) {
        let end = jiff::Timestamp::from_second(now() + seconds).unwrap().to_string();
        let body = json!({"status": {"token": token, "expirationTimestamp": end}}).to_string();
        self.state.lock().answer = (200, body);
    }

    /// From now on it refuses.
    pub fn refuses(&self, status: u16) {
        let body = json!({"name": "error", "id": "x", "message": "no matching binding found"}).to_string();
        self.state.lock().answer = (status, body);
    }

    pub fn requests(&self) -> usize {
        self.state.lock().requests
    }
}

async fn answer(state: &Mutex<State>, mut stream: TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    // The client's only body ends with a brace.
    while !request.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let (status, body) = {
        let mut state = state.lock();
        state.requests += 1;
        state.answer.clone()
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // A client that is gone needs no answer.
    let _ = stream.write_all((head + &body).as_bytes()).await;
}
