//! The walk through the listener: a ClusterAccess for each of the clusters, and their documents.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use portolan_core::{api::gateway::ClusterAccess, standard_condition::find};
use portolan_testkit::{ControlPlane, ports::free_port, watch_until};
use serde_json::{Value, json};

use super::{walk::Step, world::World};
use crate::{clusters::SOON, services::RELEASE};

/// Where documents are, for people to look at.
const DEFINITIONS: &str = "definitions";
/// The CA of the stream's certificate, and the file with its URL.
pub(super) const AUTHORITY: &str = "listener-ca.crt";
pub(super) const STREAM: &str = "listener.url";
const CERTIFICATE: &str = "listener.crt";
const KEY: &str = "listener.key";
/// What the walk-through has brought to both clusters.
const KIND: &str = "Cowboy";

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "listener: runs on the provider with the rights of its chart, and streams to the gateway",
        run: |world| Box::pin(listener(world)),
    },
    Step { name: "a ClusterAccess for each cluster is Ready", run: |world| Box::pin(accesses(world)) },
    Step {
        name: "their documents have what the clusters serve",
        run: |world| Box::pin(std::future::ready(documents(world))),
    },
];

async fn listener(world: &mut World) -> Result<String> {
    let provider = &world.clusters.provider;
    let (certificate, key) = provider.serving_certificate(&["127.0.0.1".to_owned()])?;
    let authority = provider.ca_pem();
    world.write(AUTHORITY, &authority)?;
    world.write(CERTIFICATE, &certificate)?;
    world.write(KEY, &key)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    world.write(STREAM, &format!("https://{address}"))?;
    let path = |name: &str| world.file(name).display().to_string();
    let arguments = [
        "--secret-namespaces=default".to_owned(),
        format!("--definitions-dir={}", path(DEFINITIONS)),
        format!("--stream-address={address}"),
        format!("--gateway-accounts={RELEASE}/gateway"),
        format!("--tls-cert-file={}", path(CERTIFICATE)),
        format!("--tls-key-file={}", path(KEY)),
    ];
    let service = world.binaries.start("listener", provider, &arguments).await?;
    world.started("listener", service);
    Ok(String::new())
}

async fn accesses(world: &mut World) -> Result<String> {
    for (name, cluster) in [("provider", &world.clusters.provider), ("consumer", &world.clusters.consumer)] {
        access(world, name, cluster).await?;
    }
    Ok("kubectl get clusteraccesses".to_owned())
}

/// The sample of the document: a kubeconfig in a Secret.
async fn access(world: &World, name: &str, cluster: &ControlPlane) -> Result<()> {
    let secret = format!("{name}-cluster-kubeconfig");
    let metadata = ObjectMeta { name: Some(secret.clone()), ..ObjectMeta::default() };
    let data = [("kubeconfig".to_owned(), ByteString(cluster.kubeconfig().into_bytes()))];
    let object = Secret { metadata, data: Some(data.into()), ..Secret::default() };
    let secrets: Api<Secret> = Api::namespaced(world.provider(), "default");
    secrets.create(&PostParams::default(), &object).await.context("creating the Secret")?;
    let access: ClusterAccess = serde_json::from_value(json!({
        "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess", "metadata": {"name": name},
        "spec": {"auth": {"kubeconfigSecretRef": {"name": secret, "namespace": "default"}}},
    }))?;
    let accesses: Api<ClusterAccess> = Api::all(world.provider());
    accesses.create(&PostParams::default(), &access).await.context("creating the ClusterAccess")?;
    let is_ready = |access: &ClusterAccess| {
        let conditions =
            access.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        find(conditions, "Ready").is_some_and(|ready| ready.reason == "ReconcileSucceeded")
    };
    watch_until(accesses, name, is_ready, SOON).await.with_context(|| format!("ClusterAccess {name}"))?;
    Ok(())
}

fn documents(world: &World) -> Result<String> {
    let mut notes = Vec::new();
    for name in ["provider", "consumer"] {
        let path = world.file(DEFINITIONS).join(format!("{name}.json"));
        let document: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let definitions = document["definitions"].as_object().context("a document without definitions")?;
        let kinds = definitions.values().filter(|schema| schema.get("x-kubernetes-plural").is_some()).count();
        ensure!(definitions.keys().any(|key| key.ends_with(KIND)), "{KIND} is not in the document of {name}");
        notes.push(format!("{name}.json: {kinds} kinds"));
    }
    Ok(notes.join(", "))
}
