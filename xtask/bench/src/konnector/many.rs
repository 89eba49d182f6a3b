//! Ten exports with a thousand objects each: the memory to hold them, and the time to find them again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use portolan_core::names;
use portolan_testkit::{eventually::eventually, load, workload};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    lab::Lab,
    raw::{self, kind, kind_of, of},
};
use crate::{clusters, figure::Value, watching::Watching};

const EXPORTS: usize = 10;
const OBJECTS: usize = 1000;
const CONCURRENCY: usize = 20;
const CONSUMER: &str = "many";
/// Limit for 10,000 objects to be there.
const FILLED: Duration = Duration::from_secs(300);
/// Time without work for the konnector before its memory is looked at.
const REST: Duration = Duration::from_secs(15);
/// Time that the API server holds creates of a new kind up; longer than documented.
const YOUNG: Duration = Duration::from_millis(2_500);
/// Names of the objects begin with it.
const PREFIX: &str = "object-";

/// Memory in MB, seconds from the start of a konnector until it has found everything again, and what it wrote then
/// beyond what had changed.
pub(super) async fn ten_exports(lab: &Lab) -> Result<Vec<Value>> {
    let resources = bind(lab).await?;
    fill(lab, &resources).await?;
    tokio::time::sleep(REST).await;
    let memory = lab.konnector().rss_mb()?;
    lab.kill_konnector().await?;
    let listed = listed(lab, &resources).await?;
    let before = lab.marks().await?;
    let seconds = restart(lab, &resources).await?;
    tokio::time::sleep(REST).await;
    let writes = lab.writes_since(before)?;
    let changes = EXPORTS * changed().len();
    ensure!(writes >= changes, "the changes that were made cost a write each, and there were {writes}");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let writes = (writes - changes) as f64;
    Ok(vec![memory.into(), Value::beside(seconds, listed), writes.into()])
}

/// Ten kinds for one consumer, bound by one bundle.
async fn bind(lab: &Lab) -> Result<Vec<ApiResource>> {
    let (mut resources, mut kubeconfig) = (Vec::new(), String::new());
    for number in 0..EXPORTS {
        let group = format!("{CONSUMER}-{number}");
        kubeconfig = lab.offer(CONSUMER, kind(&group)).await?;
        resources.push(kind_of(&group));
    }
    clusters::create_secret(&lab.on_consumer(), CONSUMER, &kubeconfig).await?;
    lab.bind(CONSUMER).await?;
    clusters::bundle_ready(&lab.on_consumer(), CONSUMER).await?;
    tokio::time::sleep(YOUNG).await;
    Ok(resources)
}

async fn fill(lab: &Lab, resources: &[ApiResource]) -> Result<()> {
    for resource in resources {
        let make = |number| of(resource, workload::cowboy_sized("default", &name(number)));
        load::objects(&lab.on_consumer(), resource, Some("default"), make, OBJECTS, CONCURRENCY).await?;
    }
    for resource in resources {
        let (copies, all) = (copies(lab, resource)?, ListParams::default());
        eventually("all objects have copies", FILLED, async || {
            let there = copies.list_metadata(&all).await?.items.len();
            Ok::<_, kube::Error>((there >= OBJECTS).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// While the konnector was away, some statuses of each kind have changed: they are found only by looking through both
/// sides. It is done when these are on the consumer, every object is known again, and none waits for its turn.
async fn restart(lab: &Lab, resources: &[ApiResource]) -> Result<f64> {
    let (mut waiting, change) = (JoinSet::new(), json!({"status": {"result": "while you were away"}}));
    for resource in resources {
        raw::statuses(&copies(lab, resource)?, &changed(), &change, CONCURRENCY).await?;
        let mut origins = Watching::open(origins(lab, resource)).await?;
        waiting.spawn(async move {
            let is_there = |origin: &DynamicObject| origin.data["status"]["result"] == "while you were away";
            origins.until_all_with(PREFIX, changed().len(), is_there).await
        });
    }
    let start = Instant::now();
    lab.start_konnector().await?;
    while let Some(found) = tokio::time::timeout(FILLED, waiting.join_next()).await? {
        found??;
    }
    eventually("every object is known and none waits", FILLED, async || {
        let metrics = lab.konnector().metrics().await?;
        let known = sum(&metrics, "portolan_konnector_bound_objects{", CONSUMER);
        let waiting = sum(&metrics, "portolan_konnector_queue_depth_keys{", "sync");
        #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
        let all = (EXPORTS * OBJECTS) as f64;
        ensure!(known >= all && waiting < 1.0, "{known} of {all} are known, {waiting} wait");
        Ok(Some(()))
    })
    .await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds that a client needs to list all objects on both sides.
async fn listed(lab: &Lab, resources: &[ApiResource]) -> Result<f64> {
    let (start, mut listing) = (Instant::now(), JoinSet::new());
    for resource in resources {
        for api in [origins(lab, resource), copies(lab, resource)?] {
            listing.spawn(async move { api.list(&ListParams::default()).await.map(|list| list.items.len()) });
        }
    }
    while let Some(listed) = listing.join_next().await {
        ensure!(listed?? >= OBJECTS, "not all objects are there");
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The objects of each kind that have changed: every hundredth.
fn changed() -> Vec<String> {
    (0..OBJECTS).step_by(100).map(name).collect()
}

fn name(number: usize) -> String {
    format!("{PREFIX}{number:04}")
}

/// The sum of a metric over the series with a label that has this text.
fn sum(metrics: &str, metric: &str, label: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.starts_with(metric) && line.contains(label));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn origins(lab: &Lab, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(lab.on_consumer(), "default", resource)
}

fn copies(lab: &Lab, resource: &ApiResource) -> Result<Api<DynamicObject>> {
    let namespace = names::mapped_namespace(&names::contract_namespace(CONSUMER)?, "default", false);
    Ok(Api::namespaced_with(lab.on_provider(), &namespace, resource))
}
