//! Ten exports with a thousand objects each: the memory to hold them, and the time to find them again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use portolan_core::names;
use portolan_testkit::{eventually::eventually, load, workload};
use serde_json::json;
use tokio::task::JoinSet;

use super::{bind::kind, lab::Lab};
use crate::{
    bench::watching::Watching,
    clusters::{self, SOON},
};

const EXPORTS: usize = 10;
const OBJECTS: usize = 1000;
const CONCURRENCY: usize = 20;
const CONSUMER: &str = "many";
/// How long 10,000 objects may take to be there.
const FILLED: Duration = Duration::from_secs(300);
/// How long the konnector has nothing to do before its memory is looked at.
const REST: Duration = Duration::from_secs(15);
/// How long the API server holds creates of a new kind up; longer than it says.
const YOUNG: Duration = Duration::from_millis(2_500);
/// The one object of each kind that has changed while the konnector was away.
const CHANGED: &str = "object-0000";

/// Memory in MB, seconds from the start of a konnector until it has found everything again, and what it wrote then
/// beyond what had changed.
pub(super) async fn ten_exports(lab: &Lab) -> Result<Vec<f64>> {
    let resources = bind(lab).await?;
    fill(lab, &resources).await?;
    tokio::time::sleep(REST).await;
    let memory = lab.konnector().rss_mb()?;
    lab.kill_konnector().await?;
    let before = lab.marks().await?;
    let seconds = restart(lab, &resources).await?;
    tokio::time::sleep(REST).await;
    let writes = lab.writes_since(before)?;
    ensure!(writes >= EXPORTS, "the changes that were made cost a write each");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let writes = (writes - EXPORTS) as f64;
    Ok(vec![memory, seconds, writes])
}

/// Ten kinds for one consumer, bound by one bundle.
async fn bind(lab: &Lab) -> Result<Vec<ApiResource>> {
    let (mut resources, mut kubeconfig) = (Vec::new(), String::new());
    for number in 0..EXPORTS {
        let group = format!("{CONSUMER}-{number}");
        kubeconfig = lab.offer(CONSUMER, kind(&group)).await?;
        let group = format!("{group}.dev");
        resources.push(ApiResource {
            api_version: format!("{group}/v1alpha1"),
            group,
            ..workload::cowboys()
        });
    }
    clusters::create_secret(&lab.on_consumer(), CONSUMER, &kubeconfig).await?;
    lab.bind(CONSUMER).await?;
    clusters::bundle_ready(&lab.on_consumer(), CONSUMER).await?;
    tokio::time::sleep(YOUNG).await;
    Ok(resources)
}

async fn fill(lab: &Lab, resources: &[ApiResource]) -> Result<()> {
    for resource in resources {
        let make = |number| {
            let mut object = workload::cowboy_sized("default", &format!("object-{number:04}"));
            object.types = Some(kube::api::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            object
        };
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

/// While the konnector was away, one status of each kind has changed: it is found only by looking through both sides.
async fn restart(lab: &Lab, resources: &[ApiResource]) -> Result<f64> {
    let mut waiting = JoinSet::new();
    for resource in resources {
        let change = Patch::Merge(json!({"status": {"result": "while you were away"}}));
        let changed = copies(lab, resource)?.patch_status(CHANGED, &PatchParams::default(), &change).await;
        changed.context("writing a status")?;
        let origins: Api<DynamicObject> = Api::namespaced_with(lab.on_consumer(), "default", resource);
        let mut origins = Watching::open(origins).await?;
        waiting.spawn(async move {
            origins.until(|origin| origin.data["status"]["result"] == "while you were away").await
        });
    }
    let start = Instant::now();
    lab.start_konnector().await?;
    while let Some(found) = tokio::time::timeout(SOON, waiting.join_next()).await? {
        found??;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn copies(lab: &Lab, resource: &ApiResource) -> Result<Api<DynamicObject>> {
    let namespace = names::mapped_namespace(&names::contract_namespace(CONSUMER)?, "default", false);
    Ok(Api::namespaced_with(lab.on_provider(), &namespace, resource))
}
