//! A cluster, its document as a listener makes it, and gateways over such documents.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use http::Request;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ObjectMeta, PostParams},
    core::NamespaceResourceScope,
};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceProcess, eventually, kubeconfig, load,
    ports::free_port,
    raw::{self, RawAnswer},
    workdir::Workdir,
    workload,
};
use serde_json::json;

use crate::{listener::lab::access, services::Binaries};

pub(super) const WITHIN: Duration = Duration::from_secs(120);
const CONCURRENCY: usize = 8;
/// The account that asks.
const ACCOUNT: &str = "caller";

pub(super) struct Lab {
    pub(super) plane: ControlPlane,
    /// The schema document of the cluster.
    pub(super) document: String,
    /// The token of a caller who may do anything.
    pub(super) token: String,
    binaries: Binaries,
}

/// A gateway, and the directory that it follows.
pub(super) struct Gateway {
    pub(super) process: ServiceProcess,
    pub(super) port: u16,
    // After the process, which reads it.
    directory: Workdir,
}

impl Lab {
    /// Without controllers: they would add ConfigMaps of their own.
    pub(super) async fn start(binaries: &Binaries) -> Result<Self> {
        let options =
            ControlPlaneOptions { controllers: false, ..ControlPlaneOptions::named("gateway-bench") };
        let plane = ControlPlane::start(options).await?;
        let token = caller(&plane).await?;
        let document = document(&plane, binaries).await?;
        Ok(Self { plane, document, token, binaries: binaries.clone() })
    }

    /// A ready gateway over these documents.
    pub(super) async fn gateway(&self, documents: &[(&str, &str)]) -> Result<Gateway> {
        self.gateway_with(documents, &[]).await
    }

    /// The same with more flags.
    pub(super) async fn gateway_with(&self, documents: &[(&str, &str)], flags: &[String]) -> Result<Gateway> {
        let (directory, port) = (Workdir::new("gateway-bench")?, free_port()?);
        for (name, document) in documents {
            std::fs::write(directory.path().join(format!("{name}.json")), document)?;
        }
        let arguments = [
            format!("--address=127.0.0.1:{port}"),
            "--plain-http".to_owned(),
            format!("--definitions={}", directory.path().display()),
        ];
        let arguments = [&arguments[..], flags].concat();
        // It needs no kubeconfig.
        let process = self.binaries.start_as("gateway", "", &arguments).await?;
        process.wait_ready(WITHIN).await?;
        Ok(Gateway { process, port, directory })
    }

    /// A client of the API server with the caller's own token.
    pub(super) async fn direct(&self) -> Result<Client> {
        kubeconfig::client(&self.plane.kubeconfig_for_token(&self.token, "default")).await
    }

    /// A namespace with some ConfigMaps, each with a text of this size.
    pub(super) async fn fill(&self, namespace: &str, count: usize, size: usize) -> Result<()> {
        self.namespace(namespace).await?;
        let resource = ApiResource::erase::<ConfigMap>(&());
        let make = |number| {
            let data = json!({"data": {"text": text(number, size)}});
            DynamicObject::new(&name(number), &resource).data(data)
        };
        load::objects(&self.plane.client(), &resource, Some(namespace), make, count, CONCURRENCY).await?;
        Ok(())
    }

    /// The same, unless it is there already.
    pub(super) async fn filled(&self, namespace: &str, count: usize, size: usize) -> Result<()> {
        if Api::<Namespace>::all(self.plane.client()).get_opt(namespace).await?.is_none() {
            self.fill(namespace, count, size).await?;
        }
        Ok(())
    }

    pub(super) async fn namespace(&self, name: &str) -> Result<()> {
        let namespace = Namespace { metadata: named(name), ..Namespace::default() };
        Api::all(self.plane.client()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// A query as it is sent.
    pub(super) fn request(&self, gateway: &Gateway, cluster: &str, query: &str) -> Request<Vec<u8>> {
        self.request_of(gateway, cluster, &json!({"query": query}))
    }

    /// A request as it is sent.
    pub(super) fn request_of(
        &self,
        gateway: &Gateway,
        cluster: &str,
        body: &serde_json::Value,
    ) -> Request<Vec<u8>> {
        Request::post(format!("http://127.0.0.1:{}/{cluster}/graphql", gateway.port))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .expect("a URL and headers of our own")
    }

    /// The answer to a query, on a connection of its own.
    pub(super) async fn ask(&self, gateway: &Gateway, cluster: &str, query: &str) -> Result<RawAnswer> {
        let headers =
            format!("host: x\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n", self.token);
        let (line, body) = (format!("POST /{cluster}/graphql"), json!({"query": query}).to_string());
        Ok(raw::http(gateway.port, &line, &headers, body.as_bytes()).await?)
    }
}

impl Gateway {
    /// Puts a document there as a listener does: written aside, then renamed.
    pub(super) fn write(&self, name: &str, document: &str) -> Result<()> {
        let (aside, path) = (self.path(&format!(".{name}.tmp")), self.path(&format!("{name}.json")));
        std::fs::write(&aside, document)?;
        Ok(std::fs::rename(aside, path)?)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }
}

/// The name of a ConfigMap; in this order, API servers list them.
pub(super) fn name(number: usize) -> String {
    format!("object-{number:04}")
}

/// A text of this size, another one for each object.
pub(super) fn text(number: usize, size: usize) -> String {
    let line = format!("{number:04}: the quick brown fox jumps over the lazy dog; ");
    line.chars().cycle().take(size).collect()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

async fn caller(plane: &ControlPlane) -> Result<String> {
    let account = ServiceAccount { metadata: named(ACCOUNT), ..ServiceAccount::default() };
    create(Api::namespaced(plane.client(), "default"), &account).await?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "default"}],
    }))?;
    Api::all(plane.client()).create(&PostParams::default(), &binding).await?;
    plane.token_for("default", ACCOUNT, &[], 3600).await
}

async fn create<K>(api: Api<K>, object: &K) -> Result<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), object).await?;
    Ok(())
}

/// The document that a listener makes of a stock cluster with one CRD.
async fn document(plane: &ControlPlane, binaries: &Binaries) -> Result<String> {
    workload::install(&plane.client(), &workload::wildwest()).await?;
    let directory = Workdir::new("gateway-bench-documents")?;
    let arguments = [
        format!("--definitions-dir={}", directory.path().display()),
        "--secret-namespaces=default".to_owned(),
    ];
    let listener = binaries.start("listener", plane, &arguments).await?;
    access(&plane.client(), "stock", &plane.kubeconfig(), None).await?;
    let path = directory.path().join("stock.json");
    let written = async || {
        let found = std::fs::read_to_string(&path).ok()?;
        (found.contains("wildwest.dev") && found.contains("x-cluster-metadata")).then_some(found)
    };
    let document = eventually("the document", WITHIN, written).await?;
    ensure!(document.len() > 100_000, "the document of a stock cluster is larger than {}", document.len());
    listener.terminate(WITHIN).await.context("ending the listener")?;
    Ok(document)
}
