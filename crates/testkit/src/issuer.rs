//! An issuer that the tests make: real discovery and keys, and every way to misbehave. On loopback, which the
//! configuration names.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::forge::{SigningKey, claims};

/// The issuer's behaviour when it is asked for keys.
#[derive(Clone, Debug, Default)]
pub enum Mood {
    /// Answers with its keys.
    #[default]
    Good,
    /// Answers never.
    Silent,
    /// Sends one byte at a time.
    Dripping,
    /// Sends more than anybody wants.
    Endless,
    /// Sends another place.
    Redirecting(String),
    /// Sends this.
    Lying(String),
}

#[derive(Default)]
struct Shared {
    jwks: Mutex<Value>,
    mood: Mutex<Mood>,
    issuer: Mutex<String>,
    algorithms: Mutex<Value>,
    requests: AtomicUsize,
}

/// A running issuer.
pub struct Issuer {
    /// Its `iss`, and where its discovery document is.
    pub url: String,
    /// Port on which it listens.
    pub port: u16,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Issuer {
    /// Starts an issuer that publishes these keys.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("loopback").port();
        let (url, shared) = (format!("http://127.0.0.1:{port}"), Arc::<Shared>::default());
        url.clone_into(&mut shared.issuer.lock());
        let mut serving = JoinSet::new();
        let state = Arc::clone(&shared);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(Arc::clone(&state), stream));
            }
        });
        let issuer = Self { url, port, shared, _serving: serving };
        issuer.publish(keys);
        issuer
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let jwks: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        *self.shared.jwks.lock() = json!({"keys": jwks});
    }

    /// Says in its discovery document which algorithms it uses.
    pub fn says_it_uses(&self, algorithms: &[&str]) {
        *self.shared.algorithms.lock() = json!(algorithms);
    }

    /// Changes its mood, for answers from now on.
    pub fn is(&self, mood: Mood) {
        *self.shared.mood.lock() = mood;
    }

    /// Number of requests for keys so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// An entry of `clusters:`.
    pub fn entry(&self, name: &str, more: &str) -> String {
        format!(
            "  {name}: {{issuer: '{}', plain_http: true, allow_addresses: ['127.0.0.1:{}']{more}}}\n",
            self.url, self.port
        )
    }

    /// A good token for the audience `x`.
    pub fn token(&self, key: &SigningKey, algorithm: &str) -> String {
        key.token(algorithm, &claims(&self.url, &["x"], now()))
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a test has no clock of its own")]
    let now = jiff::Timestamp::now();
    now.as_second()
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut buffer = vec![0; 8192];
    loop {
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        let keys = buffer[..length].starts_with(b"GET /keys");
        if !keys {
            let url = shared.issuer.lock().clone();
            let mut document = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
            let algorithms = shared.algorithms.lock().clone();
            if algorithms.is_array() {
                document["id_token_signing_alg_values_supported"] = algorithms;
            }
            if answer(&mut stream, "200 OK", "", &document.to_string()).await.is_err() {
                return;
            }
            continue;
        }
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let mood = shared.mood.lock().clone();
        if misbehave(&shared, &mut stream, mood).await.is_none() {
            return;
        }
    }
}

async fn misbehave(shared: &Shared, stream: &mut TcpStream, mood: Mood) -> Option<()> {
    match mood {
        Mood::Good => {
            let jwks = shared.jwks.lock().to_string();
            answer(stream, "200 OK", "", &jwks).await.ok()
        }
        Mood::Lying(text) => answer(stream, "200 OK", "", &text).await.ok(),
        Mood::Redirecting(to) => answer(stream, "302 Found", &format!("location: {to}\r\n"), "").await.ok(),
        Mood::Silent => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            None
        }
        Mood::Dripping => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(b" ").await.ok()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Mood::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[").await.ok()?;
            let chunk = "[],".repeat(20_000);
            loop {
                stream.write_all(chunk.as_bytes()).await.ok()?;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await
}
