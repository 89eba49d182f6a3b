//! A certificate of its own for a server on loopback.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// A server's certificate for 127.0.0.1, which is its own CA.
pub struct SelfSigned {
    /// The certificate.
    pub ca_pem: String,
    /// Its public key, as a browser hashes it.
    pub public_key: Vec<u8>,
    /// Shakes hands with it.
    pub acceptor: TlsAcceptor,
}

impl SelfSigned {
    /// Makes one.
    pub fn make() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .context("a certificate that was just made")?;
        Ok(Self {
            ca_pem: made.cert.pem(),
            public_key: rcgen::PublicKeyData::subject_public_key_info(&made.signing_key),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}
