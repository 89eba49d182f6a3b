//! How soon a document is served, and what documents take.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{lab::Lab, median};
use crate::figure::Value;

const STARTS: usize = 5;
const CLUSTERS: usize = 50;
/// How long nothing happens before memory counts as at rest.
const REST: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(2);
const INTRODUCTION: Duration = Duration::from_millis(80);
const WITHIN: Duration = Duration::from_secs(30);
const TYPENAME: &str = "{__typename}";

/// Milliseconds from a document to its endpoint, and memory then.
pub(super) async fn one(lab: &Lab) -> Result<Vec<Value>> {
    let mut started = Vec::new();
    for _ in 0..STARTS {
        // Types are shared by content: only the first document of a gateway is new.
        let gateway = lab.gateway(&[]).await?;
        gateway.write("a", &lab.document)?;
        let begun = Instant::now();
        loop {
            let answer = lab.ask(&gateway, "a", TYPENAME).await?;
            if answer.status == 200 {
                ensure!(answer.json()["data"]["__typename"] == "Query", "another answer: {}", answer.text);
                break;
            }
            ensure!(answer.status == 401 && begun.elapsed() < WITHIN, "no endpoint: {}", answer.text);
            tokio::time::sleep(TICK).await;
        }
        started.push((begun.elapsed().as_secs_f64() * 1_000.0, gateway));
    }
    tokio::time::sleep(REST).await;
    let memory: Vec<_> =
        started.iter().map(|(_, gateway)| gateway.process.rss_mb()).collect::<Result<_>>()?;
    let peak = started.iter().map(|(_, gateway)| gateway.process.peak_rss_mb()).collect::<Result<_>>()?;
    let times = started.iter().map(|(time, _)| *time).collect();
    Ok(vec![median(times).into(), Value::beside(median(memory), median(peak))])
}

/// Memory with many clusters that differ in one CRD.
pub(super) async fn fifty(lab: &Lab) -> Result<Vec<Value>> {
    let documents: Vec<_> = (0..CLUSTERS)
        .map(|number| {
            let own = lab.document.replace("wildwest", &format!("wildwest{number}"));
            (format!("cluster-{number}"), own)
        })
        .collect();
    ensure!(documents[0].1 != lab.document, "the documents are all the same");
    let documents: Vec<_> =
        documents.iter().map(|(name, document)| (name.as_str(), document.as_str())).collect();
    let gateway = lab.gateway(&documents).await?;
    for (number, (name, _)) in documents.iter().enumerate() {
        let query = format!("{{__type(name:\"Wildwest{number}DevV1alpha1Cowboy\"){{name}}}}");
        let answer = lab.ask(&gateway, name, &query).await?;
        let is_there = answer.json()["data"]["__type"]["name"].is_string();
        ensure!(is_there, "{name} does not serve its own kind: {}", answer.text);
        // A token that is new to a cluster counts, and only some a second may come from one address.
        tokio::time::sleep(INTRODUCTION).await;
    }
    tokio::time::sleep(REST).await;
    Ok(vec![Value::beside(gateway.process.rss_mb()?, gateway.process.peak_rss_mb()?)])
}
