//! Speed of objects that follow, beside that of an API server alone.

use std::time::Instant;

use anyhow::Result;
use kube::{Api, Client, api::DynamicObject};
use portolan_testkit::{Percentiles, load, workload};
use serde_json::{Value as Json, json};

use super::{
    lab::{FIRST, Lab},
    raw,
};
use crate::{figure::Value, watching::Watching};

/// Changes that are made one after the other; the first ones open connections.
const CHANGES: usize = 200;
const UNCOUNTED: usize = 10;
/// Objects that are created at once.
const OBJECTS: usize = 200;
const CONCURRENCY: usize = 20;
const ROUNDS: usize = 3;

/// From sending a change on the consumer to the event of its copy on the provider.
pub(super) async fn spec(lab: &Lab) -> Result<Vec<Value>> {
    let change = |text: &str| json!({"spec": {"intent": text}});
    follow(&lab.origins(), lab.copies()?, Lab::bare(lab.on_provider()), change).await
}

/// From sending a status on the provider to the event of its origin on the consumer.
pub(super) async fn status(lab: &Lab) -> Result<Vec<Value>> {
    let change = |text: &str| json!({"status": {"result": text}});
    follow(&lab.copies()?, lab.origins(), Lab::bare(lab.on_consumer()), change).await
}

/// The median and the 99th percentile from a change of `from` to the event of `to`, beside those from a change of
/// `bare` to its own event. One of each in turns.
async fn follow(
    from: &Api<DynamicObject>,
    to: Api<DynamicObject>,
    bare: Api<DynamicObject>,
    change: impl Fn(&str) -> Json,
) -> Result<Vec<Value>> {
    let (mut there, mut itself) = (Watching::open(to).await?, Watching::open(bare.clone()).await?);
    let (mut synced, mut alone) = (Percentiles::new(), Percentiles::new());
    for round in 0..UNCOUNTED + CHANGES {
        let change = change(&format!("round {round}"));
        let is_seen = |object: &DynamicObject| {
            change.as_object().into_iter().flatten().all(|(part, fields)| object.data[part] == *fields)
        };
        let ours = raw::changed(from, FIRST, &change, &mut there, is_seen).await?;
        let bare = raw::changed(&bare, FIRST, &change, &mut itself, is_seen).await?;
        if round >= UNCOUNTED {
            synced.record(ours);
            alone.record(bare);
        }
    }
    Ok(vec![Value::beside(synced.p50(), alone.p50()), Value::beside(synced.p99(), alone.p99())])
}

/// Seconds until 200 objects have copies, beside those to create as many on the provider.
pub(super) async fn create_200(lab: &Lab) -> Result<Vec<Value>> {
    let (mut synced, mut bare) = (Percentiles::new(), Percentiles::new());
    for round in 0..ROUNDS {
        let prefix = format!("round-{round}-");
        let mut copies = Watching::open(lab.copies()?).await?;
        let start = Instant::now();
        create(lab.on_consumer(), false, &prefix, OBJECTS, CONCURRENCY).await?;
        copies.until_all(&prefix, OBJECTS).await?;
        synced.record(start.elapsed());
        let start = Instant::now();
        create(lab.on_provider(), true, &prefix, OBJECTS, CONCURRENCY).await?;
        bare.record(start.elapsed());
    }
    Ok(vec![Value::beside(synced.p50() / 1000.0, bare.p50() / 1000.0)])
}

/// Creates many objects in `default`, of the bound kind or of the bare one.
pub(super) async fn create(
    cluster: Client,
    bare: bool,
    prefix: &str,
    count: usize,
    concurrency: usize,
) -> Result<()> {
    let resource = if bare { Lab::bare_kind() } else { workload::cowboys() };
    let make =
        |number| raw::of(&resource, workload::cowboy_sized("default", &format!("{prefix}{number:04}")));
    load::objects(&cluster, &resource, Some("default"), make, count, concurrency).await?;
    Ok(())
}
