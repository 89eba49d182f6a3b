//! `MULTICLUSTER=false`: the cluster of KUBECONFIG itself, without any ClusterAccess.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::Config;
use portolan_runtime::{
    args::ClientArgs, client, clock, process, process::Process, readiness::ReadyHandle, telemetry::ErrorChain,
};
use secrecy::ExposeSecret;
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use crate::{
    access::target::{ClusterTarget, CredentialMaterial},
    args::ListenerArgs,
    cluster::Clusters,
    discovery::PartWorkshop,
    documents::DocumentStore,
    files::{self, FileStates},
    metrics::ListenerMetrics,
    problem::Problem,
    stream,
};

/// Interval at which the kubeconfig and the files that it names are read again.
const READ_AGAIN: Duration = Duration::from_secs(2);
const NAME: &str = "single";

struct SingleCluster {
    args: ListenerArgs,
    clusters: Clusters,
    documents: Arc<DocumentStore>,
    metrics: Arc<ListenerMetrics>,
    ready: ReadyHandle,
}

/// Starts to look at the one cluster.
pub async fn start(args: ListenerArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let ready = process.readiness.expect("clusters", "the cluster was not tried yet");
    let metrics = Arc::new(ListenerMetrics::register(&process.metrics));
    let documents = Arc::<DocumentStore>::default();
    let (news, mut told) = watch::channel(0_u64);
    let workshop = PartWorkshop::new(args.max_schema_bytes());
    let clusters = Clusters::new(&process.tasks, Arc::clone(&workshop), Arc::clone(&metrics), move |_| {
        news.send_modify(|count| *count += 1);
    });
    if let Some(directory) = args.directory() {
        files::run(&process.tasks, directory, Arc::clone(&documents), FileStates::default(), || ());
    }
    let source =
        stream::StreamSource { documents: Arc::clone(&documents), workshop, metrics: Arc::clone(&metrics) };
    let client = client::connect(&args.client).await?;
    stream::serve(&args, &process.tasks, client, source).await?;
    let single = SingleCluster { args, clusters, documents, metrics, ready };
    process.tasks.spawn_critical("single", async move {
        let mut said = None;
        loop {
            let problem = single.look().await.err();
            if let Some(problem) = problem.as_ref().filter(|problem| said.as_ref() != Some(*problem)) {
                warn!(
                    reason = problem.reason,
                    "the cluster of KUBECONFIG is not served: {}", problem.message
                );
            }
            said = problem;
            tokio::select! {
                () = sleep(READ_AGAIN) => {}
                Ok(()) = told.changed() => {}
            }
        }
    });
    Ok(())
}

impl SingleCluster {
    async fn look(&self) -> Result<(), Problem> {
        let path = &self.args.single_path;
        let paths = || BTreeMap::from([(NAME.to_owned(), path.clone())]);
        let target = match target(&self.args.client).await {
            Ok(target) => target,
            Err(problem) => {
                self.documents.set_paths(paths(), true);
                self.ready.ready();
                return Err(problem);
            }
        };
        let known = self.clusters.look_at(NAME, path, &target, None);
        let outcome = known.outcome.filter(|outcome| outcome.assignment.fingerprint == target.fingerprint);
        let Some(outcome) = outcome else { return Ok(()) };
        if outcome.result.is_ok() {
            self.documents.put(NAME, target.metadata(path, BTreeMap::new()), &known.discovered);
        }
        self.documents.set_paths(paths(), true);
        self.metrics.documents(&self.documents.snapshot());
        self.ready.ready();
        outcome.result
    }
}

/// The cluster of KUBECONFIG, as gateways reach it.
pub async fn target(args: &ClientArgs) -> Result<ClusterTarget, Problem> {
    let config = client::configuration(args).await.map_err(|error| {
        Problem::passing(
            "KubeconfigInvalid",
            format!("the kubeconfig cannot be read: {}", ErrorChain(&error)),
        )
    })?;
    let material = material(&config).await?;
    let host = config.cluster_url.to_string();
    let host = crate::access::spec::host(host.trim_end_matches('/'))?;
    ClusterTarget::new(Some(&host), authorities(&config), material, clock::now())
        .map(|target| target.with_server_name(config.tls_server_name.clone()))
}

async fn material(config: &Config) -> Result<CredentialMaterial, Problem> {
    let auth = &config.auth_info;
    let unusable = |what: &str| {
        let message = format!(
            "the kubeconfig has {what}, which gateways cannot use: give a token or a client certificate"
        );
        Problem::lasting("KubeconfigInvalid", message)
    };
    if config.accept_invalid_certs {
        return Err(unusable("insecure-skip-tls-verify"));
    }
    // Whoever uses the bare credential is somebody else.
    for (field, is_set) in [
        ("as", auth.impersonate.is_some()),
        ("as-uid", auth.impersonate_uid.is_some()),
        ("as-groups", auth.impersonate_groups.is_some()),
        ("as-user-extra", auth.impersonate_user_extra.is_some()),
    ] {
        if is_set {
            return Err(unusable(&format!("{field:?}")));
        }
    }
    if let Some(token) = &auth.token {
        return Ok(CredentialMaterial::Token(token.expose_secret().as_bytes().to_vec()));
    }
    if let Some(path) = &auth.token_file {
        return Ok(CredentialMaterial::Token(file(path).await?));
    }
    let certificate =
        content(auth.client_certificate_data.as_deref(), auth.client_certificate.as_deref()).await?;
    let key = auth.client_key_data.as_ref().map(ExposeSecret::expose_secret);
    let key = content(key, auth.client_key.as_deref()).await?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(CredentialMaterial::ClientCertificate { certificate, key }),
        _ if auth.exec.is_some() => Err(unusable("exec")),
        _ => Err(unusable("no credential")),
    }
}

/// The content of the kubeconfig itself, or of a file that it names.
async fn content(data: Option<&str>, path: Option<&str>) -> Result<Option<Vec<u8>>, Problem> {
    match (data, path) {
        (Some(data), _) => {
            let packed: String = data.split_whitespace().collect();
            BASE64_STANDARD.decode(packed).map(Some).map_err(|_| {
                Problem::lasting(
                    "KubeconfigInvalid",
                    "the client certificate of the kubeconfig is not base64",
                )
            })
        }
        (None, Some(path)) => file(path).await.map(Some),
        (None, None) => Ok(None),
    }
}

async fn file(path: &str) -> Result<Vec<u8>, Problem> {
    tokio::fs::read(path).await.map_err(|error| {
        Problem::passing(
            "KubeconfigInvalid",
            format!("{path:?}, which the kubeconfig names, cannot be read: {error}"),
        )
    })
}

/// The authorities as PEM.
fn authorities(config: &Config) -> Option<Vec<u8>> {
    let roots = config.root_cert.as_ref()?;
    let block = |der: &Vec<u8>| {
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    Some(roots.iter().map(block).collect::<String>().into_bytes())
}

#[cfg(test)]
mod tests {
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use serde_json::{Value, json};

    use super::*;

    /// The credential of a kubeconfig with a user like this.
    async fn of_user(user: Value) -> Result<CredentialMaterial, Problem> {
        let text = json!({
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://k:6443"}}],
            "users": [{"name": "u", "user": user}],
        });
        let kubeconfig = Kubeconfig::from_yaml(&text.to_string()).unwrap();
        let options = KubeConfigOptions::default();
        material(&Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).await
    }

    #[tokio::test]
    async fn a_credential_that_means_somebody_else_is_refused_by_name() {
        assert!(matches!(of_user(json!({"token": "t"})).await, Ok(CredentialMaterial::Token(_))));
        for (user, named) in [
            (json!({"token": "t", "as": "admin"}), "\"as\""),
            (json!({"token": "t", "as-uid": "1"}), "\"as-uid\""),
            (json!({"token": "t", "as-groups": ["g"]}), "\"as-groups\""),
            (json!({"token": "t", "as-user-extra": {"k": ["v"]}}), "\"as-user-extra\""),
            (json!({"exec": {"command": "sh"}}), "exec"),
        ] {
            let problem = of_user(user).await.err().unwrap();
            assert_eq!(problem.reason, "KubeconfigInvalid");
            assert!(problem.message.contains(named), "{problem}");
        }
    }
}
