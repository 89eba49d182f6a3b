//! A list of 100 MB: how much of it is in memory at a time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::{Request, StatusCode};
use portolan_testkit::load;

use super::lab::{Lab, name, text};
use crate::figure::Value;

const OBJECTS: usize = 100;
const SIZE: usize = 1_000_000;
const NAMESPACE: &str = "large";
/// How long nothing happens before memory counts as at rest.
const REST: Duration = Duration::from_secs(5);
/// Makes the kernel forget the most that was resident.
const FORGET_PEAK: &str = "5";

/// Megabytes at the peak above those at rest, and seconds.
pub(super) async fn list(lab: &Lab) -> Result<Vec<Value>> {
    lab.fill(NAMESPACE, OBJECTS, SIZE).await?;
    let gateway = lab.gateway(&[("a", &lab.document)]).await?;
    let small =
        format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\",limit:1){{items{{metadata{{name}}}}}}}}}}");
    let answer = lab.ask(&gateway, "a", &small).await?;
    ensure!(answer.text.contains(&name(0)), "another answer: {}", answer.text);
    let direct = directly(lab).await?;
    tokio::time::sleep(REST).await;
    let at_rest = gateway.process.rss_mb()?;
    let clear = format!("/proc/{}/clear_refs", gateway.process.pid());
    std::fs::write(&clear, FORGET_PEAK).with_context(|| clear.clone())?;
    let items: Vec<_> = (0..OBJECTS).map(item).collect();
    let expected = format!(r#"{{"data":{{"v1":{{"ConfigMaps":{{"items":[{}]}}}}}}}}"#, items.join(","));
    #[expect(clippy::cast_precision_loss, reason = "100 MB")]
    let size = expected.len() as f64 / 1024.0 / 1024.0;
    let query = format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\"){{items{{metadata{{name}} data}}}}}}}}");
    let request = lab.request(&gateway, "a", &query);
    let is_right = move |_, body: &[u8]| body == expected.as_bytes();
    let report = load::http_checked(move |_| request.clone(), is_right, 1, 1).await?;
    let wrong = (&report.statuses, report.wrong, &report.failure);
    ensure!(report.all(StatusCode::OK), "another answer than the list: {wrong:?}");
    let peak = gateway.process.peak_rss_mb()?;
    Ok(vec![Value::beside(peak - at_rest, size), Value::beside(report.elapsed.as_secs_f64(), direct)])
}

fn item(number: usize) -> String {
    format!(r#"{{"metadata":{{"name":"{}"}},"data":{{"text":"{}"}}}}"#, name(number), text(number, SIZE))
}

async fn directly(lab: &Lab) -> Result<f64> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let request = Request::get(&path).body(Vec::new())?;
    let client = lab.direct().await?;
    let begun = Instant::now();
    let answer = client.request_text(request).await?;
    ensure!(answer.len() > OBJECTS * SIZE, "{path} has {} bytes only", answer.len());
    Ok(begun.elapsed().as_secs_f64())
}
