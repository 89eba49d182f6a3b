//! Cost of a binding: the time until it has brought its CRD, and the memory to hold it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use portolan_testkit::{Percentiles, watch_until, workload};
use serde_json::json;

use super::{
    lab::Lab,
    raw::{self, kind},
};
use crate::{clusters::SOON, figure::Value};

/// Each round has a consumer and a CRD of its own: no round waits for the end of another one.
const ROUNDS: usize = 5;
/// Time without work for the konnector before its memory is looked at.
const REST: Duration = Duration::from_secs(30);
/// Time for a watch to open, and for the clusters to come to rest.
const CALM: Duration = Duration::from_secs(2);

/// Resident memory after a rest.
pub(super) async fn idle_rss(lab: &Lab) -> Result<Vec<Value>> {
    tokio::time::sleep(REST).await;
    Ok(vec![lab.konnector().rss_mb()?.into()])
}

/// From creating a bundle to the watch event of its CRD, established.
pub(super) async fn bundle_to_crd(lab: &Lab) -> Result<Vec<Value>> {
    let (mut rounds, mut bare) = (Percentiles::new(), Percentiles::new());
    for round in 0..ROUNDS {
        rounds.record(one_round(lab, &format!("round-{round}")).await?);
        bare.record(bare_crd(lab, &format!("bare-round-{round}")).await?);
    }
    Ok(vec![Value::beside(rounds.p50(), bare.p50())])
}

/// From labelling a CRD of the provider to its watch event on a consumer that has bound it, established.
pub(super) async fn export_to_crd(lab: &Lab) -> Result<Vec<Value>> {
    let (mut rounds, mut bare) = (Percentiles::new(), Percentiles::new());
    for round in 0..ROUNDS {
        let crd = kind(&format!("exported-{round}"));
        let name = crd.name_any();
        let on_provider: Api<CustomResourceDefinition> = Api::all(lab.on_provider());
        on_provider.create(&PostParams::default(), &Lab::hidden(&crd)).await.context("creating the CRD")?;
        watch_until(on_provider.clone(), &name, workload::is_established, SOON).await?;
        let mut watch = raw::until_established(Api::all(lab.on_consumer()), &name);
        tokio::time::sleep(CALM).await;
        let label = json!({"metadata": {"labels": {workload::EXPORTED: "true"}}});
        let start = Instant::now();
        on_provider
            .patch(&name, &PatchParams::default(), &Patch::Merge(&label))
            .await
            .context("labelling the CRD")?;
        rounds.record(watch.join_next().await.context("one watch was opened")??? - start);
        bare.record(bare_crd(lab, &format!("bare-exported-{round}")).await?);
    }
    Ok(vec![Value::beside(rounds.p50(), bare.p50())])
}

/// Measures the time that the consumer's API server needs for a CRD that somebody creates there.
async fn bare_crd(lab: &Lab, name: &str) -> Result<Duration> {
    let crds: Api<CustomResourceDefinition> = Api::all(lab.on_consumer());
    raw::established(&crds, &Lab::hidden(&kind(name))).await
}

async fn one_round(lab: &Lab, name: &str) -> Result<Duration> {
    let crd = kind(name);
    let crd_name = crd.name_any();
    lab.prepare(name, crd).await?;
    let mut watch = raw::until_established(Api::all(lab.on_consumer()), &crd_name);
    tokio::time::sleep(CALM).await;
    let start = Instant::now();
    lab.bind(name).await?;
    let established = watch.join_next().await.context("one watch was opened")???;
    Ok(established - start)
}
