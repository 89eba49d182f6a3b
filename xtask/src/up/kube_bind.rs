//! The walk through provider and konnector: the bundle of the quick start, then one object there and back.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::{api::kubebind::APIServiceBindingBundle, names};
use portolan_testkit::{eventually, watch_until, watch_until_gone, workload};
use serde_json::json;

use super::{walk::Step, world::World};
use crate::clusters::{self, SOON};

/// The consumer, as the provider knows it.
pub(super) const CONSUMER: &str = "acme";
/// The file that the provider's administrator hands over.
pub(super) const KUBECONFIG: &str = "provider.kubeconfig";
/// The object that goes there and back.
const COWBOY: &str = "billy";
/// A create that takes longer than this was held up by the API server.
const HELD_UP: Duration = Duration::from_millis(500);

/// The bundle as a user writes it.
const BUNDLE: &str = "\
apiVersion: kube-bind.io/v1alpha2
kind: APIServiceBindingBundle
metadata:
  name: prod-services
spec:
  kubeconfigSecretRef:
    name: provider-kubeconfig
    namespace: default
    key: kubeconfig
";

pub(super) const STEPS: &[Step] = &[
    Step { name: "provider: runs with the rights of its chart", run: |world| Box::pin(provider(world)) },
    Step { name: "provider: a CRD is labelled as exported", run: |world| Box::pin(service(world)) },
    Step { name: "provider: a kubeconfig for the consumer", run: |world| Box::pin(kubeconfig(world)) },
    Step { name: "konnector: runs with the rights of its chart", run: |world| Box::pin(konnector(world)) },
    Step { name: "consumer: a ClusterRole for the group", run: |world| Box::pin(grant(world)) },
    Step { name: "consumer: Secret provider-kubeconfig", run: |world| Box::pin(secret(world)) },
    Step { name: "consumer: bundle prod-services is Ready", run: |world| Box::pin(bundle(world)) },
    Step { name: "consumer: the binding is Ready", run: |world| Box::pin(binding(world)) },
    Step { name: "consumer: the CRD is Established", run: |world| Box::pin(crd(world)) },
    Step {
        name: "an object created on the consumer is on the provider",
        run: |world| Box::pin(create(world)),
    },
    Step { name: "a change of its spec follows", run: |world| Box::pin(change(world)) },
    Step {
        name: "a status written on the provider is on the consumer",
        run: |world| Box::pin(status(world)),
    },
    Step { name: "deleting it removes the copy", run: |world| Box::pin(delete(world)) },
];

async fn provider(world: &mut World) -> Result<String> {
    let service = world.clusters.start_provider(&world.binaries).await?;
    world.started("provider", service);
    Ok(String::new())
}

async fn service(world: &mut World) -> Result<String> {
    let crd = workload::wildwest();
    clusters::offer(&world.provider(), &crd).await?;
    Ok(format!("{}, label {}=true", crd.name_any(), workload::EXPORTED))
}

async fn kubeconfig(world: &mut World) -> Result<String> {
    let text = world.clusters.kubeconfig_for(&world.binaries, CONSUMER, None).await?;
    world.write(KUBECONFIG, &text)?;
    Ok(format!("provider kubeconfig --consumer {CONSUMER} > {KUBECONFIG}"))
}

async fn konnector(world: &mut World) -> Result<String> {
    let service = world.clusters.start_konnector(&world.binaries).await?;
    world.started("konnector", service);
    Ok(String::new())
}

async fn grant(world: &mut World) -> Result<String> {
    clusters::grant(&world.consumer(), &workload::wildwest().spec.group).await?;
    Ok("label rbac.kube-bind.io/aggregate-to-konnector=true".to_owned())
}

async fn secret(world: &mut World) -> Result<String> {
    let text = fs::read_to_string(world.file(KUBECONFIG)).context("reading the kubeconfig")?;
    clusters::create_secret(&world.consumer(), "provider-kubeconfig", &text).await?;
    Ok(String::new())
}

async fn bundle(world: &mut World) -> Result<String> {
    let bundle: APIServiceBindingBundle =
        serde_saphyr::from_str(BUNDLE).context("the bundle of the quick start")?;
    let bundles: Api<APIServiceBindingBundle> = Api::all(world.consumer());
    let started = Instant::now();
    bundles.create(&PostParams::default(), &bundle).await.context("creating the bundle")?;
    let created = started.elapsed();
    clusters::bundle_ready(&world.consumer(), &bundle.name_any()).await?;
    Ok(split(created, started.elapsed(), "Ready"))
}

async fn binding(world: &mut World) -> Result<String> {
    let binding = clusters::binding_ready(&world.consumer(), &workload::wildwest().name_any()).await?;
    Ok(format!("APIServiceBinding {}", binding.name_any()))
}

async fn crd(world: &mut World) -> Result<String> {
    let crds: Api<CustomResourceDefinition> = Api::all(world.consumer());
    watch_until(crds, &workload::wildwest().name_any(), workload::is_established, SOON).await?;
    Ok(String::new())
}

/// The cowboys of the consumer.
fn origins(world: &World) -> Api<DynamicObject> {
    Api::namespaced_with(world.consumer(), "default", &workload::cowboys())
}

/// The namespace on the provider that stands for `default` of the consumer.
pub(super) fn mapped_namespace() -> Result<String> {
    Ok(names::mapped_namespace(&names::contract_namespace(CONSUMER)?, "default", false))
}

fn copies(world: &World) -> Result<Api<DynamicObject>> {
    Ok(Api::namespaced_with(world.provider(), &mapped_namespace()?, &workload::cowboys()))
}

async fn create(world: &mut World) -> Result<String> {
    let started = Instant::now();
    let cowboy = workload::cowboy("default", COWBOY, "ride");
    origins(world).create(&PostParams::default(), &cowboy).await.context("creating the object")?;
    let created = started.elapsed();
    // By asking: the first list of a new kind is refused with 429, and a watch comes back a second later.
    let copies = copies(world)?;
    eventually("the copy is on the provider", SOON, async || copies.get_opt(COWBOY).await).await?;
    Ok(split(created, started.elapsed(), "on the provider"))
}

/// Splits the time into that of the API server for the create, and that of the services for the rest.
fn split(created: Duration, all: Duration, then: &str) -> String {
    let why = if created > HELD_UP { ", as for any CRD younger than two seconds" } else { "" };
    let rest = all.saturating_sub(created).as_secs_f64();
    format!("created by the API server in {:.2} s{why}; {then} {rest:.2} s later", created.as_secs_f64())
}

async fn change(world: &mut World) -> Result<String> {
    let change = json!({"spec": {"intent": "rest"}});
    let params = PatchParams::default();
    origins(world).patch(COWBOY, &params, &Patch::Merge(&change)).await.context("changing the object")?;
    watch_until(copies(world)?, COWBOY, |copy| copy.data["spec"]["intent"] == "rest", SOON).await?;
    Ok(String::new())
}

async fn status(world: &mut World) -> Result<String> {
    let change = json!({"status": {"result": "rested"}});
    let params = PatchParams::default();
    copies(world)?
        .patch_status(COWBOY, &params, &Patch::Merge(&change))
        .await
        .context("writing the status")?;
    watch_until(origins(world), COWBOY, |origin| origin.data["status"]["result"] == "rested", SOON).await?;
    Ok(String::new())
}

async fn delete(world: &mut World) -> Result<String> {
    origins(world).delete(COWBOY, &DeleteParams::default()).await.context("deleting the object")?;
    watch_until_gone(copies(world)?, COWBOY, SOON).await?;
    watch_until_gone(origins(world), COWBOY, SOON).await?;
    Ok(String::new())
}
