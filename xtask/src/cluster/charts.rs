//! The charts, installed as users do: with both major versions of Helm.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use portolan_testkit::{command::chart, eventually};
use serde_json::{Value, json};

use super::{
    guests::{CLIENTS, TARGETS},
    scene::{SOON, Scene},
    site::Site,
};

/// The namespace that is part of the names of clusters.
pub(super) const NAMES: &str = "kube-fed";
/// The namespace of everything else.
pub(super) const OTHERS: &str = "portolan";
/// The host of the listener's stream, and the Secrets with its certificate and with its CA.
pub(super) const LISTENER_HOST: &str = "listener.portolan.svc";
pub(super) const LISTENER_TLS: &str = "listener-tls";
pub(super) const LISTENER_CA: &str = "listener-ca";
/// The path of this cluster in the gateway.
pub(super) const LOCAL: &str = "local";
/// Directory of the service account in each pod.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A chart with its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    pub(super) name: &'static str,
    pub(super) chart: &'static str,
    pub(super) namespace: &'static str,
    values: fn(&Site) -> Value,
}

pub(super) const TOKEN_SERVICE: Release =
    Release { name: "api", chart: "token-service", namespace: NAMES, values: token_service };
pub(super) const TOKEN_EXCHANGE: Release =
    Release { name: "exchange", chart: "token-exchange", namespace: OTHERS, values: token_exchange };
pub(super) const KONNECTOR: Release =
    Release { name: "konnector", chart: "konnector", namespace: OTHERS, values: |_| konnector() };
pub(super) const PROVIDER: Release =
    Release { name: "provider", chart: "provider", namespace: OTHERS, values: |_| json!({}) };
pub(super) const LISTENER: Release = Release {
    name: "listener",
    chart: "listener",
    namespace: OTHERS,
    values: |_| json!({"tls": {"secretName": LISTENER_TLS}, "secretNamespaces": [CLIENTS]}),
};
pub(super) const GATEWAY: Release =
    Release { name: "gateway", chart: "gateway", namespace: OTHERS, values: |_| gateway() };
pub(super) const DEVPORTAL: Release =
    Release { name: "devportal", chart: "devportal", namespace: OTHERS, values: |_| json!({}) };
/// Without an issuer, people come with bearer tokens.
pub(super) const PORTAL: Release =
    Release { name: "portal", chart: "portal", namespace: OTHERS, values: |_| json!({"plainHttp": true}) };
pub(super) const ALL: [Release; 8] =
    [PROVIDER, KONNECTOR, TOKEN_SERVICE, TOKEN_EXCHANGE, LISTENER, GATEWAY, DEVPORTAL, PORTAL];

/// The configuration of this cluster as an issuer.
fn issuer(site: &Site) -> Value {
    json!({
        "issuer": site.issuer, "api_server": site.api_server, "allow_addresses": [site.address],
        "ca_cert": format!("{ACCOUNT}/ca.crt"), "token_path": format!("{ACCOUNT}/token"),
    })
}

fn token_service(site: &Site) -> Value {
    json!({
        "replicas": 3, "tls": {"secretName": "hosts"}, "clusterNames": {"enabled": true},
        "config": {"clusters": {"local": issuer(site), "app1": issuer(site)}},
    })
}

/// The clients of the walk ask more often than a caller may by default.
fn token_exchange(site: &Site) -> Value {
    json!({
        "plainHttp": true, "targetNamespaces": [TARGETS],
        "config": {"issuers": [issuer(site)], "namespaces": [TARGETS], "rateLimits": {"perCaller": 0}},
    })
}

fn gateway() -> Value {
    json!({"replicas": 3, "plainHttp": true, "listener": {"caSecretName": LISTENER_CA}})
}

/// Where pods ask the gateway about this cluster.
pub(super) fn gateway_url() -> String {
    format!("http://{}.{OTHERS}.svc.cluster.local:443/{LOCAL}/graphql", GATEWAY.name)
}

fn konnector() -> Value {
    json!({"secretNamespaces": [CLIENTS], "boundGroups": ["wildwest.dev"]})
}

impl Release {
    /// Installs it, or upgrades it with more values, and waits until its pods are Ready.
    pub(super) async fn install(&self, scene: &Scene, helm: u8, more: &[&str]) -> Result<()> {
        let values = serde_json::to_string_pretty(&(self.values)(&scene.site))?;
        let values = scene.write(&format!("{}.values.json", self.name), &values)?.display().to_string();
        let chart = chart(self.chart);
        let mut arguments = vec!["upgrade", "--install", self.name, &chart, "--namespace", self.namespace];
        // Somebody else's nodes may have to pull the image first.
        let limit = if scene.is_ours() { "2m" } else { "5m" };
        arguments.extend(["--create-namespace", "--values", &values, "--wait", "--timeout", limit]);
        let registry = scene.registry.as_ref().map(|host| format!("global.imageRegistry={host}"));
        if let Some(set) = &registry {
            arguments.extend(["--set", set]);
        }
        arguments.extend(more);
        if let Err(error) = scene.helm(helm, &arguments).await {
            let pods = self.seen(scene).await.unwrap_or_default();
            return Err(error.context(format!("release {}; its pods: {pods}", self.name)));
        }
        self.ready(scene).await
    }

    /// Runs `helm test` as the notes of the chart say it, which runs the service's own `check`.
    pub(super) async fn test(&self, scene: &Scene, helm: u8) -> Result<()> {
        let arguments = ["test", self.name, "--namespace", self.namespace, "--timeout", "1m", "--logs"];
        scene.helm(helm, &arguments).await.with_context(|| format!("release {}", self.name))?;
        Ok(())
    }

    pub(super) async fn uninstall(&self, scene: &Scene, helm: u8) -> Result<()> {
        let arguments = ["uninstall", self.name, "--namespace", self.namespace, "--wait", "--timeout", "2m"];
        scene.helm(helm, &arguments).await?;
        Ok(())
    }

    pub(super) fn pods(&self, scene: &Scene) -> Api<Pod> {
        Api::namespaced(scene.client.clone(), self.namespace)
    }

    pub(super) fn selector(&self) -> ListParams {
        let labels =
            format!("app.kubernetes.io/name={},app.kubernetes.io/instance={}", self.chart, self.name);
        ListParams::default().labels(&labels)
    }

    async fn ready(&self, scene: &Scene) -> Result<()> {
        let pods = self.pods(scene);
        eventually(&format!("pods of {} are Ready", self.name), SOON, async || -> Result<Option<()>> {
            let pods = pods.list(&self.selector()).await?.items;
            let waiting: Vec<_> = pods.iter().filter(|pod| !is_ready(pod)).map(describe).collect();
            ensure!(!pods.is_empty() && waiting.is_empty(), "{} pods; {}", pods.len(), waiting.join("; "));
            Ok(Some(()))
        })
        .await
    }

    /// The state of its pods and the last lines of their logs, for error messages.
    async fn seen(&self, scene: &Scene) -> Result<String> {
        let pods = self.pods(scene);
        let mut seen = Vec::new();
        for pod in pods.list(&self.selector()).await?.items {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let params = kube::api::LogParams { tail_lines: Some(5), ..Default::default() };
            let log = pods.logs(&name, &params).await.unwrap_or_default();
            seen.push(format!("{}\n{log}", describe(&pod)));
        }
        Ok(seen.join("\n"))
    }
}

/// Returns `true` if a pod is Ready and not being deleted.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

fn describe(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let waiting = containers.iter().filter_map(|container| {
        let state = container.state.as_ref()?;
        let waiting = state.waiting.as_ref().map(|state| (state.reason.clone(), state.message.clone()));
        let ended = state.terminated.as_ref().map(|state| (state.reason.clone(), state.message.clone()));
        let (reason, message) = waiting.or(ended)?;
        Some(format!("{} {}", reason.unwrap_or_default(), message.unwrap_or_default()))
    });
    let why: Vec<_> = waiting.chain(status.message).collect();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    format!("{name} is {}: {}", status.phase.unwrap_or_default(), why.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_issuer_and_the_address_of_the_cluster() {
        let site = Site {
            issuer: "https://oidc.test/a".to_owned(),
            api_server: "https://b.test".to_owned(),
            address: "172.20.0.1".to_owned(),
        };
        for (release, pointer) in [
            (TOKEN_SERVICE, "/config/clusters/local"),
            (TOKEN_SERVICE, "/config/clusters/app1"),
            (TOKEN_EXCHANGE, "/config/issuers/0"),
        ] {
            let values = (release.values)(&site);
            let issuer = values.pointer(pointer).unwrap();
            assert_eq!(issuer["issuer"], "https://oidc.test/a", "{pointer}");
            assert_eq!(issuer["api_server"], "https://b.test", "{pointer}");
            assert_eq!(issuer["allow_addresses"], json!(["172.20.0.1"]), "{pointer}");
        }
    }
}
