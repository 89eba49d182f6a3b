//! Clients within the cluster: pods that ask once, or generate load until they are stopped.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams},
};
use portolan_testkit::{eventually, watch_until_gone};
use serde_json::{Value, json};

use super::{
    charts::{LISTENER_CA, LISTENER_TLS, NAMES, OTHERS},
    node::{self, ISSUER},
    scene::{SOON, Scene},
    site,
};

/// The namespace of the clients.
pub(super) const CLIENTS: &str = "clients";
/// The namespace of the accounts that tokens are exchanged for.
pub(super) const TARGETS: &str = "smoke-tests";
pub(super) const ACCOUNT: &str = "client";
/// The user name of the clients' account.
pub(super) const USER: &str = "system:serviceaccount:clients:client";
/// The account whose token `USER` gets in exchange.
pub(super) const TARGET: &str = "robot";
/// Files with the client's token for reviews, and with the one for the exchange.
pub(super) const TOKEN: &str = "/tokens/own";
pub(super) const EXCHANGE_TOKEN: &str = "/tokens/exchange";
/// The authority of the token service's certificate.
pub(super) const CA: &str = "/authority/ca.crt";
/// A review of the client's own token.
pub(super) const REVIEW: &str =
    r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"TOKEN"}}"#;

/// Creates the namespaces, accounts and certificates that charts and clients need. Clients are on our own node only.
pub(super) async fn prepare(scene: &Scene) -> Result<()> {
    let namespaces = [CLIENTS, TARGETS, NAMES, OTHERS]
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    scene.apply(&namespaces).await?;
    if scene.is_ours() {
        accounts(scene).await?;
    }
    certificates(scene).await
}

async fn accounts(scene: &Scene) -> Result<()> {
    let ca = std::fs::read_to_string(scene.file("ca.crt")).context("the authority of the cluster")?;
    let binding = json!({"issuer": ISSUER, "subject": USER}).to_string();
    scene
        .apply(&[
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": CLIENTS}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": TARGET, "namespace": TARGETS, "annotations": {"kfca_1": binding}}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": &ca},
                "metadata": {"name": "authority", "namespace": CLIENTS}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "reader", "namespace": CLIENTS},
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "reader", "namespace": CLIENTS},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": CLIENTS}]}),
        ])
        .await
}

/// Creates the Secrets with certificates, except those that somebody has brought.
async fn certificates(scene: &Scene) -> Result<()> {
    let file = |name: &str| std::fs::read_to_string(scene.file(name)).context("a certificate for the hosts");
    let (certificate, key, ca) = if scene.is_ours() {
        (file("hosts.crt")?, file("hosts.key")?, file("ca.crt")?)
    } else {
        site::certificate()?
    };
    let pair = [("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
    if scene.lacks((NAMES, "hosts")).await? {
        scene.secret((NAMES, "hosts"), "kubernetes.io/tls", &pair).await?;
    }
    if scene.lacks((OTHERS, LISTENER_TLS)).await? {
        scene.secret((OTHERS, LISTENER_TLS), "kubernetes.io/tls", &pair).await?;
        scene.secret((OTHERS, LISTENER_CA), "Opaque", &[("ca.crt", &ca)]).await?;
    }
    Ok(())
}

/// A client in its own pod.
pub(super) struct Guest {
    pods: Api<Pod>,
    name: String,
}

impl Guest {
    pub(super) async fn start(scene: &Scene, name: &str, arguments: &[&str]) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), CLIENTS);
        // A pod that an earlier walk-through has left on somebody else's cluster.
        if pods.delete(name, &DeleteParams::default().grace_period(0)).await.is_ok() {
            watch_until_gone(pods.clone(), name, SOON).await?;
        }
        scene.apply(&[pod(name, arguments)]).await?;
        Ok(Self { pods, name: name.to_owned() })
    }

    /// Waits until it ends, and returns its output.
    pub(super) async fn answer(self) -> Result<String> {
        let phase =
            eventually(&format!("pod {} ends", self.name), SOON, async || -> Result<Option<String>> {
                let status = self.pods.get(&self.name).await?.status.unwrap_or_default();
                let phase = status.phase.unwrap_or_default();
                ensure!(matches!(phase.as_str(), "Succeeded" | "Failed"), "it is {phase}");
                Ok(Some(phase))
            })
            .await?;
        let said = self.log().await?;
        ensure!(phase == "Succeeded", "pod {} failed: {}", self.name, said.trim());
        self.pods.delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        Ok(said)
    }

    pub(super) async fn log(&self) -> Result<String> {
        self.pods.logs(&self.name, &LogParams::default()).await.context("reading the log of a pod")
    }

    pub(super) async fn remove(self) -> Result<()> {
        self.pods.delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }
}

fn pod(name: &str, arguments: &[&str]) -> Value {
    let token = |path: &str, audience: Option<&str>| match audience {
        Some(audience) => json!({"serviceAccountToken": {"path": path, "audience": audience}}),
        None => json!({"serviceAccountToken": {"path": path}}),
    };
    let sources = [token("own", None), token("exchange", Some("portolan-token-exchange"))];
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": CLIENTS},
        "spec": {
            "serviceAccountName": ACCOUNT, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "guest", "image": node::GUEST_IMAGE, "imagePullPolicy": "IfNotPresent", "args": arguments,
                "volumeMounts": [
                    {"name": "tokens", "mountPath": "/tokens"}, {"name": "authority", "mountPath": "/authority"},
                ],
            }],
            "volumes": [
                {"name": "tokens", "projected": {"sources": sources}},
                {"name": "authority", "configMap": {"name": "authority"}},
            ],
        },
    })
}
