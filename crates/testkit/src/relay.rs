//! A TCP relay in front of a server that can forget its connections, as NATs and load balancers do: they stay open
//! on both sides, the kernel answers for them, and nothing goes through any more. New ones work.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A relay on loopback. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    forgotten: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Relay {
    /// Starts to relay to a port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (forgotten, accepted) = (watch::Sender::new(0), Arc::<AtomicUsize>::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, to, forgotten.clone(), Arc::clone(&accepted)));
        Ok(Self { port, forgotten, accepted, _serving: serving })
    }

    /// Forgets the connections that there are. They stay open.
    pub fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// A kubeconfig whose server is reached through the relay instead of at `url`.
    pub fn in_front_of(&self, url: &str, kubeconfig: &str) -> String {
        kubeconfig.replace(url, &format!("https://127.0.0.1:{}", self.port))
    }
}

async fn serve(listener: TcpListener, to: u16, forgotten: watch::Sender<u64>, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let mut forgotten = forgotten.subscribe();
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                // Neither end is closed before the relay ends.
                Ok(()) = forgotten.changed() => std::future::pending().await,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

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
}
