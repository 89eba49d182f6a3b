//! Reasons why a cluster cannot be discovered, each with its cure.

use http::StatusCode;
use portolan_core::kubeconfig::RestrictedKubeconfig;
use portolan_runtime::{
    client::{ClientError, ReadError, ServerFault, server_fault},
    telemetry::brief,
    tls::CertificateFacts,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::problem::Problem;

/// The problem with a target that no client can be made for.
pub fn of_client(error: &ClientError) -> Problem {
    Problem::lasting("ConnectionInvalid", format!("no client can be made: {}", brief(error)))
}

/// The problem behind a failed read of `path`.
pub fn of_read(error: &ReadError, path: &str, target: &RestrictedKubeconfig) -> Problem {
    let host = &target.server;
    match error {
        ReadError::Failed(cause) | ReadError::Broken(cause) => match server_fault(cause) {
            Some(fault) => of_server(&fault, target),
            None => {
                Problem::passing("Unreachable", format!("{host} did not answer {path}: {}", brief(cause)))
            }
        },
        ReadError::Timeout(limit) => Problem::passing(
            "Timeout",
            format!(
                "{host} did not answer {path}, or did not go on, within {} seconds: is it overloaded, or a firewall in between?",
                limit.as_secs()
            ),
        ),
        ReadError::Status(status) => of_status(*status, path, host),
        ReadError::NotJson(kind) => Problem::passing(
            "NotKubernetes",
            format!(
                "{host} answered {path} with {kind:?} instead of JSON: is that the API server, or a proxy or login page?"
            ),
        ),
        ReadError::TooLarge(limit) => Problem::passing(
            "SchemaTooLarge",
            format!(
                "the answer of {host} to {path} has more than {limit} bytes: raise --max-schema-mib, or set spec.schemaFilter"
            ),
        ),
    }
}

fn of_status(status: StatusCode, path: &str, host: &str) -> Problem {
    match status {
        StatusCode::UNAUTHORIZED => Problem::passing(
            "Unauthorized",
            format!(
                "{host} does not accept the credential (401): renew it; it may have expired or be of another cluster"
            ),
        ),
        StatusCode::FORBIDDEN => Problem::passing(
            "Forbidden",
            format!(
                "the credential may not read {path} of {host} (403): bind the ClusterRole system:discovery to its account"
            ),
        ),
        status if status.is_redirection() || status == StatusCode::NOT_FOUND => Problem::passing(
            "NotKubernetes",
            format!("{host} answered {path} with {}: is that the API server?", status.as_u16()),
        ),
        status => Problem::passing(
            "ServerError",
            format!("{host} answered {path} with {}: see the log of its API server", status.as_u16()),
        ),
    }
}

fn of_server(fault: &ServerFault, target: &RestrictedKubeconfig) -> Problem {
    let host = &target.server;
    let (reason, message) = match fault {
        ServerFault::UnknownAuthority if is_leaf(target) => (
            "CertificateAuthorityIsLeaf",
            format!(
                "the configured CA is no authority but a server's own certificate, which did not sign that of {host}: configure the CA that signed it"
            ),
        ),
        ServerFault::UnknownAuthority if target.certificate_authority.is_none() => (
            "CertificateAuthorityMissing",
            format!(
                "the certificate of {host} is not signed by a public authority: set spec.ca to the cluster's CA"
            ),
        ),
        ServerFault::UnknownAuthority => (
            "CertificateAuthorityMismatch",
            format!(
                "the certificate of {host} is not signed by the configured CA: is it the CA of another cluster?"
            ),
        ),
        ServerFault::AuthorityAsServer
        | ServerFault::Nameless
        | ServerFault::OtherName(_)
        | ServerFault::Expired
        | ServerFault::NotYetValid => of_server_certificate(fault, host),
        ServerFault::ClientCertificateRefused => (
            "Unauthorized",
            format!("{host} refuses the client certificate: it may be of another cluster, or have expired"),
        ),
        ServerFault::Tls(why) => ("TlsFailed", format!("no TLS connection to {host}: {}", brief_text(why))),
        ServerFault::Unreachable(why) => (
            "Unreachable",
            format!("{host} cannot be reached: {}: check host, DNS and network", brief_text(why)),
        ),
    };
    Problem::passing(reason, message)
}

/// The problem with the certificate that a server presents.
fn of_server_certificate(fault: &ServerFault, host: &str) -> (&'static str, String) {
    match fault {
        ServerFault::AuthorityAsServer => (
            "ServerCertificateInvalid",
            format!(
                "{host} shows a certificate that is marked as an authority (CA:TRUE), which a server may not use: give the server one of its own"
            ),
        ),
        ServerFault::Nameless => (
            "ServerCertificateInvalid",
            format!(
                "the certificate of {host} names no host (no subject alternative name): issue one with the host's name"
            ),
        ),
        ServerFault::OtherName(names) => {
            let names: Vec<_> =
                names.iter().take(5).map(|name| name.chars().take(100).collect::<String>()).collect();
            (
                "ServerNameMismatch",
                format!(
                    "the certificate of {host} is for {}: use one of these as the host, or tls-server-name in a kubeconfig",
                    names.join(", ")
                ),
            )
        }
        ServerFault::Expired => {
            ("ServerCertificateInvalid", format!("the certificate of {host} has expired: renew it"))
        }
        ServerFault::NotYetValid => (
            "ServerCertificateInvalid",
            format!("the certificate of {host} is not valid yet: compare the clocks of both machines"),
        ),
        _ => ("TlsFailed", format!("no TLS connection to {host}")),
    }
}

fn brief_text(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Returns `true` if none of the configured certificates is a CA.
fn is_leaf(target: &RestrictedKubeconfig) -> bool {
    let Some(pem) = &target.certificate_authority else { return false };
    let facts: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter_map(|certificate| CertificateFacts::of(&certificate))
        .collect();
    !facts.is_empty() && facts.iter().all(|facts| !facts.is_authority)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portolan_core::kubeconfig::KubeconfigCredentials;

    use super::*;

    fn target(authority: Option<Vec<u8>>) -> RestrictedKubeconfig {
        RestrictedKubeconfig {
            server: "https://h:6443".to_owned(),
            certificate_authority: authority,
            tls_server_name: None,
            credentials: KubeconfigCredentials::Token("t".to_owned().into()),
            namespace: "default".to_owned(),
        }
    }

    fn leaf() -> Vec<u8> {
        rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap().cert.pem().into_bytes()
    }

    #[test]
    fn faults_of_servers_have_a_reason_each() {
        let table = [
            (ServerFault::UnknownAuthority, None, "CertificateAuthorityMissing"),
            (ServerFault::UnknownAuthority, Some(leaf()), "CertificateAuthorityIsLeaf"),
            (ServerFault::AuthorityAsServer, None, "ServerCertificateInvalid"),
            (ServerFault::Nameless, None, "ServerCertificateInvalid"),
            (ServerFault::OtherName(vec!["x".to_owned()]), None, "ServerNameMismatch"),
            (ServerFault::Expired, None, "ServerCertificateInvalid"),
            (ServerFault::NotYetValid, None, "ServerCertificateInvalid"),
            (ServerFault::ClientCertificateRefused, None, "Unauthorized"),
            (ServerFault::Tls("x".to_owned()), None, "TlsFailed"),
            (ServerFault::Unreachable("connection refused".to_owned()), None, "Unreachable"),
        ];
        for (fault, authority, expected) in table {
            assert_eq!(of_server(&fault, &target(authority)).reason, expected, "{fault:?}");
        }
        let ca = include_bytes!("../../../runtime/src/authorities/test-ca.pem").to_vec();
        let mismatch = of_server(&ServerFault::UnknownAuthority, &target(Some(ca)));
        assert_eq!(mismatch.reason, "CertificateAuthorityMismatch");
    }

    #[test]
    fn answers_have_a_reason_each() {
        let table = [
            (ReadError::Timeout(Duration::from_secs(5)), "Timeout"),
            (ReadError::Status(StatusCode::UNAUTHORIZED), "Unauthorized"),
            (ReadError::Status(StatusCode::FORBIDDEN), "Forbidden"),
            (ReadError::Status(StatusCode::NOT_FOUND), "NotKubernetes"),
            (ReadError::Status(StatusCode::FOUND), "NotKubernetes"),
            (ReadError::Status(StatusCode::SERVICE_UNAVAILABLE), "ServerError"),
            (ReadError::NotJson("text/html".to_owned()), "NotKubernetes"),
            (ReadError::TooLarge(1), "SchemaTooLarge"),
            (ReadError::Failed(kube::Error::LinesCodecMaxLineLengthExceeded), "Unreachable"),
        ];
        for (error, expected) in table {
            let problem = of_read(&error, "/openapi/v3", &target(None));
            assert_eq!(problem.reason, expected, "{error:?}");
            assert!(problem.passes && problem.message.contains("https://h:6443"), "{problem}");
        }
    }
}
