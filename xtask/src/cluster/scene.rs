//! The cluster from outside: clients, kubectl and both versions of Helm.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};
use portolan_testkit::{clients, eventually, kubeconfig};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{home::Home, node, site::Site, space::Space};
use crate::services::Binaries;

/// Limit for anything that a controller does.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// The field manager of this program.
const MANAGER: &str = "portolan-cluster";

/// The second cluster, which offers a service.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) client: Client,
    /// The URL as pods reach it.
    pub(super) url: String,
    /// The kubeconfig as this program uses it.
    pub(super) kubeconfig: PathBuf,
    /// The programs of the services, which run on this machine there.
    pub(super) binaries: Binaries,
}

/// The cluster and the tools.
pub(super) struct Scene {
    pub(super) client: Client,
    pub(super) site: Site,
    /// The cluster that offers a service to this one, if we have started it.
    pub(super) provider: Option<Provider>,
    pub(super) registry: Option<String>,
    home: PathBuf,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Scene {
    /// The scene on our own node.
    pub(super) async fn ours(home: &Home, binaries: &Binaries, kubectl: Option<PathBuf>) -> Result<Self> {
        let file = home.file(node::PROVIDER_KUBECONFIG);
        let url = fs::read_to_string(home.file(node::PROVIDER_URL))?;
        let provider =
            Provider { client: client(&file).await?, url, kubeconfig: file, binaries: binaries.clone() };
        let kubeconfig = home.file(node::KUBECONFIG);
        Ok(Self {
            client: client(&kubeconfig).await?,
            site: Site::ours(),
            provider: Some(provider),
            registry: None,
            home: home.path().to_owned(),
            kubeconfig,
            kubectl: kubectl.unwrap_or_else(|| PathBuf::from("kubectl")),
        })
    }

    /// The scene on somebody else's cluster.
    pub(super) async fn elsewhere(home: &Home, kubeconfig: &Path, registry: Option<String>) -> Result<Self> {
        let client = client(kubeconfig).await?;
        Ok(Self {
            site: Site::of(&client).await?,
            client,
            provider: None,
            registry,
            home: home.path().to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            kubectl: PathBuf::from("kubectl"),
        })
    }

    /// Returns `true` on our own node.
    pub(super) fn is_ours(&self) -> bool {
        self.provider.is_some()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Writes a file for a tool.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The client of a person, by impersonation.
    pub(super) async fn person(&self, name: &str, group: &str) -> Result<Client> {
        let mut config = kubeconfig::config(&fs::read_to_string(&self.kubeconfig)?).await?;
        config.auth_info.impersonate = Some(name.to_owned());
        config.auth_info.impersonate_groups = Some(vec![group.to_owned()]);
        Client::try_from(config).context("cannot make a client for a person")
    }

    /// Runs kubectl on the cluster.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.tool(&self.kubectl, arguments).await
    }

    /// Runs Helm in one of its major versions.
    pub(super) async fn helm(&self, version: u8, arguments: &[&str]) -> Result<String> {
        let helm = tokio::task::spawn_blocking(move || match version {
            3 => clients::helm(),
            _ => clients::helm4(),
        });
        let helm = helm.await??.context("Helm is built with Go, and there is none: https://go.dev/dl")?;
        self.tool(&helm, arguments).await
    }

    /// Runs a program that keeps its own files in our directory. HOME stays: a kubeconfig may name a program that looks
    /// for credentials there.
    async fn tool(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"] {
            command.env(place, self.home.join("tools"));
        }
        run(&mut command).await
    }

    /// Waits until pods can be scheduled.
    pub(super) async fn node_ready(&self, space: &mut Space) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ready = eventually("the node is Ready", SOON, async || -> Result<Option<()>> {
            let node = nodes.get("node").await?;
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            let (status, message) =
                ready.map(|ready| (ready.status.as_str(), ready.message.as_deref())).unwrap_or_default();
            ensure!(status == "True", "{}", message.unwrap_or("no condition yet"));
            Ok(Some(()))
        })
        .await;
        match ready {
            Ok(()) => Ok(()),
            Err(late) => space.check().and(Err(late)),
        }
    }

    /// Applies objects, as `kubectl apply --server-side` does.
    pub(super) async fn apply(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            apply(&self.client, object).await?;
        }
        Ok(())
    }

    /// Returns `true` if there is no such Secret.
    pub(super) async fn lacks(&self, (namespace, name): (&str, &str)) -> Result<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        Ok(secrets.get_opt(name).await.context("looking for a Secret")?.is_none())
    }

    /// Writes a Secret of strings.
    pub(super) async fn secret(
        &self,
        (namespace, name): (&str, &str),
        kind: &str,
        data: &[(&str, &str)],
    ) -> Result<()> {
        let data: serde_json::Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": namespace}, "stringData": data,
        });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(MANAGER).force();
        secrets.patch(name, &params, &Patch::Apply(&secret)).await.context("writing a Secret")?;
        Ok(())
    }
}

/// Applies one object of any kind.
pub(super) async fn apply(client: &Client, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.as_ref().context("it has no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(MANAGER).force();
    let named = || format!("applying {} {}", resource.kind, object.name_any());
    api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.with_context(named)?;
    Ok(())
}

/// Files that a kubeconfig names are beside it.
async fn client(file: &Path) -> Result<Client> {
    let unusable = || format!("cannot use the kubeconfig {}", file.display());
    let kubeconfig = Kubeconfig::read_from(file).with_context(unusable)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.with_context(unusable)?).with_context(unusable)
}

/// Runs a program and returns its output.
pub(super) async fn run(command: &mut Command) -> Result<String> {
    let output = command.kill_on_drop(true).output().await.context("starting a program")?;
    let line = command.as_std();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line:?} failed ({}): {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
