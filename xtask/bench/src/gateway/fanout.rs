//! 500 subscribers of one kind: how soon each has an event, and what they take.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ApiResource, Patch, PatchParams},
};
use portolan_testkit::audit::Mark;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use super::{
    lab::{Gateway, Lab, name},
    median,
};
use crate::{figure::Value, watching::Watching};

const SUBSCRIBERS: usize = 500;
const EVENTS: usize = 20;
const NAMESPACE: &str = "fanout";
/// Subscribers that join at the same time.
const AT_A_TIME: usize = 20;
const REST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_secs(30);

/// When a subscriber had an event.
type Arrival = (usize, Instant);

/// Milliseconds until the last one has an event, the slowest of these, and memory of each.
pub(super) async fn events(lab: &Lab) -> Result<Vec<Value>> {
    lab.fill(NAMESPACE, 1, 10).await?;
    let gateway = lab.gateway(&[("a", &lab.document)]).await?;
    // The schema, a connection, and one subscriber are there whatever follows.
    let (sender, mut arrivals) = unbounded_channel();
    let mut following = JoinSet::new();
    join(lab, &gateway, &sender, 1, &mut following).await?;
    tokio::time::sleep(REST).await;
    let before = gateway.process.rss_mb()?;
    join(lab, &gateway, &sender, SUBSCRIBERS - 1, &mut following).await?;
    tokio::time::sleep(REST).await;
    let (mut last, mut direct) = (Vec::new(), Vec::new());
    let mut watching = Watching::open(Api::namespaced_with(
        lab.plane.client(),
        NAMESPACE,
        &ApiResource::erase::<ConfigMap>(&()),
    ))
    .await?;
    for round in 0..EVENTS {
        let (all, one) = event(lab, round, &mut arrivals, &mut watching).await?;
        last.push(all);
        direct.push(one);
        tokio::time::sleep(PAUSE).await;
    }
    let after = gateway.process.rss_mb()?;
    one_watch(lab)?;
    if let Some(ended) = following.try_join_next() {
        bail!("a subscription has ended: {ended:?}");
    }
    #[expect(clippy::cast_precision_loss, reason = "500")]
    let each = (after - before) * 1024.0 / (SUBSCRIBERS - 1) as f64;
    let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let worst = Value::beside(worst(&last), worst(&direct));
    Ok(vec![Value::beside(median(last), median(direct)), worst, each.into()])
}

/// Changes the object. Returns the milliseconds until all have the event, and until the API server's own watch has it.
async fn event(
    lab: &Lab,
    round: usize,
    arrivals: &mut UnboundedReceiver<Arrival>,
    watching: &mut Watching,
) -> Result<(f64, f64)> {
    let objects: Api<ConfigMap> = Api::namespaced(lab.plane.client(), NAMESPACE);
    let patch = Patch::Merge(json!({"data": {"text": round.to_string()}}));
    let parameters = PatchParams::default();
    let text = round.to_string();
    let begun = Instant::now();
    let at_all = async {
        let mut latest = begun;
        for _ in 0..SUBSCRIBERS {
            let (seen, at) = arrivals.recv().await.context("all subscriptions have ended")?;
            ensure!(seen == round, "event {seen} came instead of {round}");
            latest = latest.max(at);
        }
        Ok(latest - begun)
    };
    let at_one = async {
        watching.until(|object| object.data["data"]["text"] == text.as_str()).await?;
        Ok(begun.elapsed())
    };
    let written = async { objects.patch(&name(0), &parameters, &patch).await.context("changing the object") };
    let everything = async { tokio::try_join!(at_all, at_one, written) };
    let (all, one, _) =
        tokio::time::timeout(WITHIN, everything).await.context("the event did not come to all")??;
    Ok((all.as_secs_f64() * 1_000.0, one.as_secs_f64() * 1_000.0))
}

/// Opens subscriptions, and waits until each has had its first object.
async fn join(
    lab: &Lab,
    gateway: &Gateway,
    sender: &UnboundedSender<Arrival>,
    count: usize,
    following: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let opening = stream::iter(0..count).map(|_| open(lab, gateway)).buffer_unordered(AT_A_TIME);
    for subscription in opening.try_collect::<Vec<_>>().await? {
        following.spawn(follow(subscription, sender.clone()));
    }
    Ok(())
}

async fn open(lab: &Lab, gateway: &Gateway) -> Result<TcpStream> {
    let query = format!("subscription{{v1_configmaps(namespace:\"{NAMESPACE}\"){{type object{{data}}}}}}");
    let body = json!({"query": query}).to_string();
    let mut subscription = TcpStream::connect(("127.0.0.1", gateway.port)).await?;
    let head = format!(
        "POST /a/graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        lab.token,
        body.len()
    );
    subscription.write_all(head.as_bytes()).await?;
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    while frame(&seen, "ADDED").is_none() {
        let read = tokio::time::timeout(WITHIN, subscription.read(&mut buffer)).await;
        let length = read.context("a subscription says nothing")??;
        ensure!(length > 0, "a subscription ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..length]);
    }
    Ok(subscription)
}

/// Tells when each event has come, as a whole.
async fn follow(mut subscription: TcpStream, sender: UnboundedSender<Arrival>) -> Result<()> {
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    loop {
        let length = subscription.read(&mut buffer).await?;
        let at = Instant::now();
        ensure!(length > 0, "the stream ended");
        seen.extend_from_slice(&buffer[..length]);
        if let Some(text) = frame(&seen, "MODIFIED") {
            let round = text.parse().with_context(|| format!("an event about {text:?}"))?;
            seen.clear();
            if sender.send((round, at)).is_err() {
                return Ok(());
            }
        }
    }
}

/// The text in a whole event of this type.
fn frame<'a>(seen: &'a [u8], change: &str) -> Option<&'a str> {
    let seen = std::str::from_utf8(seen).ok()?;
    let begin = format!(
        "data: {{\"data\":{{\"v1_configmaps\":{{\"type\":\"{change}\",\"object\":{{\"data\":{{\"text\":\""
    );
    let (_, rest) = seen.split_once(&begin)?;
    let (text, _) = rest.split_once("\"}}}}}\n\n")?;
    Some(text)
}

/// All of them share one watch of the API server.
fn one_watch(lab: &Lab) -> Result<()> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?");
    let entries = lab.plane.audit().entries_since(Mark::default())?;
    let watches = entries.iter().filter(|entry| {
        entry.verb == "watch"
            && entry.request_uri.starts_with(&path)
            && entry.user_agent.starts_with("portolan-gateway")
    });
    let watches = watches.count();
    ensure!(watches == 1, "{SUBSCRIBERS} subscribers have {watches} watches of the API server");
    Ok(())
}
