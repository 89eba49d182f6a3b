//! TLS of servers: certificates that are read again when they are renewed, and client certificates where an
//! authority for them is given.

mod facts;
mod subject;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use clap::Args;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tracing::{info, warn};

pub use self::{facts::CertificateFacts, subject::CertificateSubject};
use crate::{
    authorities::{CaBundle, InvalidBundle},
    files::WatchedFiles,
    tasks::Tasks,
    telemetry::ErrorChain,
};

/// Flags for the TLS of a server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// PEM file with the certificate chain that the server presents.
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// PEM file with the authorities of client certificates. Clients may still come without one.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub client_ca_file: Option<PathBuf>,
}

/// A server that was given neither certificates nor the wish to do without.
#[derive(Debug, thiserror::Error)]
#[error("give --tls-cert-file and --tls-key-file, or --plain-http where something else terminates TLS")]
pub struct NoTls;

/// Files that do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read as PEM.
    #[error("failed to read {path:?} as PEM")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in the file.
    #[error("{0:?} holds no certificate")]
    Empty(PathBuf),
    /// Key and certificate do not fit, or are not supported.
    #[error("the certificate and its key cannot be used")]
    Pair(#[source] rustls::Error),
    /// A file that cannot be read at all.
    #[error("failed to read {path:?}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// No authority in the file.
    #[error("{path:?} holds no CA certificates for clients")]
    Authorities {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: InvalidBundle,
    },
    /// The authorities cannot be used.
    #[error("the CA certificates for clients cannot be used")]
    ClientAuthorities(#[source] rustls::server::VerifierBuilderError),
}

/// The TLS of a server, which changes when its files do.
#[derive(Clone, Debug)]
pub struct ServerTls {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files, and looks from then on whether they have changed. What cannot be used is reported, and
    /// the server goes on with what it has. None when no files are given.
    ///
    /// # Errors
    /// When the files cannot be used at the start.
    pub async fn start(args: &TlsArgs, tasks: &Tasks) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (args.tls_cert_file.clone(), args.tls_key_file.clone()) else {
            return Ok(None);
        };
        let source = Source { certificate, key, client_authorities: args.client_ca_file.clone() };
        // Remembered before they are read, so that no change goes unseen.
        let mut files = WatchedFiles::new(source.paths()).await;
        let current = Arc::new(ArcSwap::from_pointee(source.load()?));
        let tls = Self { current: Arc::clone(&current) };
        tasks.spawn_critical("tls files", async move {
            loop {
                files.changed().await;
                match source.load() {
                    Ok(config) => {
                        current.store(Arc::new(config));
                        info!("new connections use the renewed certificate");
                    }
                    Err(error) => warn!("the server keeps its certificate: {}", ErrorChain(&error)),
                }
            }
        });
        Ok(Some(tls))
    }

    /// The configuration that a new connection uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

struct Source {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

impl Source {
    fn paths(&self) -> Vec<PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_authorities).cloned().collect()
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::Read { path: self.key.clone(), source })?;
        let builder = ServerConfig::builder();
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = authorities(path)?;
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build();
                builder.with_client_cert_verifier(verifier.map_err(TlsError::ClientAuthorities)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn authorities(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let read = |source| TlsError::Unreadable { path: path.clone(), source };
    let unusable = |source| TlsError::Authorities { path: path.clone(), source };
    let bundle = CaBundle::read(&std::fs::read(path).map_err(read)?).map_err(unusable)?;
    bundle.warn(&path.display().to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bundle.usable);
    Ok(roots)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read { path: path.clone(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(read)?;
    let certificates: Vec<_> = found.collect::<Result<_, _>>().map_err(read)?;
    if certificates.is_empty() { Err(TlsError::Empty(path.clone())) } else { Ok(certificates) }
}
