//! The keys and certificates of one control plane: a CA, its serving certificate, client certificates, and
//! the key that signs `ServiceAccount` tokens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use crate::workdir::Workdir;

/// The address of the `kubernetes` Service: the first one of the Service range.
const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The kind of key that `ServiceAccount` tokens are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenKey {
    /// As nearly every real cluster has it: tokens are RS256.
    #[default]
    Rsa,
    /// Tokens are ES256.
    P256,
}

/// A certificate and its private key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate authority that serves and signs for one control plane.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Makes the authority and writes the files that kube-apiserver reads: `ca.crt`, `server.crt`,
    /// `server.key`, `sa.key` and `sa.pub`. `more` are further names and addresses of the server.
    pub(crate) fn create(name: &str, tokens: TokenKey, more: &[String], workdir: &Workdir) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("portolan-testkit {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("cannot generate the CA key")?;
        let authority = Self(CertifiedIssuer::self_signed(params, key).context("cannot sign the CA")?);
        authority.write_files(tokens, more, workdir)?;
        Ok(authority)
    }

    /// The CA certificate as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client certificate: Kubernetes takes the common name for the user, the organization for a group.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A serving certificate for these names and addresses.
    pub(crate) fn server(&self, names: &[String]) -> Result<Identity> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    fn serving(&self, more: &[String]) -> Result<Identity> {
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let names = names.map(str::to_owned).into_iter().chain(more.iter().cloned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
        let addresses = [Ipv4Addr::LOCALHOST, SERVICE_ADDRESS].map(|ip| SanType::IpAddress(IpAddr::V4(ip)));
        params.subject_alt_names.extend(addresses);
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("cannot generate a key")?;
        let certificate = params.signed_by(&key, &self.0).context("cannot sign a certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn write_files(&self, tokens: TokenKey, more: &[String], workdir: &Workdir) -> Result<()> {
        let serving = self.serving(more)?;
        let tokens = match tokens {
            TokenKey::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            TokenKey::P256 => KeyPair::generate(),
        };
        let tokens = tokens.context("cannot generate the ServiceAccount key")?;
        workdir.write_private("ca.crt", &self.pem())?;
        workdir.write_private("server.crt", &serving.certificate)?;
        workdir.write_private("server.key", &serving.key)?;
        workdir.write_private("sa.key", &tokens.serialize_pem())?;
        workdir.write_private("sa.pub", &tokens.public_key_pem())?;
        Ok(())
    }
}
