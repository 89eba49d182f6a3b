//! The text of a kubeconfig. Pure.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Name of the context, the cluster and the user.
const NAME: &str = "provider";
/// Number of characters in a line of PEM.
const PEM_LINE: usize = 64;

/// A consumer's way in.
#[derive(Clone)]
pub struct Access {
    pub server: String,
    pub tls_server_name: Option<String>,
    /// PEM.
    pub certificate_authority: Option<String>,
    pub token: String,
    pub namespace: String,
}

/// The kubeconfig. URLs, base64, tokens and DNS labels need no quoting in YAML.
pub fn render(access: &Access) -> String {
    let line = |field: &str, value: Option<String>| {
        value.map_or_else(String::new, |v| format!("\n    {field}: {v}"))
    };
    let authority = access.certificate_authority.as_ref().map(|pem| BASE64_STANDARD.encode(pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    server: {server}{name}{authority}
users:
- name: {NAME}
  user:
    token: {token}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    user: {NAME}
    namespace: {namespace}
current-context: {NAME}
",
        server = access.server,
        name = line("tls-server-name", access.tls_server_name.clone()),
        authority = line("certificate-authority-data", authority),
        token = access.token,
        namespace = access.namespace,
    )
}

/// Certificates in DER as PEM.
pub(super) fn pem(certificates: &[Vec<u8>]) -> String {
    let block = |der: &Vec<u8>| {
        let encoded = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = encoded.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    certificates.iter().map(block).collect()
}

/// Returns `true` if other clusters cannot reach a server by this URL.
pub(super) fn is_local(server: &str) -> bool {
    let authority = server.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host == "localhost"
        || host == "[::1]"
        || host.starts_with("127.")
        || host.split('.').next_back() == Some("svc")
}

#[cfg(test)]
mod tests {
    use portolan_core::kubeconfig::{KubeconfigCredentials, parse};

    use super::*;

    fn access() -> Access {
        Access {
            server: "https://[2001:db8::1]:6443".to_owned(),
            tls_server_name: None,
            certificate_authority: Some(pem(&[vec![7; 100], b"CA".to_vec()])),
            token: "a.b-c_d.e".to_owned(),
            namespace: "kube-bind-a".to_owned(),
        }
    }

    #[test]
    fn a_konnector_takes_it() {
        let read = parse(render(&access()).as_bytes()).unwrap();
        assert_eq!(
            (read.server.as_str(), read.namespace.as_str()),
            ("https://[2001:db8::1]:6443", "kube-bind-a")
        );
        assert_eq!(read.certificate_authority, access().certificate_authority.map(String::into_bytes));
        assert!(matches!(read.credentials, KubeconfigCredentials::Token(_)));
        assert_eq!(read.tls_server_name, None);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare = Access {
            certificate_authority: None,
            tls_server_name: Some("kubernetes".to_owned()),
            ..access()
        };
        let read = parse(render(&bare).as_bytes()).unwrap();
        assert_eq!((read.certificate_authority, read.tls_server_name.as_deref()), (None, Some("kubernetes")));
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let text = pem(&[vec![7; 100]]);
        let lengths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 64, 8, 25]);
    }

    #[test]
    fn local_servers_are_known() {
        let local = [
            "https://127.0.0.1:6443",
            "https://localhost",
            "https://[::1]:1",
            "https://kubernetes.default.svc",
        ];
        assert!(local.into_iter().all(is_local));
        let others = ["https://10.0.0.1:6443", "https://provider.example/c", "https://[2001:db8::1]:6443"];
        assert!(!others.into_iter().any(is_local));
    }
}
