//! A proxy on loopback whose connections can fall silent, as behind a NAT or a load balancer that has forgotten them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards connections to one address of this machine. Dropping it ends all of them.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Connections with a smaller number stay silent.
    silent_below: watch::Sender<usize>,
    opened: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port and forwards to `port` of this machine.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the proxy")?;
        let address = listener.local_addr().context("the proxy has no address")?;
        let (silent_below, silence) = watch::channel(0);
        let opened = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, port, Arc::clone(&opened), silence));
        Ok(Self { address, silent_below, opened, _tasks: tasks })
    }

    /// Address on which it listens, as the authority of a URL.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of connections so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Lets every connection that exists fall silent: it stays open, and nothing passes any more. New ones work.
    /// Gives how many connections there have been.
    pub fn silence(&self) -> usize {
        let opened = self.opened();
        self.silent_below.send_replace(opened);
        opened
    }
}

async fn accept(listener: TcpListener, port: u16, opened: Arc<AtomicUsize>, silence: watch::Receiver<usize>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let number = opened.fetch_add(1, Ordering::SeqCst);
        connections.spawn(forward(near, port, number, silence.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(near: TcpStream, port: u16, number: usize, silence: watch::Receiver<usize>) {
    // Where nobody listens, the connection ends, as one to the server itself would.
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = pass(near_read, far_write, number, silence.clone());
    let back = pass(far_read, near_write, number, silence);
    tokio::join!(there, back);
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    mut silence: watch::Receiver<usize>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            biased;
            // Neither the bytes nor the end of the other side are passed on.
            () = falls_silent(&mut silence, number) => return std::future::pending().await,
            read = from.read(&mut buffer) => read,
        };
        let Ok(length @ 1..) = read else { break };
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // The half that is dropped here tells the other side.
    drop(to);
}

/// Waits until a connection has to be silent.
async fn falls_silent(silence: &mut watch::Receiver<usize>, number: usize) {
    if silence.wait_for(|&below| number < below).await.is_err() {
        // The proxy is gone, and its connections with it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn echo(listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
        }
    }

    async fn says(stream: &mut TcpStream, text: &[u8; 4]) -> bool {
        let mut answer = [0; 4];
        stream.write_all(text).await.unwrap();
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        read.is_ok_and(|read| read.is_ok() && answer == *text)
    }

    #[tokio::test]
    async fn what_is_open_falls_silent_and_stays_open_and_what_is_new_works() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = JoinSet::new();
        server.spawn(echo(listener));
        let proxy = Proxy::start(port).await.unwrap();
        let mut first = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut first, b"ping").await);
        assert_eq!(proxy.silence(), 1);
        assert!(!says(&mut first, b"ping").await);
        let mut second = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut second, b"pong").await);
        assert!(!says(&mut first, b"ping").await);
    }
}
