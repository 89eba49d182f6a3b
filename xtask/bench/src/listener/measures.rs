//! What is measured of the listener.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{ResourceExt as _, api::PostParams};
use portolan_core::schema_document::PartReference;
use portolan_testkit::{real_crds, relay::Relay, watch_until, workload};
use serde_json::json;

use super::{
    Value,
    lab::{Gateway, LABEL, Lab},
};

const WITHIN: Duration = Duration::from_secs(60);
/// How long nothing happens before memory counts as at rest.
const REST: Duration = Duration::from_secs(12);
const CLUSTERS: usize = 50;
/// Every group of a stock cluster whose kinds people use.
const STOCK: [&str; 6] =
    ["", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io"];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}

/// A small CRD of a group of its own.
fn crd(number: usize) -> CustomResourceDefinition {
    let mut crd = workload::wildwest();
    crd.spec.group = format!("g{number}.example");
    crd.metadata.name = Some(format!("{}.{}", crd.spec.names.plural, crd.spec.group));
    crd
}

/// What its schema has in it, and no other one.
fn mark(crd: &CustomResourceDefinition) -> String {
    format!("\"group\":\"{}\"", crd.spec.group)
}

pub(super) async fn one(lab: &Lab) -> Result<Vec<Value>> {
    let kubeconfig = lab.plane.kubeconfig();
    let (mut documents, mut cold) = (Vec::new(), 0.0);
    for number in 0..6 {
        let name = format!("cluster-{number}");
        let begun = Instant::now();
        lab.access(&name, &kubeconfig, None).await?;
        lab.document_with(&name, "definitions").await?;
        match number {
            0 => cold = milliseconds(begun),
            _ => documents.push(milliseconds(begun)),
        }
    }
    // One cluster is left, so that its refresh is measured and not that of six.
    for number in 1..6 {
        lab.remove(&format!("cluster-{number}")).await?;
    }
    let name = "cluster-0";
    let mut gateway = lab.gateway().await?;
    let (parts, _) = gateway.document(|_, _| true).await?;
    let mut known: BTreeMap<_, _> = parts.into_iter().map(|part| (part.sha256, part.group_version)).collect();

    let (mut shown, mut established, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let (mut new_bytes, mut all_bytes) = (0, 0);
    for number in 0..5 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        let (crd, before) = (crd(number), lab.listener.cpu_seconds()?);
        let begun = Instant::now();
        lab.crds().create(&PostParams::default(), &crd).await?;
        let is_there = async {
            watch_until(lab.crds(), &crd.name_any(), workload::is_established, WITHIN).await?;
            anyhow::Ok(milliseconds(begun))
        };
        let in_document = async {
            lab.document_with(name, &mark(&crd)).await?;
            anyhow::Ok(milliseconds(begun))
        };
        let (there, document) = tokio::try_join!(is_there, in_document)?;
        established.push(there);
        shown.push(document);
        let (parts, length) = gateway.document(|_, parts| has_group(parts, &crd.spec.group)).await?;
        (new_bytes, all_bytes) = (length, length);
        for part in parts {
            let size = gateway.part(&part.sha256).await?;
            all_bytes += size;
            if known.insert(part.sha256, part.group_version).is_none() {
                new_bytes += size;
            }
        }
        tokio::time::sleep(Duration::from_secs(6)).await;
        cpu.push((lab.listener.cpu_seconds()? - before) * 1_000.0);
    }

    Ok(vec![
        Value::beside(median(documents), cold),
        Value::beside(median(shown), median(established)),
        median(cpu).into(),
        lag(lab, &mut gateway, name).await?.into(),
        Value::beside(bytes(new_bytes), bytes(all_bytes)),
    ])
}

fn has_group(parts: &[PartReference], group: &str) -> bool {
    parts.iter().any(|part| part.group_version.split('/').next() == Some(group))
}

/// How long a changed label takes to a gateway.
async fn lag(lab: &Lab, gateway: &mut Gateway, name: &str) -> Result<f64> {
    let mut lags = Vec::new();
    for number in 0..10 {
        let value = number.to_string();
        lab.label(name, &value).await?;
        let begun = Instant::now();
        gateway.document(|metadata, _| metadata.labels.get(LABEL) == Some(&value)).await?;
        lags.push(milliseconds(begun));
    }
    Ok(median(lags))
}

fn bytes(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) async fn fifty(lab: &Lab) -> Result<Vec<Value>> {
    let url = lab.plane.server_url();
    let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a URL with a port")?;
    for number in 0..CLUSTERS {
        lab.crds().create(&PostParams::default(), &crd(number)).await?;
    }
    let mut relays = Vec::new();
    for number in 0..CLUSTERS {
        let relay = Relay::start(port).await?;
        let kubeconfig = relay.in_front_of(&url, &lab.plane.kubeconfig());
        let own = format!("g{number}.example");
        let groups: Vec<_> =
            STOCK.iter().copied().chain([own.as_str()]).map(|group| json!({"group": group})).collect();
        lab.access(&format!("cluster-{number}"), &kubeconfig, Some(json!({"include": groups}))).await?;
        relays.push(relay);
    }
    for number in 0..CLUSTERS {
        lab.document_with(&format!("cluster-{number}"), &mark(&crd(number))).await?;
    }
    tokio::time::sleep(REST).await;
    Ok(vec![Value::beside(lab.listener.rss_mb()?, lab.listener.peak_rss_mb()?)])
}

pub(super) async fn real(lab: &Lab) -> Result<Vec<Value>> {
    let all = real_crds::all();
    for crd in &all {
        lab.crds().create(&PostParams::default(), crd).await?;
    }
    for crd in &all {
        watch_until(lab.crds(), &crd.name_any(), workload::is_established, WITHIN).await?;
    }
    lab.access("real", &lab.plane.kubeconfig(), None).await?;
    for crd in &all {
        lab.document_with("real", &format!("\"kind\":\"{}\"", crd.spec.names.kind)).await?;
    }
    tokio::time::sleep(REST).await;
    Ok(vec![lab.listener.rss_mb()?.into(), lab.listener.peak_rss_mb()?.into()])
}
