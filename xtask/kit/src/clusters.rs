//! A provider cluster and a consumer cluster, and what people do on them by hand.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, rbac::v1::ClusterRole},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle},
    condition::{self, READY},
};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, Progress, ServiceProcess, binaries, ports::free_port, watch_until,
    workload,
};
use serde_json::json;

use crate::services::Binaries;

/// Limit for anything that a controller does.
pub const SOON: Duration = Duration::from_secs(30);
/// The Secret's key that holds a kubeconfig.
const KEY: &str = "kubeconfig";

/// Two control planes.
pub struct Clusters {
    /// The side that offers services.
    pub provider: ControlPlane,
    /// The side that binds them.
    pub consumer: ControlPlane,
}

impl Clusters {
    /// Starts both at once. Their programs are built first if they are nowhere.
    pub async fn start(progress: &dyn Progress) -> Result<Self> {
        let binaries = binaries::locate(progress).await?;
        let start = |name| {
            let options = ControlPlaneOptions::named(name);
            ControlPlane::start(ControlPlaneOptions { binaries: Some(binaries.clone()), ..options })
        };
        let (provider, consumer) = tokio::try_join!(start("provider"), start("consumer"))?;
        Ok(Self { provider, consumer })
    }

    /// Starts the provider's controllers.
    pub async fn start_provider(&self, binaries: &Binaries) -> Result<ServiceProcess> {
        binaries.start("provider", &self.provider, &[]).await
    }

    /// Starts the konnector, with `/healthz` on a free port of this machine.
    pub async fn start_konnector(&self, binaries: &Binaries) -> Result<ServiceProcess> {
        let health = format!("--server-address=127.0.0.1:{}", free_port()?);
        binaries.start("konnector", &self.consumer, &[health]).await
    }

    /// The kubeconfig that the provider's administrator hands to a consumer.
    pub async fn kubeconfig_for(
        &self,
        binaries: &Binaries,
        consumer: &str,
        exports: Option<&str>,
    ) -> Result<String> {
        let mut arguments = vec!["kubeconfig", "--consumer", consumer];
        arguments.extend(exports.iter().flat_map(|selector| ["--exports", selector]));
        binaries.run("provider", &self.provider, &arguments).await
    }
}

/// Offers a CRD to consumers: creates it, labelled as exported, and waits until it is established.
pub async fn offer(provider: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(provider.clone());
    let created = crds.create(&PostParams::default(), crd).await.context("creating the CRD")?;
    let name = created.metadata.name.unwrap_or_default();
    watch_until(crds, &name, workload::is_established, SOON).await?;
    Ok(())
}

/// Grants the konnector the right to work with the objects of an API group, which it requests in `PermissionDenied`.
pub async fn grant(consumer: &Client, group: &str) -> Result<()> {
    let role = json!({
        "metadata": {
            "name": format!("kube-bind-{group}"),
            "labels": {"rbac.kube-bind.io/aggregate-to-konnector": "true"},
        },
        "rules": [{"apiGroups": [group], "resources": ["*"], "verbs": ["get", "list", "watch", "patch"]}],
    });
    let role: ClusterRole = serde_json::from_value(role)?;
    Api::all(consumer.clone())
        .create(&PostParams::default(), &role)
        .await
        .context("creating the ClusterRole")?;
    Ok(())
}

/// `kubectl create secret generic NAME --from-file=kubeconfig=FILE`, in namespace `default`.
pub async fn create_secret(consumer: &Client, name: &str, kubeconfig: &str) -> Result<()> {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(kubeconfig.as_bytes().to_vec()))])),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(consumer.clone(), "default");
    secrets.create(&PostParams::default(), &secret).await.context("creating the Secret")?;
    Ok(())
}

/// Creates a bundle that names the Secret of its own name.
pub async fn create_bundle(consumer: &Client, name: &str) -> Result<()> {
    let reference = json!({"name": name, "namespace": "default", "key": KEY});
    let bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": name}, "spec": {"kubeconfigSecretRef": reference},
    });
    let bundle: APIServiceBindingBundle = serde_json::from_value(bundle)?;
    let bundles = Api::all(consumer.clone());
    bundles.create(&PostParams::default(), &bundle).await.context("creating the bundle")?;
    Ok(())
}

/// Waits until a bundle is Ready.
pub async fn bundle_ready(consumer: &Client, name: &str) -> Result<APIServiceBindingBundle> {
    let api: Api<APIServiceBindingBundle> = Api::all(consumer.clone());
    let ready = |bundle: &APIServiceBindingBundle| {
        bundle.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, READY))
    };
    watch_until(api, name, ready, SOON).await
}

/// Waits until a binding is Ready.
pub async fn binding_ready(consumer: &Client, name: &str) -> Result<APIServiceBinding> {
    let api: Api<APIServiceBinding> = Api::all(consumer.clone());
    let ready = |binding: &APIServiceBinding| {
        binding.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, READY))
    };
    watch_until(api, name, ready, SOON).await
}
