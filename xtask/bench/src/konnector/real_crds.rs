//! Forty CRDs of the size of real ones, offered at once: what it takes to bind them, and to hold them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::APIServiceBinding,
    condition::{self, READY},
};
use portolan_testkit::{ServiceProcess, eventually, real_crds, watch_until, workload};
use serde_json::json;

use crate::{
    clusters::{self, Clusters},
    display::Display,
    figure::Value,
    services::Binaries,
};

const CONSUMER: &str = "real";
/// Limit for the API servers to serve all kinds, and for ours to bind them.
const LIMIT: Duration = Duration::from_secs(300);
/// Number of requests about CRDs at a time.
const CONCURRENCY: usize = 4;
/// Interval at which bindings are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Time that the API servers work on new kinds after they are established.
const SETTLE: Duration = Duration::from_secs(10);
/// Time without changes before memory is looked at.
const REST: Duration = Duration::from_secs(30);

/// Memory of the konnector at rest and at its peak, the same of the provider, seconds until everything was bound beside
/// those to create as much, and seconds of processor time of both.
///
/// It has clusters of its own: a peak is that of the whole life of a process.
pub(super) async fn measure(display: &Display, binaries: &Binaries) -> Result<Vec<Value>> {
    let clusters = Box::pin(Clusters::start(display)).await?;
    let crds = real_crds::all();
    let on_provider: Api<CustomResourceDefinition> = Api::all(clusters.provider.client());
    let start = Instant::now();
    create(&on_provider, &crds).await?;
    let created = start.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let (provider, konnector) = Box::pin(async {
        tokio::try_join!(clusters.start_provider(binaries), clusters.start_konnector(binaries))
    })
    .await?;
    prepare(&clusters, binaries, &crds).await?;
    let before = cpu(&[&provider, &konnector])?;
    let start = Instant::now();
    label(&on_provider, &crds).await?;
    let bound = bound(&clusters, &crds).await.with_context(|| konnector.log_tail(20));
    let seconds = bound.map(|()| start.elapsed().as_secs_f64())?;
    tokio::time::sleep(REST).await;
    let cpu = cpu(&[&provider, &konnector])? - before;
    let memory = [konnector.rss_mb()?, konnector.peak_rss_mb()?, provider.rss_mb()?, provider.peak_rss_mb()?];
    Ok(memory.map(Value::from).into_iter().chain([Value::beside(seconds, created), cpu.into()]).collect())
}

/// CRDs that nobody has labelled yet.
async fn create(api: &Api<CustomResourceDefinition>, crds: &[CustomResourceDefinition]) -> Result<()> {
    each(crds, async |crd| {
        api.create(&PostParams::default(), crd).await.with_context(|| crd.name_any())?;
        watch_until(api.clone(), &crd.name_any(), workload::is_established, LIMIT).await?;
        Ok(())
    })
    .await
}

/// A consumer with rights for all kinds, and a bundle that has nothing to bind so far.
async fn prepare(clusters: &Clusters, binaries: &Binaries, crds: &[CustomResourceDefinition]) -> Result<()> {
    let consumer = clusters.consumer.client();
    let groups: BTreeSet<_> = crds.iter().map(|crd| crd.spec.group.as_str()).collect();
    for group in groups {
        clusters::grant(&consumer, group).await?;
    }
    let kubeconfig = clusters.kubeconfig_for(binaries, CONSUMER, None).await?;
    clusters::create_secret(&consumer, CONSUMER, &kubeconfig).await?;
    clusters::create_bundle(&consumer, CONSUMER).await?;
    clusters::bundle_ready(&consumer, CONSUMER).await?;
    Ok(())
}

async fn label(api: &Api<CustomResourceDefinition>, crds: &[CustomResourceDefinition]) -> Result<()> {
    let label = Patch::Merge(json!({"metadata": {"labels": {workload::EXPORTED: "true"}}}));
    each(crds, async |crd| {
        let labelled = api.patch_metadata(&crd.name_any(), &PatchParams::default(), &label).await;
        labelled.map(drop).with_context(|| crd.name_any())
    })
    .await
}

async fn each(
    crds: &[CustomResourceDefinition],
    work: impl AsyncFn(&CustomResourceDefinition) -> Result<()>,
) -> Result<()> {
    stream::iter(crds).map(|crd| work(crd)).buffer_unordered(CONCURRENCY).try_collect().await
}

/// Waits until every kind has a binding that is Ready.
async fn bound(clusters: &Clusters, crds: &[CustomResourceDefinition]) -> Result<()> {
    let bindings: Api<APIServiceBinding> = Api::all(clusters.consumer.client());
    eventually("every kind is bound", LIMIT, async || {
        tokio::time::sleep(TICK).await;
        let all = bindings.list(&ListParams::default()).await?.items;
        let is_ready = |binding: &&APIServiceBinding| {
            binding.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, READY))
        };
        let ready = all.iter().filter(is_ready).count();
        Ok::<_, kube::Error>((ready == crds.len()).then_some(()))
    })
    .await
}

fn cpu(services: &[&ServiceProcess]) -> Result<f64> {
    services.iter().map(|service| service.cpu_seconds()).sum()
}
