//! Reads from memory beside the same ones through, what memory takes, and whether it is ever wrong.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use portolan_testkit::{checker, eventually, workdir::Workdir};
use serde_json::json;

use super::{
    lab::{Gateway, Lab, WITHIN},
    median,
    reads::{CONNECTIONS, NAMESPACE, OBJECTS, READS, ROUNDS, SIZE, asked, each},
};
use crate::figure::Value;

/// Objects of the figure of what memory takes.
const MANY: usize = 20_000;
/// Room for all of them.
const BYTES: u64 = 256 * 1024 * 1024;

/// A gateway whose own credential is that of the caller.
async fn remembering(lab: &Lab) -> Result<(Gateway, Workdir)> {
    let credentials = Workdir::new("gateway-bench-credentials")?;
    std::fs::write(credentials.path().join("a"), &lab.token)?;
    let flags = [
        format!("--memory-credentials={}", credentials.path().display()),
        format!("--memory-bytes={BYTES}"),
        "--request-timeout=5s".to_owned(),
    ];
    let gateway = lab.gateway_with(&[("a", &lab.document)], &flags).await?;
    Ok((gateway, credentials))
}

/// Asks until the ConfigMaps are in memory.
async fn warmed(lab: &Lab, gateway: &Gateway) -> Result<()> {
    let query = format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\",limit:1){{items{{kind}}}}}}}}");
    eventually("reads are answered from memory", WITHIN, async || {
        let answer = lab.ask(gateway, "a", &query).await?.json();
        ensure!(answer["extensions"]["source"] == "memory", "{answer}");
        Ok(Some(()))
    })
    .await
}

/// Microseconds for each read from memory, in turns with the same ones through.
pub(super) async fn reads(lab: &Lab) -> Result<Vec<Value>> {
    lab.filled(NAMESPACE, OBJECTS, SIZE).await?;
    let (gateway, _credentials) = remembering(lab).await?;
    warmed(lab, &gateway).await?;
    let mut values = Vec::new();
    for read in &READS {
        let (mut remembered, mut through) = (Vec::new(), Vec::new());
        for source in ["memory", "cluster"] {
            asked(lab, &gateway, read, (CONNECTIONS * 4, Some(source))).await?;
        }
        for _ in 0..ROUNDS {
            for (source, all) in [("memory", &mut remembered), ("cluster", &mut through)] {
                let before = gateway.process.cpu_seconds()?;
                asked(lab, &gateway, read, (read.count, Some(source))).await?;
                all.push(each(gateway.process.cpu_seconds()? - before, read.count));
            }
        }
        values.push(Value::beside(median(remembered), median(through)));
    }
    Ok(values)
}

/// What memory takes over the JSON that it keeps. The first objects fill what the process had to spare, the next ones
/// count.
pub(super) async fn overhead(lab: &Lab) -> Result<Vec<Value>> {
    let (gateway, _credentials) = remembering(lab).await?;
    warmed(lab, &gateway).await?;
    fill_many(lab, &gateway, "many").await?;
    let (before, weight) = (resident(&gateway)?, json_bytes(lab).await?);
    fill_many(lab, &gateway, "more").await?;
    let grown = json_bytes(lab).await? - weight;
    Ok(vec![((resident(&gateway)? - before) / grown).into()])
}

/// Makes many objects, and waits until memory has the last one.
async fn fill_many(lab: &Lab, gateway: &Gateway, namespace: &str) -> Result<()> {
    lab.fill(namespace, MANY, SIZE).await?;
    let last = super::lab::name(MANY - 1);
    let query = format!("{{v1{{ConfigMap(namespace:\"{namespace}\",name:\"{last}\"){{kind}}}}}}");
    eventually("memory has the last object", WITHIN, async || {
        let answer = lab.ask(gateway, "a", &query).await?.json();
        ensure!(answer["extensions"]["source"] == "memory", "{answer}");
        Ok(Some(()))
    })
    .await
}

fn resident(gateway: &Gateway) -> Result<f64> {
    Ok(gateway.process.rss_mb()? * 1024.0 * 1024.0)
}

/// Bytes of all ConfigMaps as JSON without their managed fields.
async fn json_bytes(lab: &Lab) -> Result<f64> {
    let api: Api<ConfigMap> = Api::all(lab.plane.client());
    let mut bytes = 0;
    for mut object in api.list(&ListParams::default()).await?.items {
        object.metadata.managed_fields = None;
        let mut json = json!(object);
        json["kind"] = json!("ConfigMap");
        json["apiVersion"] = json!("v1");
        bytes += json.to_string().len();
    }
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let bytes = bytes as f64;
    Ok(bytes)
}

/// Wrong answers while everything changes, beside all answers from memory.
pub(super) async fn wrong(lab: &Lab) -> Result<Vec<Value>> {
    let (gateway, _credentials) = remembering(lab).await?;
    let checked = checker::check(&lab.plane, (gateway.port, "a")).await?;
    ensure!(checked.from_memory > 0, "nothing was answered from memory");
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let (wrong, all) = (checked.wrong.len() as f64, checked.from_memory as f64);
    Ok(vec![Value::beside(wrong, all)])
}
