//! Fifty providers, five of which accept connections and never answer: what that costs the others.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use portolan_core::{
    api::kubebind::APIServiceBindingBundle,
    condition::{self, READY},
};
use portolan_testkit::{Percentiles, eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{lab::Lab, raw::kind};
use crate::{clusters, figure::Value};

const ALIVE: usize = 45;
const DEAD: usize = 5;
/// Limit for all bundles, and for their end.
const LIMIT: Duration = Duration::from_secs(120);
/// Interval at which bundles are looked at.
const TICK: Duration = Duration::from_millis(20);
/// Time for the dead to be in the way.
const HEAD_START: Duration = Duration::from_secs(2);
/// Time for the clusters to forget a round.
const CALM: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// A name in the certificate of the provider's API server.
const SERVER_NAME: &str = "kubernetes";

/// Seconds until 45 bundles are Ready beside five dead ones, over seconds until they are without those. Both are
/// measured in turns, with another one first each time, after a round that warms everything up.
pub(super) async fn over_alone(lab: &Lab) -> Result<Vec<Value>> {
    let mut listeners = JoinSet::new();
    let (names, dead) = (prepare(lab, &mut listeners).await?, bury(lab, &mut listeners).await?);
    bound(lab, &names).await?;
    unbind(lab, &names).await?;
    let (mut alone, mut beside) = (Percentiles::new(), Percentiles::new());
    for round in 0..ROUNDS {
        for with_dead in [round % 2 == 1, round % 2 == 0] {
            let rounds = if with_dead { &mut beside } else { &mut alone };
            rounds.record(one_round(lab, &names, if with_dead { &dead } else { &[] }).await?);
        }
    }
    Ok(vec![(beside.p50() / alone.p50()).into()])
}

/// Consumers with a way of their own to the provider; gives their names.
async fn prepare(lab: &Lab, listeners: &mut JoinSet<()>) -> Result<Vec<String>> {
    let names: Vec<_> = (0..ALIVE).map(|number| format!("near-{number:02}")).collect();
    for name in &names {
        let kubeconfig = lab.offer(name, kind(name)).await?;
        let address = forward(listeners, lab).await?;
        let kubeconfig = through(lab, &kubeconfig, &address)?;
        clusters::create_secret(&lab.on_consumer(), name, &kubeconfig).await?;
    }
    Ok(names)
}

/// Secrets whose kubeconfigs lead to where nobody answers.
async fn bury(lab: &Lab, listeners: &mut JoinSet<()>) -> Result<Vec<String>> {
    let names: Vec<_> = (0..DEAD).map(|number| format!("dead-{number}")).collect();
    let kubeconfig = lab.kubeconfig("dead").await?;
    for name in &names {
        let kubeconfig = through(lab, &kubeconfig, &never_answers(listeners).await?)?;
        clusters::create_secret(&lab.on_consumer(), name, &kubeconfig).await?;
    }
    Ok(names)
}

async fn one_round(lab: &Lab, names: &[String], dead: &[String]) -> Result<Duration> {
    for name in dead {
        lab.bind(name).await?;
    }
    // The same pause where nobody is in the way.
    tokio::time::sleep(HEAD_START).await;
    let took = bound(lab, names).await?;
    unbind(lab, names).await?;
    unbind(lab, dead).await?;
    tokio::time::sleep(CALM).await;
    Ok(took)
}

/// Creates all bundles and waits until they are Ready.
async fn bound(lab: &Lab, names: &[String]) -> Result<Duration> {
    let bundles: Api<APIServiceBindingBundle> = Api::all(lab.on_consumer());
    let start = Instant::now();
    for name in names {
        lab.bind(name).await?;
    }
    let wanted: BTreeSet<_> = names.iter().cloned().collect();
    let all_ready = async {
        loop {
            let ready = bundles.list(&ListParams::default()).await?.items.into_iter().filter(|bundle| {
                bundle.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, READY))
            });
            let ready: BTreeSet<_> = ready.map(|bundle| bundle.name_any()).collect();
            if wanted.is_subset(&ready) {
                return anyhow::Ok(start.elapsed());
            }
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(LIMIT, all_ready).await.context("not all bundles became Ready")?
}

async fn unbind(lab: &Lab, names: &[String]) -> Result<()> {
    let bundles: Api<APIServiceBindingBundle> = Api::all(lab.on_consumer());
    for name in names {
        bundles.delete(name, &DeleteParams::default()).await?;
    }
    eventually("the bundles are gone", LIMIT, async || {
        let left = bundles.list(&ListParams::default()).await?;
        let any = left.items.iter().any(|bundle| names.contains(&bundle.name_any()));
        Ok::<_, kube::Error>((!any).then_some(()))
    })
    .await?;
    Ok(())
}

/// The same kubeconfig by another way, with the name in the certificate: as behind a gateway or a tunnel.
fn through(lab: &Lab, kubeconfig: &str, address: &str) -> Result<String> {
    let (url, indent) = (lab.provider_url(), "    ");
    let line =
        kubeconfig.lines().find(|line| line.contains("server: ") && line.contains(url.trim_end_matches('/')));
    let line = line.with_context(|| format!("the kubeconfig does not name {url}"))?;
    let by = format!("{indent}server: https://{address}\n{indent}tls-server-name: {SERVER_NAME}");
    Ok(kubeconfig.replace(line, &by))
}

/// Passes on to the provider's API server.
async fn forward(listeners: &mut JoinSet<()>, lab: &Lab) -> Result<String> {
    let target = lab.provider_url().trim_start_matches("https://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    listeners.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut incoming, _)) = listener.accept().await {
            let target = target.clone();
            connections.spawn(async move {
                let Ok(mut outgoing) = TcpStream::connect(target).await else { return };
                // Whichever side ends it, the other one sees it.
                let _ = copy_bidirectional(&mut incoming, &mut outgoing).await;
            });
        }
    });
    Ok(address)
}

/// Accepts, and says nothing.
async fn never_answers(listeners: &mut JoinSet<()>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    listeners.spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    Ok(address)
}
