//! A thousand objects at once, and what they cost the API servers.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{lab::Lab, raw, sync};
use crate::{figure::Value, watching::Watching};

const OBJECTS: usize = 1000;
const CONCURRENCY: usize = 20;
/// Names of the objects begin with it.
const PREFIX: &str = "bulk-";
/// Time in which nobody does anything.
const REST: Duration = Duration::from_secs(60);

/// Seconds until 1,000 new objects have copies, seconds until 1,000 statuses have come back, and writes of ours
/// for each new object and at rest.
pub(super) async fn thousand(lab: &Lab) -> Result<Vec<Value>> {
    let bare_created = timed(sync::create(lab.on_provider(), true, PREFIX, OBJECTS, CONCURRENCY)).await?;
    let before = lab.marks().await?;
    let created = timed(create(lab)).await?;
    lab.marks().await?;
    let writes = lab.writes_since(before)?;
    let bare_written = timed(bare_statuses(lab)).await?;
    let written = timed(statuses(lab)).await?;
    let resting = lab.marks().await?;
    tokio::time::sleep(REST).await;
    let at_rest = lab.writes_since(resting)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let (writes, at_rest) = (writes as f64 / OBJECTS as f64, at_rest as f64);
    let times = [Value::beside(created, bare_created), Value::beside(written, bare_written)];
    Ok(times.into_iter().chain([writes.into(), at_rest.into()]).collect())
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<f64> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed().as_secs_f64())
}

async fn create(lab: &Lab) -> Result<()> {
    let mut copies = Watching::open(lab.copies()?).await?;
    sync::create(lab.on_consumer(), false, PREFIX, OBJECTS, CONCURRENCY).await?;
    copies.until_all(PREFIX, OBJECTS).await
}

async fn statuses(lab: &Lab) -> Result<()> {
    let (mut origins, change) =
        (Watching::open(lab.origins()).await?, json!({"status": {"result": "ridden"}}));
    raw::statuses(&lab.copies()?, &names(), &change, CONCURRENCY).await?;
    origins.until_all_with(PREFIX, OBJECTS, |origin| origin.data["status"]["result"] == "ridden").await
}

async fn bare_statuses(lab: &Lab) -> Result<()> {
    let change = json!({"status": {"result": "ridden"}});
    raw::statuses(&Lab::bare(lab.on_provider()), &names(), &change, CONCURRENCY).await
}

fn names() -> Vec<String> {
    (0..OBJECTS).map(|number| format!("{PREFIX}{number:04}")).collect()
}
