//! Kubeconfigs as `kube` wants them: restricted ones in full, and bundles of authorities without what is broken.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use portolan_core::kubeconfig::{KubeconfigCredentials, RestrictedKubeconfig};
use secrecy::{ExposeSecret as _, SecretString};

use crate::authorities::CaBundle;

/// Leaves out certificates that cannot be read, where others can: `kube` takes all of a bundle or nothing.
pub(super) fn pass_over_broken_authorities(kubeconfig: &mut Kubeconfig) {
    for NamedCluster { name, cluster, .. } in &mut kubeconfig.clusters {
        let Some(cluster) = cluster else { continue };
        if let Some(usable) = bundle_of(cluster).and_then(|pem| usable(&pem, &format!("cluster {name:?}"))) {
            cluster.certificate_authority_data = Some(BASE64_STANDARD.encode(usable));
            cluster.certificate_authority = None;
        }
    }
}

/// Reads the bundle of a cluster. One that cannot be read is read again, and complained about, where the kubeconfig
/// is used.
fn bundle_of(cluster: &Cluster) -> Option<Vec<u8>> {
    match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => BASE64_STANDARD.decode(data.trim()).ok(),
        (None, Some(path)) => std::fs::read(path).ok(),
        (None, None) => None,
    }
}

/// The usable part of a bundle, where some of it is not.
fn usable(pem: &[u8], of: &str) -> Option<String> {
    let bundle = CaBundle::read(pem).ok().filter(|bundle| !bundle.skipped.is_empty())?;
    bundle.warn(&format!("the certificate authorities of {of}"));
    Some(bundle.to_pem())
}

/// The account of a pod, where one of the cluster's authorities cannot be used and another one can.
pub(super) fn of_pod_with_broken_authorities() -> Option<Kubeconfig> {
    let variable = |name| std::env::var_os(name)?.into_string().ok();
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    of_account(Path::new("/var/run/secrets/kubernetes.io/serviceaccount"), &format!("https://{host}:{port}"))
}

/// An account as kubelet mounts it.
fn of_account(folder: &Path, server: &str) -> Option<Kubeconfig> {
    let usable = usable(&std::fs::read(folder.join("ca.crt")).ok()?, "this pod")?;
    let cluster = Cluster {
        server: Some(server.to_owned()),
        certificate_authority_data: Some(BASE64_STANDARD.encode(usable)),
        ..Cluster::default()
    };
    let token = folder.join("token").display().to_string();
    let user = AuthInfo { token_file: Some(token), ..AuthInfo::default() };
    let namespace = std::fs::read_to_string(folder.join("namespace")).ok();
    Some(of_one(cluster, user, namespace))
}

pub(super) fn in_full(kubeconfig: &RestrictedKubeconfig) -> Kubeconfig {
    let cluster = Cluster {
        server: Some(kubeconfig.server.clone()),
        certificate_authority_data: kubeconfig
            .certificate_authority
            .as_ref()
            .map(|ca| authorities(ca, &kubeconfig.server)),
        tls_server_name: kubeconfig.tls_server_name.clone(),
        ..Cluster::default()
    };
    let user = match &kubeconfig.credentials {
        KubeconfigCredentials::Token(token) => AuthInfo { token: Some(token.clone()), ..AuthInfo::default() },
        KubeconfigCredentials::ClientCertificate { certificate, key } => AuthInfo {
            client_certificate_data: Some(BASE64_STANDARD.encode(certificate)),
            client_key_data: Some(SecretString::from(BASE64_STANDARD.encode(key.expose_secret()))),
            ..AuthInfo::default()
        },
    };
    of_one(cluster, user, Some(kubeconfig.namespace.clone()))
}

/// The usable part of a bundle as a kubeconfig has it; all of it where nothing can be used.
pub(super) fn authorities(pem: &[u8], of: &str) -> String {
    usable(pem, of).map_or_else(|| BASE64_STANDARD.encode(pem), |pem| BASE64_STANDARD.encode(pem))
}

/// A kubeconfig with one of each.
pub(super) fn of_one(cluster: Cluster, user: AuthInfo, namespace: Option<String>) -> Kubeconfig {
    const NAME: &str = "own";
    let context =
        Context { cluster: NAME.to_owned(), user: Some(NAME.to_owned()), namespace, ..Context::default() };
    let cluster = NamedCluster { name: NAME.to_owned(), cluster: Some(cluster), ..NamedCluster::default() };
    let user = NamedAuthInfo { name: NAME.to_owned(), auth_info: Some(user), ..NamedAuthInfo::default() };
    let context = NamedContext { name: NAME.to_owned(), context: Some(context), ..NamedContext::default() };
    Kubeconfig {
        clusters: vec![cluster],
        auth_infos: vec![user],
        contexts: vec![context],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    }
}

#[cfg(test)]
mod tests {
    use kube::{Config, config::KubeConfigOptions};

    use super::*;

    const GOOD: &str = include_str!("../authorities/test-ca.pem");
    const BROKEN: &str = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";

    fn restricted(authorities: &str) -> RestrictedKubeconfig {
        RestrictedKubeconfig {
            server: "https://127.0.0.1:1".to_owned(),
            certificate_authority: Some(authorities.as_bytes().to_vec()),
            tls_server_name: None,
            credentials: KubeconfigCredentials::Token(SecretString::from("t")),
            namespace: "n".to_owned(),
        }
    }

    async fn roots(kubeconfig: Kubeconfig) -> Option<usize> {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        config.ok()?.root_cert.map(|roots| roots.len())
    }

    #[tokio::test]
    async fn a_pod_does_without_an_authority_that_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let mount = |authorities: &str| {
            for (name, text) in [("ca.crt", authorities), ("namespace", "n"), ("token", "t")] {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            of_account(folder.path(), "https://[::1]:1")
        };
        // What is sound, or not at all, is left to `kube`.
        assert!(mount(GOOD).is_none() && mount(BROKEN).is_none());
        let account = mount(&format!("{BROKEN}{GOOD}")).unwrap();
        let config = Config::from_custom_kubeconfig(account, &KubeConfigOptions::default()).await.unwrap();
        assert_eq!(config.root_cert.map(|roots| roots.len()), Some(1));
        assert_eq!((config.default_namespace.as_str(), config.cluster_url.host()), ("n", Some("[::1]")));
        assert_eq!(config.auth_info.token_file, Some(folder.path().join("token").display().to_string()));
    }

    #[tokio::test]
    async fn a_broken_certificate_is_passed_over_as_long_as_another_is_usable() {
        let both = format!("{GOOD}{BROKEN}");
        let table = [(both.as_str(), Some(1)), (GOOD, Some(1)), (BROKEN, None)];
        for (authorities, expected) in table {
            assert_eq!(roots(in_full(&restricted(authorities))).await, expected, "{authorities}");
            let mut own = in_full(&restricted(GOOD));
            let cluster = own.clusters[0].cluster.as_mut().unwrap();
            cluster.certificate_authority_data = Some(BASE64_STANDARD.encode(authorities));
            pass_over_broken_authorities(&mut own);
            assert_eq!(roots(own).await, expected, "{authorities}");
        }
    }
}
