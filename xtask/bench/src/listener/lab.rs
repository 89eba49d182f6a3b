//! One API server that is management cluster and target, a listener on it, and a gateway's view of its stream.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{AsyncBufReadExt as _, StreamExt as _};
use http::Request;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Secret, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::gateway::ClusterAccess,
    schema_document::{ClusterMetadata, DocumentEvent, PartReference},
};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceProcess, eventually, ports::free_port, workdir::Workdir,
};
use serde_json::{Value, json};

use crate::services::{Binaries, RELEASE};

const WITHIN: Duration = Duration::from_secs(120);
const GATEWAY: &str = "gateway";
/// A label of ClusterAccesses.
pub(super) const LABEL: &str = "bench";

pub(super) struct Lab {
    pub(super) plane: ControlPlane,
    pub(super) listener: ServiceProcess,
    port: u16,
    directory: Workdir,
}

impl Lab {
    pub(super) async fn start(binaries: &Binaries) -> Result<Self> {
        let plane = ControlPlane::start(ControlPlaneOptions::named("listener-bench")).await?;
        let (directory, port) = (Workdir::new("listener-bench")?, free_port()?);
        let arguments = [
            format!("--definitions-dir={}", directory.path().display()),
            "--secret-namespaces=default".to_owned(),
            format!("--stream-address=127.0.0.1:{port}"),
            "--plain-http".to_owned(),
            format!("--gateway-accounts={RELEASE}/{GATEWAY}"),
        ];
        let listener = binaries.start("listener", &plane, &arguments).await?;
        let metadata = ObjectMeta { name: Some(GATEWAY.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), RELEASE);
        accounts.create(&PostParams::default(), &account).await?;
        Ok(Self { plane, listener, port, directory })
    }

    /// Removes a ClusterAccess, and waits until its document is gone.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        self.accesses().delete(name, &DeleteParams::default()).await?;
        let path = self.directory.path().join(format!("{name}.json"));
        eventually("the document is gone", WITHIN, async || (!path.exists()).then_some(())).await
    }

    /// Waits for a document in which something is.
    pub(super) async fn document_with(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.path().join(format!("{name}.json"));
        let look = async || {
            let found = std::fs::read_to_string(&path).ok()?;
            found.contains(text).then_some(())
        };
        eventually(&format!("{text} in document {name}"), WITHIN, look).await
    }

    /// Makes a ClusterAccess of the API server, with a kubeconfig.
    pub(super) async fn access(&self, name: &str, kubeconfig: &str, filter: Option<Value>) -> Result<()> {
        access(&self.plane.client(), name, kubeconfig, filter).await
    }

    pub(super) async fn label(&self, name: &str, value: &str) -> Result<()> {
        let patch = json!({"metadata": {"labels": {LABEL: value}}});
        self.accesses().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn accesses(&self) -> Api<ClusterAccess> {
        Api::all(self.plane.client())
    }

    pub(super) fn crds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.plane.client())
    }

    /// A gateway that follows the documents.
    pub(super) async fn gateway(&self) -> Result<Gateway> {
        let token = self.plane.token_for(RELEASE, GATEWAY, &["portolan-listener"], 3600).await?;
        let mut config = kube::Config::new(format!("http://127.0.0.1:{}", self.port).parse()?);
        config.auth_info.token = Some(token.into());
        let client = Client::try_from(config)?;
        let request = Request::get("/v1/documents?watch=1").body(Vec::new())?;
        let lines = Box::pin(client.request_stream(request).await?).lines();
        Ok(Gateway { client, lines: Box::pin(lines) })
    }
}

/// Makes a ClusterAccess with a kubeconfig.
pub async fn access(client: &Client, name: &str, kubeconfig: &str, filter: Option<Value>) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let data = [("kubeconfig".to_owned(), ByteString(kubeconfig.as_bytes().to_vec()))];
    let secret = Secret { metadata, data: Some(data.into()), ..Secret::default() };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    secrets.create(&PostParams::default(), &secret).await?;
    let mut spec = json!({"auth": {"kubeconfigSecretRef": {"name": name, "namespace": "default"}}});
    if let Some(filter) = filter {
        spec["schemaFilter"] = filter;
    }
    let access: ClusterAccess = serde_json::from_value(json!({
        "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess",
        "metadata": {"name": name}, "spec": spec,
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &access).await?;
    Ok(())
}

/// What a gateway sees.
pub(super) struct Gateway {
    client: Client,
    lines: std::pin::Pin<Box<dyn futures::Stream<Item = std::io::Result<String>>>>,
}

impl Gateway {
    /// The next event, and how long its line is.
    pub(super) async fn next(&mut self) -> Result<(DocumentEvent, usize)> {
        let line =
            tokio::time::timeout(WITHIN, self.lines.next()).await?.context("the stream has ended")??;
        Ok((serde_json::from_str(&line)?, line.len() + 1))
    }

    /// Waits for the first document that is as wanted; gives its parts, and how long its line is. Earlier news, which
    /// nobody has waited for, are passed over.
    pub(super) async fn document(
        &mut self,
        is_wanted: impl Fn(&ClusterMetadata, &[PartReference]) -> bool,
    ) -> Result<(Vec<PartReference>, usize)> {
        loop {
            let (event, length) = self.next().await?;
            match event {
                DocumentEvent::Upsert { metadata, parts, .. } if is_wanted(&metadata, &parts) => {
                    return Ok((parts, length));
                }
                _ => {}
            }
        }
    }

    /// How long a part is.
    pub(super) async fn part(&self, sha256: &str) -> Result<usize> {
        let request = Request::get(format!("/v1/parts/{sha256}")).body(Vec::new())?;
        Ok(self.client.request_text(request).await?.len())
    }
}
