//! Failures to connect to an API server, distinguished by their cure.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

/// Reasons why no connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// None of the authorities has signed its certificate.
    UnknownAuthority,
    /// Its certificate is that of a CA, which a server may not present.
    AuthorityAsServer,
    /// Its certificate names no host.
    Nameless,
    /// Its certificate is for other hosts, which are these.
    OtherName(Vec<String>),
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// It refuses our client certificate.
    ClientCertificateRefused,
    /// TLS fails for another reason.
    Tls(String),
    /// It does not answer, or not in time.
    Unreachable(String),
}

/// Finds the fault among the causes of an error. None if it does not concern the connection.
pub fn server_fault(error: &(dyn Error + 'static)) -> Option<ServerFault> {
    let mut reached = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(of_tls(tls));
        }
        let io = cause.downcast_ref::<io::Error>();
        reached = io.map(io::Error::to_string).or(reached);
        // `source()` of an `io::Error` skips the error that it wraps, which may be the one.
        let wrapped = io.and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    reached.map(ServerFault::Unreachable)
}

fn of_tls(error: &rustls::Error) -> ServerFault {
    match error {
        rustls::Error::InvalidCertificate(wrong) => of_certificate(wrong),
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => ServerFault::ClientCertificateRefused,
        other => ServerFault::Tls(other.to_string()),
    }
}

fn of_certificate(error: &CertificateError) -> ServerFault {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => ServerFault::UnknownAuthority,
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            ServerFault::Nameless
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            ServerFault::OtherName(presented.clone())
        }
        CertificateError::NotValidForName => ServerFault::OtherName(Vec::new()),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ServerFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ServerFault::NotYetValid
        }
        // The verifier's own message is not part of the library's API.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => ServerFault::AuthorityAsServer,
        other => ServerFault::Tls(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: rustls::Error) -> kube::Error {
        // The error of a handshake: wrapped once by TLS and once by the connector.
        let inner = io::Error::new(io::ErrorKind::InvalidData, error);
        kube::Error::Service(Box::new(io::Error::other(inner)))
    }

    #[test]
    fn faults_are_found_among_the_causes() {
        let certificate = |error| wrapped(rustls::Error::InvalidCertificate(error));
        let table = [
            (certificate(CertificateError::UnknownIssuer), Some(ServerFault::UnknownAuthority)),
            (certificate(CertificateError::Expired), Some(ServerFault::Expired)),
            (
                wrapped(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
                Some(ServerFault::ClientCertificateRefused),
            ),
            (
                kube::Error::Service(Box::new(io::Error::other("connection refused"))),
                Some(ServerFault::Unreachable("connection refused".to_owned())),
            ),
            (kube::Error::LinesCodecMaxLineLengthExceeded, None),
        ];
        for (error, expected) in table {
            assert_eq!(server_fault(&error), expected, "{error:?}");
        }
    }
}
