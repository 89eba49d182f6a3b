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
use portolan_testkit::eventually::eventually;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{bind::kind, lab::Lab};
use crate::clusters;

const ALIVE: usize = 45;
const DEAD: usize = 5;
/// How long all bundles may take, and their end.
const LIMIT: Duration = Duration::from_secs(120);
/// How often bundles are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long the dead have time to be in the way.
const HEAD_START: Duration = Duration::from_millis(500);

/// Seconds until 45 bundles are Ready beside five dead ones, over seconds until they are without those.
pub(super) async fn over_alone(lab: &Lab) -> Result<Vec<f64>> {
    let mut listeners = JoinSet::new();
    let names: Vec<_> = (0..ALIVE).map(|number| format!("near-{number:02}")).collect();
    let mut kubeconfig = String::new();
    for name in &names {
        let real = lab.offer(name, kind(name)).await?;
        let address = forward(&mut listeners, lab).await?;
        kubeconfig = through(lab, &real, &address);
        clusters::create_secret(&lab.on_consumer(), name, &kubeconfig).await?;
    }
    let alone = bound(lab, &names).await?;
    unbind(lab, &names).await?;
    for number in 0..DEAD {
        let name = format!("dead-{number}");
        let address = never_answers(&mut listeners).await?;
        let last = through(lab, &kubeconfig, &address);
        clusters::create_secret(&lab.on_consumer(), &name, &last).await?;
        lab.bind(&name).await?;
    }
    tokio::time::sleep(HEAD_START).await;
    let beside = bound(lab, &names).await?;
    Ok(vec![beside / alone])
}

/// Creates all bundles and waits until they are Ready.
async fn bound(lab: &Lab, names: &[String]) -> Result<f64> {
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
                return anyhow::Ok(start.elapsed().as_secs_f64());
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

/// The same kubeconfig by another way; the name in the certificate stays.
fn through(lab: &Lab, kubeconfig: &str, address: &str) -> String {
    let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: ")).map(str::to_owned);
    let server = server.unwrap_or_else(|| lab.provider_url());
    kubeconfig.replace(server.trim_matches('"'), &format!("https://{address}"))
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
