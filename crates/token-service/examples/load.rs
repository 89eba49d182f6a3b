//! Load on a server of this machine that costs the machine little: bodies from a file, one a line, over
//! connections that stay open, with a timer around each answer. Prints one JSON object.
//! `load 127.0.0.1:8080 /path CONNECTIONS REQUESTS FILE`

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::LocalSet,
};

/// State that all connections share.
struct Load {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    next: Cell<usize>,
    total: usize,
    latencies: RefCell<Vec<Duration>>,
    accepted: Cell<usize>,
    refused: Cell<usize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, total, file] = arguments.as_slice() else {
        return Err("usage: load ADDRESS:PORT /PATH CONNECTIONS REQUESTS FILE".into());
    };
    let address: SocketAddr = address.parse()?;
    if !address.ip().is_loopback() {
        return Err("only this machine is put under load".into());
    }
    let bodies = std::fs::read_to_string(file)?;
    let requests: Vec<_> = bodies.lines().map(|body| request(path, body)).collect();
    let total = total.parse()?;
    let load = Load {
        address,
        requests,
        next: Cell::new(0),
        total,
        latencies: RefCell::new(Vec::with_capacity(total)),
        accepted: Cell::new(0),
        refused: Cell::new(0),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(all(Rc::new(load), connections.parse()?)))
}

fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn all(load: Rc<Load>, connections: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let each = |stream| tokio::task::spawn_local(one(Rc::clone(&load), stream));
    let workers: Vec<_> = streams.into_iter().map(each).collect();
    for worker in workers {
        worker.await??;
    }
    report(&load, start.elapsed());
    Ok(())
}

async fn one(load: Rc<Load>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let index = load.next.get();
        if index >= load.total {
            return Ok(());
        }
        load.next.set(index + 1);
        let start = Instant::now();
        stream.write_all(&load.requests[index % load.requests.len()]).await?;
        let length = answer(&mut stream, &mut buffer).await?;
        load.latencies.borrow_mut().push(start.elapsed());
        let (reviewed, answer) = (is_success(&buffer), &buffer[..length]);
        let accepted = reviewed && contains(answer, b"\"authenticated\":true");
        load.accepted.set(load.accepted.get() + usize::from(accepted));
        let refused = reviewed && contains(answer, b"\"authenticated\":false");
        load.refused.set(load.refused.get() + usize::from(refused));
    }
}

/// Reads one answer, and says how long it is.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(std::io::Error::other("the server has closed a connection"));
        }
        filled += read;
        if end(&buffer[..filled]).is_some_and(|end| filled >= end) {
            return Ok(filled);
        }
    }
}

/// Position of an answer's end, once its head is complete.
fn end(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?.to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
    Some(head + length)
}

fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 20")
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[expect(clippy::print_stdout, reason = "its output is the report")]
fn report(load: &Load, elapsed: Duration) {
    let mut latencies = load.latencies.borrow_mut();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() * share / 100).min(latencies.len() - 1)].as_secs_f64();
    println!(
        "{}",
        json!({
            "answers": latencies.len(), "accepted": load.accepted.get(), "refused": load.refused.get(),
            "seconds": elapsed.as_secs_f64(),
            "p50_ms": at(50) * 1000.0, "p99_ms": at(99) * 1000.0,
        })
    );
}
