//! Servers of a node's network: a DNS server that knows one name, and an API server behind TLS. Both inside the
//! network of the test, where loopback leads nowhere else.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    AlertDescription, Error, ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs,
    pki_types::PrivateKeyDer,
};

/// The name of a Service, as DNS has it.
pub const HOST: &str = "api.kube-fed.svc.cluster.local";
/// Name that pods write, for the search list of their namespace to complete.
pub const SHORT: &str = "api.kube-fed";
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Answers every question for an address of [`HOST`] with loopback's, and all else with "no such name".
pub fn dns() {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), from);
        }
    });
}

fn answer(question: &[u8]) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let next = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..next]).into_owned());
        at = next;
    }
    let is_known = labels.join(".") == HOST;
    let has_address = is_known && question[at + 1..at + 3] == [0, 1];
    let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
    let counts = [0, 1, 0, u8::from(has_address), 0, 0, 0, 0];
    let mut answer = [&question[..2], &flags, &counts, &question[12..at + 5]].concat();
    if has_address {
        // The name above, an address, of the Internet, for five seconds, of four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

/// The fate of a connection.
#[derive(Debug, PartialEq)]
pub enum Seen {
    /// The first line of a request, and the host that it is for.
    Asked(String),
    /// The client does not know who signed.
    Unknown,
    Other(String),
}

/// An authority, and the certificate that it has signed for both names.
pub struct Authority {
    /// Its own certificate, as PEM.
    pub pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec![HOST.to_owned(), SHORT.to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        Self { pem: authority.pem(), config: Arc::new(config.unwrap()) }
    }

    /// Serves one connection.
    pub fn serve(&self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connection = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        let (sender, seen) = mpsc::channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let _ = sender.send(serve(StreamOwned::new(connection, stream)));
        });
        Server { port, seen }
    }
}

/// An API server that is asked once.
pub struct Server {
    pub port: u16,
    seen: mpsc::Receiver<Seen>,
}

impl Server {
    /// The fate of the connection.
    pub fn seen(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn serve(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>) -> Seen {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(length) => {
            let _ = stream.write_all(ANSWER);
            Seen::Asked(String::from_utf8_lossy(&buffer[..length]).into_owned())
        }
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(AlertDescription::UnknownCA)) => Seen::Unknown,
            _ => Seen::Other(error.to_string()),
        },
    }
}
