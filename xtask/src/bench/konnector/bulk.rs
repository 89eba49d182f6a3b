//! A thousand objects at once, and what they cost the API servers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use portolan_testkit::{load, workload};
use serde_json::json;
use tokio::task::JoinSet;

use super::lab::Lab;
use crate::bench::watching::Watching;

const OBJECTS: usize = 1000;
const CONCURRENCY: usize = 20;
/// Names of the objects begin with it.
const PREFIX: &str = "bulk-";
/// How long nobody does anything.
const REST: Duration = Duration::from_secs(60);

/// Seconds until 1,000 new objects have copies, seconds until 1,000 statuses have come back, and writes of ours
/// for each new object and at rest.
pub(super) async fn thousand(lab: &Lab) -> Result<Vec<f64>> {
    let before = lab.marks().await?;
    let created = create(lab).await?;
    lab.marks().await?;
    let writes = lab.writes_since(before)?;
    let statuses = statuses(lab).await?;
    let resting = lab.marks().await?;
    tokio::time::sleep(REST).await;
    let at_rest = lab.writes_since(resting)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let (writes, at_rest) = (writes as f64 / OBJECTS as f64, at_rest as f64);
    Ok(vec![created, statuses, writes, at_rest])
}

async fn create(lab: &Lab) -> Result<f64> {
    let mut copies = Watching::open(lab.copies()?).await?;
    let make = |number| workload::cowboy_sized("default", &format!("{PREFIX}{number:04}"));
    let start = Instant::now();
    let (client, cowboys) = (lab.on_consumer(), workload::cowboys());
    load::objects(&client, &cowboys, Some("default"), make, OBJECTS, CONCURRENCY).await?;
    copies.until_all(PREFIX, OBJECTS).await?;
    Ok(start.elapsed().as_secs_f64())
}

async fn statuses(lab: &Lab) -> Result<f64> {
    let mut origins = Watching::open(lab.origins()).await?;
    let start = Instant::now();
    let mut writing = JoinSet::new();
    for writer in 0..CONCURRENCY {
        let copies = lab.copies()?;
        writing.spawn(async move {
            for number in (writer..OBJECTS).step_by(CONCURRENCY) {
                let change = Patch::Merge(json!({"status": {"result": "ridden"}}));
                let name = format!("{PREFIX}{number:04}");
                let written = copies.patch_status(&name, &PatchParams::default(), &change).await;
                written.context("writing a status")?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    origins.until_all_with(PREFIX, OBJECTS, |origin| origin.data["status"]["result"] == "ridden").await?;
    Ok(start.elapsed().as_secs_f64())
}
