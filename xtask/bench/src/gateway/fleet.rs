//! One query to fifty clusters, each 200 ms away, over that of the slowest of them alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::relay::Relay;

use super::{
    lab::{Gateway, Lab},
    median,
};
use crate::figure::Value;

const CLUSTERS: usize = 50;
const OBJECTS: usize = 10;
const SIZE: usize = 100;
const ROUNDS: usize = 3;
const NAMESPACE: &str = "fleet";
/// As far as another continent.
const AWAY: Duration = Duration::from_millis(200);
/// A token that is new to a cluster counts, and only some a second may come from one address.
const INTRODUCTION: Duration = Duration::from_millis(80);

/// The time of all at once over that of the slowest alone, beside that of one after another.
pub(super) async fn fifty(lab: &Lab) -> Result<Vec<Value>> {
    lab.filled(NAMESPACE, OBJECTS, SIZE).await?;
    let url = lab.plane.server_url();
    let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a URL with a port")?;
    let (mut relays, mut documents) = (Vec::new(), Vec::new());
    for number in 0..CLUSTERS {
        let relay = Relay::start_slow(port, AWAY).await?;
        let document = lab.document.replace(&url, &format!("https://127.0.0.1:{}", relay.port()));
        documents.push((name(number), document));
        relays.push(relay);
    }
    let documents: Vec<_> =
        documents.iter().map(|(name, document)| (name.as_str(), document.as_str())).collect();
    let gateway = lab.gateway(&documents).await?;
    let query = format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\"){{items{{metadata{{name}}}}}}}}}}");
    let all = format!("{{clusters{{name error {}}}}}", &query[1..query.len() - 1]);
    // Connections, proofs and plans.
    for number in 0..CLUSTERS {
        alone(lab, &gateway, number, &query).await?;
        tokio::time::sleep(INTRODUCTION).await;
    }
    together(lab, &gateway, &all).await?;
    let mut singles = vec![Vec::new(); CLUSTERS];
    let mut fleets = Vec::new();
    for _ in 0..ROUNDS {
        for (number, times) in singles.iter_mut().enumerate() {
            times.push(alone(lab, &gateway, number, &query).await?);
        }
        fleets.push(together(lab, &gateway, &all).await?);
    }
    ensure!(relays.iter().all(|relay| relay.accepted() > 0), "a cluster was not asked through its relay");
    let singles: Vec<_> = singles.into_iter().map(median).collect();
    let slowest = singles.iter().copied().fold(0.0, f64::max);
    ensure!(slowest >= AWAY.as_secs_f64(), "a list took {slowest} s, less than the API server is away");
    Ok(vec![Value::beside(median(fleets) / slowest, singles.iter().sum::<f64>() / slowest)])
}

fn name(number: usize) -> String {
    format!("fleet-{number:02}")
}

async fn alone(lab: &Lab, gateway: &Gateway, number: usize, query: &str) -> Result<f64> {
    let begun = Instant::now();
    let answer = lab.ask(gateway, &name(number), query).await?;
    let took = begun.elapsed().as_secs_f64();
    let items = answer.json()["data"]["v1"]["ConfigMaps"]["items"].as_array().map_or(0, Vec::len);
    ensure!(items == OBJECTS, "another answer: {}", answer.text);
    Ok(took)
}

async fn together(lab: &Lab, gateway: &Gateway, query: &str) -> Result<f64> {
    let begun = Instant::now();
    let answer = lab.ask(gateway, "fleet", query).await?;
    let took = begun.elapsed().as_secs_f64();
    let json = answer.json();
    let clusters = json["data"]["clusters"].as_array().context("an answer without data")?;
    let is_whole = |cluster: &serde_json::Value| {
        cluster["error"].is_null()
            && cluster["v1"]["ConfigMaps"]["items"].as_array().is_some_and(|items| items.len() == OBJECTS)
    };
    ensure!(clusters.len() == CLUSTERS && clusters.iter().all(is_whole), "another answer: {}", answer.text);
    Ok(took)
}
