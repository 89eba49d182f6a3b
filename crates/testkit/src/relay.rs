//! A TCP relay in front of a server that can forget its connections, as NATs and load balancers do: they stay open
//! on both sides, the kernel answers for them, and nothing goes through any more. New ones work. It can also be as slow
//! as a server that is far away.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Number of reads that are under way in a slow relay.
const UNDER_WAY: usize = 1024;

/// A relay on loopback. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    forgotten: watch::Sender<u64>,
    closing: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Relay {
    /// Starts to relay to a port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(to: u16) -> io::Result<Self> {
        Self::start_slow(to, Duration::ZERO).await
    }

    /// The same, with all that the server says coming this much later.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start_slow(to: u16, late_by: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (forgotten, closing) = (watch::Sender::new(0), watch::Sender::new(0));
        let accepted = Arc::<AtomicUsize>::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(
            listener,
            (to, late_by),
            (forgotten.clone(), closing.clone()),
            Arc::clone(&accepted),
        ));
        Ok(Self { port, forgotten, closing, accepted, _serving: serving })
    }

    /// The port that it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Closes each of the connections that there are as soon as something is sent over it, as a server does that closes
    /// an idle connection just when it is used.
    pub fn close_when_used(&self) {
        self.closing.send_modify(|times| *times += 1);
    }

    /// Forgets the connections that there are. They stay open.
    pub fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }

    /// Number of connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// A kubeconfig whose server is reached through the relay instead of at `url`.
    pub fn in_front_of(&self, url: &str, kubeconfig: &str) -> String {
        kubeconfig.replace(url, &format!("https://127.0.0.1:{}", self.port))
    }
}

async fn serve(
    listener: TcpListener,
    (to, late_by): (u16, Duration),
    (forgotten, closing): (watch::Sender<u64>, watch::Sender<u64>),
    accepted: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let (mut forgotten, mut closing) = (forgotten.subscribe(), closing.subscribe());
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
            tokio::select! {
                _ = pass(&mut near, &mut far, late_by) => {}
                // Neither end is closed before the relay ends.
                Ok(()) = forgotten.changed() => std::future::pending().await,
                // Dropping both ends closes them.
                Ok(()) = closing.changed() => {
                    let _ = near.readable().await;
                }
            }
        });
    }
}

async fn pass(near: &mut TcpStream, far: &mut TcpStream, late_by: Duration) -> io::Result<()> {
    if late_by.is_zero() {
        copy_bidirectional(near, far).await?;
        return Ok(());
    }
    let ((mut near_read, near_write), (far_read, mut far_write)) = (near.split(), far.split());
    let there = async {
        copy(&mut near_read, &mut far_write).await?;
        far_write.shutdown().await
    };
    tokio::try_join!(there, pass_late(far_read, near_write, late_by))?;
    Ok(())
}

/// Passes on what is read, each piece this much later and none held up by the one before it.
async fn pass_late(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    late_by: Duration,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel(UNDER_WAY);
    let read = async move {
        loop {
            let mut piece = vec![0; 64 * 1024];
            let length = from.read(&mut piece).await?;
            piece.truncate(length);
            if length == 0 || sender.send((Instant::now() + late_by, piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Sends back what it gets.
    async fn echo() -> (u16, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (port, serving)
    }

    async fn is_echoed(stream: &mut TcpStream) -> bool {
        stream.write_all(b"x").await.unwrap();
        timeout(Duration::from_millis(500), stream.read_u8()).await.is_ok()
    }

    #[tokio::test]
    async fn what_is_forgotten_is_silent_and_what_comes_later_is_not() {
        let (port, _serving) = echo().await;
        let relay = Relay::start(port).await.unwrap();
        let mut before = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        assert!(is_echoed(&mut before).await);
        relay.forget();
        let mut after = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        assert!(is_echoed(&mut after).await && !is_echoed(&mut before).await);
        assert_eq!(relay.accepted(), 2);
    }

    #[tokio::test]
    async fn a_slow_one_is_late_and_loses_nothing() {
        let (port, _serving) = echo().await;
        let relay = Relay::start_slow(port, Duration::from_millis(50)).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        let begun = Instant::now();
        for piece in [b"a", b"b", b"c"] {
            stream.write_all(piece).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(answer, "abc");
        assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(5), "{took:?}");
    }
}
