//! Upgrades, evictions and kills while clients ask from within the cluster's network: no request may fail, except right
//! after a kill.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams},
};
use portolan_testkit::eventually;
use serde_json::json;
use tokio::time::sleep;

use super::{
    charts::{ALL, GATEWAY, OTHERS, Release, TOKEN_EXCHANGE, TOKEN_SERVICE, gateway_url, is_ready},
    guests::{CA, CLIENTS, EXCHANGE_TOKEN, Guest, REVIEW, TARGET, TARGETS, TOKEN},
    hosts,
    scene::{SOON, Scene},
};
use crate::display::Display;

/// Number of clients of the token service.
const WORKERS: &str = "4";
/// Time after which a killed pod must not cause failures any more.
const KILL_FORGOTTEN: Duration = Duration::from_secs(5);
/// Time for which the load goes on after a change, so that late failures are seen.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Takes all these steps.
pub(super) async fn all(display: &Display, scene: &Scene) -> Result<()> {
    let loads = display.run("clients ask three services without a pause", Box::pin(begin(scene))).await?;
    for release in ALL {
        let step = format!("{}: a rolling upgrade", release.chart);
        display.run(&step, without_failure(&loads, Box::pin(upgrade(scene, release)))).await?;
    }
    for release in ALL {
        let step = format!("{}: each pod is evicted in turn", release.chart);
        display.run(&step, without_failure(&loads, Box::pin(evict(scene, release)))).await?;
    }
    for load in &loads {
        let release = load.release;
        let step = format!("{}: a pod is killed outright", release.chart);
        let note = display.run(&step, Box::pin(kill(scene, load))).await?;
        display.line(format_args!("      {note}"));
    }
    for load in loads {
        let seen = load.tally().await?;
        display.line(format_args!(
            "      {}: {} requests answered, the slowest in {} ms",
            load.release.chart, seen.good, seen.slowest
        ));
        load.guest.remove().await?;
    }
    Ok(())
}

/// Clients of a service.
struct Load {
    release: Release,
    guest: Guest,
}

/// The requests that they have made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    good: u64,
    bad: u64,
    slowest: u64,
}

impl Load {
    async fn tally(&self) -> Result<Tally> {
        let log = self.guest.log().await?;
        let line = log.lines().rev().find(|line| line.starts_with("so far:"));
        line.and_then(read).context("the load has not begun")
    }

    /// The last failures, as the clients report them.
    async fn failures(&self) -> Result<String> {
        let log = self.guest.log().await?;
        let failed: Vec<_> = log.lines().filter(|line| line.contains(" failed: ")).collect();
        Ok(failed[failed.len().saturating_sub(5)..].join("\n"))
    }
}

fn read(line: &str) -> Option<Tally> {
    let number = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
    Some(Tally { good: number("good=")?, bad: number("bad=")?, slowest: number("slowest=")? })
}

async fn begin(scene: &Scene) -> Result<Vec<Load>> {
    let reviews = format!("https://{}/apis/authentication.k8s.io/v1/tokenreviews", hosts()[0]);
    let exchange = format!("http://{}.{OTHERS}.svc.cluster.local:443/exchangeToken", TOKEN_EXCHANGE.name);
    let body = json!({"namespace": TARGETS, "serviceAccountName": TARGET}).to_string();
    let one =
        ["load", "--workers", WORKERS, "--url", &reviews, "--ca", CA, "--token", TOKEN, "--body", REVIEW];
    // Each exchange makes the API server sign a token: two clients are enough.
    let two = ["load", "--workers", "2", "--url", &exchange, "--bearer", EXCHANGE_TOKEN, "--body", &body];
    let query = json!({"query": format!("{{v1{{ConfigMaps(namespace:\"{CLIENTS}\"){{items{{kind}}}}}}}}")})
        .to_string();
    let url = gateway_url();
    let three = ["load", "--workers", "2", "--url", &url, "--bearer", TOKEN, "--body", &query];
    let loads = vec![
        Load { release: TOKEN_SERVICE, guest: Guest::start(scene, "load-reviews", &one).await? },
        Load { release: TOKEN_EXCHANGE, guest: Guest::start(scene, "load-exchange", &two).await? },
        Load { release: GATEWAY, guest: Guest::start(scene, "load-queries", &three).await? },
    ];
    for load in &loads {
        eventually("the load has begun", SOON, async || -> Result<Option<()>> {
            let tally = load.tally().await?;
            Ok((tally.good > 0).then_some(()))
        })
        .await?;
    }
    Ok(loads)
}

/// Makes a change while clients ask, and fails if one of their requests has failed.
async fn without_failure(loads: &[Load], change: impl Future<Output = Result<()>>) -> Result<()> {
    let mut before = Vec::new();
    for load in loads {
        before.push(load.tally().await?);
    }
    change.await?;
    sleep(AFTERWARDS).await;
    for (load, before) in loads.iter().zip(before) {
        let after = load.tally().await?;
        if after.bad > before.bad {
            let failed = after.bad - before.bad;
            bail!("{failed} requests to {} failed:\n{}", load.release.chart, load.failures().await?);
        }
        ensure!(after.good > before.good, "nobody asked {} meanwhile", load.release.chart);
    }
    Ok(())
}

async fn upgrade(scene: &Scene, release: Release) -> Result<()> {
    let before = names(scene, release).await?;
    release.install(scene, 4, &["--set", "podAnnotations.round=second"]).await?;
    let after = names(scene, release).await?;
    ensure!(after.iter().all(|name| !before.contains(name)), "the pods are the same: {after:?}");
    Ok(())
}

async fn evict(scene: &Scene, release: Release) -> Result<()> {
    let pods = release.pods(scene);
    let all = names(scene, release).await?;
    for name in &all {
        // The budget refuses it while another pod is missing.
        eventually("the budget allows an eviction", SOON, async || {
            match pods.evict(name, &EvictParams::default()).await {
                Ok(_) => Ok(Some(())),
                Err(kube::Error::Api(status)) if status.code == 429 => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
        replaced(&pods, release, name, all.len()).await?;
    }
    Ok(())
}

/// Waits until a pod is gone and as many as before are Ready.
async fn replaced(pods: &Api<Pod>, release: Release, name: &str, count: usize) -> Result<()> {
    eventually(&format!("{name} is replaced"), SOON, async || -> Result<Option<()>> {
        let all = pods.list(&release.selector()).await?.items;
        let ready = all.iter().filter(|pod| is_ready(pod)).count();
        ensure!(all.iter().all(|pod| pod.name_any() != name), "it is still there");
        ensure!(ready == count, "{ready} of {count} are Ready");
        Ok(Some(()))
    })
    .await
}

/// Deletes a pod without grace. Requests in progress may fail; a moment later none does.
async fn kill(scene: &Scene, load: &Load) -> Result<String> {
    let pods = load.release.pods(scene);
    let all = names(scene, load.release).await?;
    let victim = all.first().context("there is no pod")?;
    let before = load.tally().await?;
    let killed = Instant::now();
    pods.delete(victim, &DeleteParams::default().grace_period(0)).await?;
    sleep(KILL_FORGOTTEN.saturating_sub(killed.elapsed())).await;
    // The clients report once a second.
    sleep(Duration::from_secs(1)).await;
    let settled = load.tally().await?;
    replaced(&pods, load.release, victim, all.len()).await?;
    sleep(AFTERWARDS).await;
    let after = load.tally().await?;
    let late = after.bad - settled.bad;
    ensure!(late == 0, "{late} requests failed later than 5 s:\n{}", load.failures().await?);
    Ok(format!(
        "{} of {} requests failed, none later than 5 s",
        settled.bad - before.bad,
        after.good - before.good
    ))
}

async fn names(scene: &Scene, release: Release) -> Result<Vec<String>> {
    let pods = release.pods(scene).list(&release.selector()).await?.items;
    Ok(pods.iter().filter(|pod| is_ready(pod)).map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_read_from_its_line() {
        let tally = Tally { good: 12, bad: 3, slowest: 40 };
        assert_eq!(read("so far: good=12 bad=3 slowest=40"), Some(tally));
        assert_eq!(read("so far: good=12"), None);
    }
}
