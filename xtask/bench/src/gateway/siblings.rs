//! Eight lists in one query, over an API server that is 20 ms away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::relay::Relay;
use serde_json::Value as Json;

use super::{
    lab::{Gateway, Lab, name},
    median,
};
use crate::figure::Value;

const LISTS: usize = 8;
const OBJECTS: usize = 10;
const SIZE: usize = 100;
const ROUNDS: usize = 20;
const AWAY: Duration = Duration::from_millis(20);

/// The time of all at once over that of the slowest, beside that of one after another.
pub(super) async fn eight(lab: &Lab) -> Result<Vec<Value>> {
    for number in 0..LISTS {
        lab.fill(&namespace(number), OBJECTS, SIZE).await?;
    }
    let url = lab.plane.server_url();
    let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a URL with a port")?;
    let relay = Relay::start_slow(port, AWAY).await?;
    let document = lab.document.replace(&url, &format!("https://127.0.0.1:{}", relay.port()));
    let gateway = lab.gateway(&[("a", &document)]).await?;
    let single: Vec<_> = (0..LISTS).map(|number| query(&[number])).collect();
    let all = query(&(0..LISTS).collect::<Vec<_>>());
    // Connections and plans.
    asked(lab, &gateway, &all, LISTS).await?;
    let mut alone = vec![Vec::new(); LISTS];
    let mut together = Vec::new();
    for _ in 0..ROUNDS {
        for (query, times) in single.iter().zip(&mut alone) {
            times.push(asked(lab, &gateway, query, 1).await?);
        }
        together.push(asked(lab, &gateway, &all, LISTS).await?);
    }
    ensure!(relay.accepted() > 0, "nothing went through the relay");
    let alone: Vec<_> = alone.into_iter().map(median).collect();
    let slowest = alone.iter().copied().fold(0.0, f64::max);
    ensure!(slowest >= AWAY.as_secs_f64(), "a list took {slowest} s, less than the API server is away");
    Ok(vec![Value::beside(median(together) / slowest, alone.iter().sum::<f64>() / slowest)])
}

fn namespace(number: usize) -> String {
    format!("sibling-{number}")
}

fn query(lists: &[usize]) -> String {
    let list = |number: &usize| {
        let namespace = namespace(*number);
        format!("l{number}:ConfigMaps(namespace:\"{namespace}\"){{items{{metadata{{name namespace}}}}}}")
    };
    format!("{{v1{{{}}}}}", lists.iter().map(list).collect::<Vec<_>>().join(" "))
}

/// Seconds until the answer, which has so many whole lists.
async fn asked(lab: &Lab, gateway: &Gateway, query: &str, lists: usize) -> Result<f64> {
    let begun = Instant::now();
    let answer = lab.ask(gateway, "a", query).await?;
    let took = begun.elapsed().as_secs_f64();
    let json = answer.json();
    let found = json["data"]["v1"].as_object().context("an answer without data")?;
    let is_whole = |(label, list): (&String, &Json)| {
        let items = list["items"].as_array();
        let namespace = label.replace('l', "sibling-");
        let is_item = |(number, item): (usize, &Json)| {
            item["metadata"]["name"] == name(number) && item["metadata"]["namespace"] == namespace
        };
        items.is_some_and(|items| items.len() == OBJECTS && items.iter().enumerate().all(is_item))
    };
    ensure!(found.len() == lists && found.iter().all(is_whole), "another answer: {}", answer.text);
    Ok(took)
}
