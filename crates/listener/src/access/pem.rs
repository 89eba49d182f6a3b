//! Client certificates and keys in the forms that kubectl accepts: with text around the blocks, with curve parameters
//! before the key, with both in one field, with Windows line endings.

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use secrecy::SecretSlice;

use crate::problem::Problem;

/// The chain and the key as plain PEM, after checking that they belong together.
pub(super) fn pair(certificate: &[u8], key: &[u8]) -> Result<(Vec<u8>, SecretSlice<u8>), Problem> {
    let invalid = |why: String| Problem::lasting("ClientCertificateInvalid", why);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(invalid("the client certificate (tls.crt) holds no PEM certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let is_encrypted = String::from_utf8_lossy(key).contains("ENCRYPTED");
        let why = if is_encrypted {
            "is encrypted: store it without a passphrase"
        } else {
            "holds no PEM private key"
        };
        invalid(format!("the key of the client certificate (tls.key) {why}"))
    })?;
    let signing = any_supported_type(&private).map_err(|error| {
        invalid(format!(
            "the key of the client certificate (tls.key) is of a kind that is not supported: {error}"
        ))
    })?;
    match CertifiedKey::new(chain, signing).keys_match() {
        // Some keys do not reveal their public half.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(invalid("tls.key is not the key of the certificate in tls.crt".to_owned()));
        }
    }
    let only = |bytes: &[u8], wanted: fn(&str) -> bool| blocks(&String::from_utf8_lossy(bytes), wanted);
    let certificates = only(certificate, |label| label == "CERTIFICATE");
    let keys = only(key, |label| label.ends_with("PRIVATE KEY"));
    Ok((certificates.into_bytes(), keys.into_bytes().into()))
}

/// The blocks with certain labels, and nothing else.
fn blocks(pem: &str, wanted: fn(&str) -> bool) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in pem.lines().map(str::trim) {
        let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        inside |= begins.is_some_and(wanted);
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= !line.starts_with("-----END ");
    }
    kept
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn of(key: &KeyPair) -> String {
        CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(key).unwrap().pem()
    }

    #[test]
    fn forms_that_kubectl_takes_are_taken() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let (certificate, key) = (of(&key), key.serialize_pem());
            let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
            let forms = [
                (certificate.clone(), key.clone()),
                (certificate.replace('\n', "\r\n"), key.replace('\n', "\r\n")),
                (format!("subject: client\n{certificate}"), format!("{parameters}{key}")),
                (format!("{key}{certificate}"), format!("{key}{certificate}")),
            ];
            for (certificate, key) in forms {
                let (certificate, key) = pair(certificate.as_bytes(), key.as_bytes()).expect(&certificate);
                let key = String::from_utf8(key.expose_secret().to_vec()).unwrap();
                assert!(certificate.starts_with(b"-----BEGIN CERTIFICATE-----"));
                assert!(
                    key.starts_with("-----BEGIN") && !key.contains("PARAMETERS"),
                    "no part of the key is shown"
                );
            }
        }
    }

    #[test]
    fn what_is_no_pair_is_named() {
        let key = KeyPair::generate().unwrap();
        let (certificate, key) = (of(&key), key.serialize_pem());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
        for (certificate, key, named) in [
            (certificate.as_str(), encrypted, "passphrase"),
            (certificate.as_str(), legacy, "passphrase"),
            ("", key.as_str(), "tls.crt"),
            (certificate.as_str(), "", "tls.key"),
            (key.as_str(), key.as_str(), "tls.crt"),
        ] {
            let problem = pair(certificate.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(problem.message.contains(named), "{problem}");
        }
    }
}
