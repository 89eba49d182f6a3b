//! Controllers that start: over objects without any status, and where nothing has changed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ListParams, PartialObjectMeta},
};
use portolan_core::{
    api::devportal::{APIProduct, KeyPhase},
    condition::ConditionStatus,
    standard_condition::find,
};
use portolan_testkit::ServiceProcess;

use super::lab::{KEYS, Lab, NAMESPACE, PRODUCTS, WAITING};
use crate::figure::Value;

const WITHIN: Duration = Duration::from_secs(240);
const TICK: Duration = Duration::from_millis(50);
/// How often in a row nothing waits before there is nothing to do.
const QUIET: u32 = 10;
/// How long nothing happens before memory counts as at rest, and how long writes are counted.
const REST: Duration = Duration::from_secs(10);

/// Seconds until everything is as it should be, the number of writes until then, and memory.
pub async fn first(lab: &Lab, created: f64) -> Result<(ServiceProcess, [Value; 3])> {
    let mark = lab.plane.audit().mark()?;
    let controller = lab.begin().await?;
    let seconds = settled(&controller, async || verdict(lab).await).await?;
    tokio::time::sleep(REST).await;
    let memory = Value::beside(controller.rss_mb()?, controller.peak_rss_mb()?);
    let writes = count(lab.plane.audit().writes_by_user(&lab.user, mark, false)?.len());
    let writes = Value::beside(writes, count(PRODUCTS + KEYS));
    Ok((controller, [Value::beside(seconds, created), writes, memory]))
}

/// Seconds until another one has looked at everything, and the number of its writes.
pub(super) async fn again(lab: &Lab, before: ServiceProcess) -> Result<(ServiceProcess, [Value; 2])> {
    before.terminate(WITHIN).await?;
    let begun = Instant::now();
    let (products, keys, all) = (lab.products(), lab.keys(), ListParams::default());
    let (products, keys) = try_join(products.list(&all), keys.list(&all)).await?;
    let listed = begun.elapsed().as_secs_f64();
    ensure!((products.items.len(), keys.items.len()) == (PRODUCTS + 1, KEYS + WAITING), "objects are gone");
    let mark = lab.plane.audit().mark()?;
    let controller = lab.begin().await?;
    let seconds = settled(&controller, async || Ok(None)).await?;
    let looked_at = sum(&controller.metrics().await?, "portolan_devportal_reconciles_total{");
    let all = count(PRODUCTS + KEYS);
    ensure!(looked_at >= all, "it has looked at {looked_at} of {all}");
    tokio::time::sleep(REST).await;
    let writes = lab.plane.audit().writes_by_user(&lab.user, mark, false)?;
    for write in writes.iter().take(3) {
        told(&write.line());
    }
    Ok((controller, [Value::beside(seconds, listed), count(writes.len()).into()]))
}

fn count(number: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let number = number as f64;
    number
}

/// A write that should not be there.
fn told(line: &str) {
    crate::output::problem(format_args!("written after a restart: {line}"));
}

/// Seconds until no key waits for a worker, and `wrong` finds nothing wrong.
async fn settled(
    controller: &ServiceProcess,
    wrong: impl AsyncFn() -> Result<Option<String>>,
) -> Result<f64> {
    let begun = Instant::now();
    controller.wait_ready(WITHIN).await?;
    let (mut quiet, mut since) = (0, begun.elapsed());
    loop {
        let waiting = sum(&controller.metrics().await?, "portolan_devportal_queue_depth_keys{");
        match quiet {
            _ if waiting > 0.0 => quiet = 0,
            0 => (quiet, since) = (1, begun.elapsed()),
            _ => quiet += 1,
        }
        if quiet >= QUIET {
            let Some(wrong) = wrong().await? else { return Ok(since.as_secs_f64()) };
            ensure!(begun.elapsed() < WITHIN, "not settled: {wrong}");
            quiet = 0;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The sum of a metric over its series.
fn sum(metrics: &str, metric: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.starts_with(metric));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// What is not as it should be.
async fn verdict(lab: &Lab) -> Result<Option<String>> {
    let all = ListParams::default();
    let ready = lab.products().list(&all).await?.items.iter().filter(|product| is_ready(product)).count();
    let keys = lab.keys().list(&all).await?.items;
    let is = |phase: KeyPhase| {
        keys.iter()
            .filter(|key| key.status.as_ref().is_some_and(|status| status.phase == Some(phase)))
            .count()
    };
    let (approved, pending) = (is(KeyPhase::Approved), is(KeyPhase::Pending));
    let secrets: Api<Secret> = Api::namespaced(lab.plane.client(), NAMESPACE);
    let secrets = secrets.list_metadata(&all).await?;
    let is_key = |secret: &&PartialObjectMeta<Secret>| {
        secret.metadata.name.as_ref().is_some_and(|name| name.ends_with("-apikey-secret"))
    };
    let secrets = secrets.items.iter().filter(is_key).count();
    let found = (ready, approved, pending, secrets);
    let expected = (PRODUCTS + 1, KEYS, WAITING, KEYS);
    let what = "products ready, keys approved, keys pending, Secrets";
    Ok((found != expected).then(|| format!("{what}: {found:?}, expected {expected:?}")))
}

fn is_ready(product: &APIProduct) -> bool {
    let status = product.status.as_ref();
    let ready = status.and_then(|status| find(&status.conditions, "Ready"));
    ready.is_some_and(|ready| ready.status == ConditionStatus::True)
        && status.is_some_and(|status| !status.discovered_plans.is_empty())
}
