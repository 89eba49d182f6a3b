//! How fast objects follow.

use std::time::Instant;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_testkit::{Percentiles, load, workload};
use serde_json::json;

use super::lab::{FIRST, Lab};
use crate::bench::watching::Watching;

/// Changes that are made one after the other; the first ones open connections.
const CHANGES: usize = 200;
const UNCOUNTED: usize = 10;
/// Objects that are created at once.
const OBJECTS: usize = 200;
const CONCURRENCY: usize = 20;
const ROUNDS: usize = 3;

/// From sending a change on the consumer to the event of its copy on the provider.
pub(super) async fn spec(lab: &Lab) -> Result<Vec<f64>> {
    let (origins, mut copies) = (lab.origins(), Watching::open(lab.copies()?).await?);
    let mut latencies = Percentiles::new();
    for round in 0..UNCOUNTED + CHANGES {
        let intent = format!("ride to {round}");
        let change = json!({"spec": {"intent": intent}});
        let start = Instant::now();
        let changed = origins.patch(FIRST, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.context("changing the object")?;
        copies.until(|copy| copy.data["spec"]["intent"] == intent.as_str()).await?;
        if round >= UNCOUNTED {
            latencies.record(start.elapsed());
        }
    }
    Ok(vec![latencies.p50(), latencies.p99()])
}

/// From sending a status on the provider to the event of its origin on the consumer.
pub(super) async fn status(lab: &Lab) -> Result<Vec<f64>> {
    let (copies, mut origins) = (lab.copies()?, Watching::open(lab.origins()).await?);
    let mut latencies = Percentiles::new();
    for round in 0..UNCOUNTED + CHANGES {
        let result = format!("ridden to {round}");
        let change = json!({"status": {"result": result}});
        let start = Instant::now();
        let changed = copies.patch_status(FIRST, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.context("changing the status")?;
        origins.until(|origin| origin.data["status"]["result"] == result.as_str()).await?;
        if round >= UNCOUNTED {
            latencies.record(start.elapsed());
        }
    }
    Ok(vec![latencies.p50(), latencies.p99()])
}

pub(super) async fn create_200(lab: &Lab) -> Result<Vec<f64>> {
    let (mut synced, mut bare) = (Percentiles::new(), Percentiles::new());
    let namespace = ObjectMeta { name: Some("bare".to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata: namespace, ..Namespace::default() };
    Api::all(lab.on_provider()).create(&PostParams::default(), &namespace).await.context("creating bare")?;
    let cowboys = workload::cowboys();
    for round in 0..ROUNDS {
        let prefix = format!("round-{round}-");
        let make = |namespace: &'static str| {
            let prefix = prefix.clone();
            move |number| workload::cowboy_sized(namespace, &format!("{prefix}{number:04}"))
        };
        let mut copies = Watching::open(lab.copies()?).await?;
        let start = Instant::now();
        load::objects(&lab.on_consumer(), &cowboys, Some("default"), make("default"), OBJECTS, CONCURRENCY)
            .await?;
        copies.until_all(&prefix, OBJECTS).await?;
        synced.record(start.elapsed());
        let start = Instant::now();
        load::objects(&lab.on_provider(), &cowboys, Some("bare"), make("bare"), OBJECTS, CONCURRENCY).await?;
        bare.record(start.elapsed());
    }
    Ok(vec![synced.p50() / 1000.0, bare.p50() / 1000.0])
}
