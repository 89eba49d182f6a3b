//! Servers that say nothing, on loopback: what no API server can be made to do.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::Instant,
};

use super::*;

/// Accepts everybody, notes what is asked, and answers with the head of a stream, where that is asked for.
async fn silent(head: bool) -> (Client, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (asked, mut serving) = (Arc::<Mutex<Vec<String>>>::default(), JoinSet::new());
    let notes = Arc::clone(&asked);
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            connections.spawn(async move {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                notes.lock().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
                if head {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                }
                std::future::pending::<()>().await;
            });
        }
    });
    let client = transport::client(Config::new(url), "remote").unwrap();
    (client, asked, serving)
}

fn request(target: &str) -> http::Request<Vec<u8>> {
    http::Request::get(target).body(Vec::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_watches_of_http_1_end_soon() {
    for head in [false, true] {
        let (client, asked, _serving) = silent(head).await;
        let begin = Instant::now();
        let answer = client.request_text(request("/apis?watch=true&timeoutSeconds=290")).await;
        assert!(answer.is_err(), "{answer:?}");
        let took = begin.elapsed();
        assert!((signs::SILENCE..Duration::from_secs(45)).contains(&took), "{head}: {took:?}");
        assert!(asked.lock()[0].contains("timeoutSeconds=25 "), "{:?}", asked.lock());
    }
}
