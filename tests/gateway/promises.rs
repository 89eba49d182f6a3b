//! Promises in milliseconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench gateway`.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use portolan_testkit::relay::Relay;
use serde_json::json;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    shared::watches,
    subscriptions::Events,
    support::{Gateway, SOON, world},
};

/// What is promised from the document of a stock cluster to its endpoint.
const DOCUMENT: Duration = Duration::from_millis(200);
/// What is promised from a change until the last of 500 subscribers has it.
const EVENT: Duration = Duration::from_millis(50);
/// Factor by which something may take longer here than promised.
const FACTOR: u32 = 5;
const STARTS: usize = 5;
const SUBSCRIBERS: usize = 100;
const ROUNDS: usize = 10;
const LISTS: usize = 8;
/// How much later the answers of an API server come that is far away.
const AWAY: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_millis(200);

/// The data of an event, and when it came.
type Arrival = (String, Instant);

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_served_in_time() {
    let world = world().await;
    let (document, query) = (world.document.to_string(), json!({"query": "{__typename}"}));
    let mut times = Vec::new();
    for _ in 0..STARTS {
        // Types are shared by content: only the first document of a gateway is new.
        let gateway = Gateway::start("in-time", &[], &[]).await;
        gateway.write("a.json", &document);
        let begun = Instant::now();
        loop {
            let answer = gateway.post("a", Some(&world.admin), &query).await;
            if answer.status == 200 {
                assert_eq!(answer.json()["data"]["__typename"], "Query", "{}", answer.text);
                break;
            }
            assert!(answer.status == 401 && begun.elapsed() < SOON, "no endpoint: {}", answer.text);
            sleep(TICK).await;
        }
        times.push(begun.elapsed());
    }
    let took = median(times.clone());
    assert!(took < DOCUMENT * FACTOR, "a document took {took:?}, promised are {DOCUMENT:?}: {times:?}");
}

/// Tells of each event when it has come.
async fn follow(mut events: Events, arrivals: UnboundedSender<Arrival>) {
    loop {
        let (_, data) = events.next().await;
        if arrivals.send((data, Instant::now())).is_err() {
            return;
        }
    }
}

/// Waits until all subscribers have the change of a round. Returns when the last one had it.
async fn at_all(arrivals: &mut UnboundedReceiver<Arrival>, round: &str) -> Instant {
    let text = format!("\"round\":\"{round}\"");
    let mut last = Instant::now();
    for _ in 0..SUBSCRIBERS {
        let arrival = timeout(SOON, arrivals.recv()).await.expect("a subscriber hears nothing");
        let (data, at) = arrival.expect("all subscriptions have ended");
        assert!(data.contains(&text), "{data} came instead of round {round}");
        last = last.max(at);
    }
    last
}

/// Waits until the API server's own watch has the change of a round. Returns when that was.
async fn at_one(
    watch: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
    round: &str,
) -> Instant {
    loop {
        let event = timeout(SOON, watch.next()).await.expect("the watch says nothing");
        let event = event.expect("the watch has ended").unwrap();
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
            && object.data.is_some_and(|data| data.get("round").is_some_and(|found| found == round))
        {
            return Instant::now();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_with_all_who_share_a_watch_in_time() {
    let world = world().await;
    world.namespace("in-time").await;
    world.config_map("in-time", "a", &[("round", "none")]).await;
    let query =
        "subscription{v1_configmaps(namespace:\"in-time\",labelselector:\"test=list\"){type object{data}}}";
    let (sender, mut arrivals) = unbounded_channel();
    let mut following = JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let events = Events::open(&world.gateway, &world.admin, query).await;
        following.spawn(follow(events, sender.clone()));
    }
    at_all(&mut arrivals, "none").await;
    let objects = world.config_maps("in-time");
    let mut watch = Box::pin(objects.watch(&WatchParams::default(), "0").await.unwrap());
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let text = round.to_string();
        let (parameters, change) = (PatchParams::default(), Patch::Merge(json!({"data": {"round": text}})));
        let (all, one, changed) = tokio::join!(
            at_all(&mut arrivals, &text),
            at_one(&mut watch, &text),
            objects.patch("a", &parameters, &change)
        );
        changed.unwrap();
        if round > 0 {
            times.push(all.saturating_duration_since(one));
        }
        sleep(PAUSE).await;
    }
    assert_eq!(watches(world, "in-time"), 1, "they share one watch of the API server");
    let took = median(times.clone());
    assert!(took < EVENT * FACTOR, "an event took {took:?} more than at a watch: {times:?}");
    // There are fewer of them than in the promise, so the round that nothing else holds up keeps the figure itself.
    assert!(times.iter().any(|time| *time < EVENT), "no event came in {EVENT:?}: {times:?}");
}

/// A query with these lists, each of one namespace.
fn lists(numbers: &[usize]) -> String {
    let list = |number: &usize| {
        let arguments = format!("namespace:\"sibling-{number}\",labelselector:\"test=list\"");
        format!("l{number}:ConfigMaps({arguments}){{items{{metadata{{name}}}}}}")
    };
    format!("{{v1{{{}}}}}", numbers.iter().map(list).collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_one_query_are_asked_for_side_by_side() {
    let world = world().await;
    for number in 0..LISTS {
        let namespace = format!("sibling-{number}");
        world.namespace(&namespace).await;
        world.config_map(&namespace, "a", &[]).await;
    }
    let url = world.cluster.server_url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let relay = Relay::start_slow(port, AWAY).await.unwrap();
    let mut document = world.document.clone();
    document["x-cluster-metadata"]["host"] = json!(format!("https://127.0.0.1:{}", relay.port()));
    let gateway = Gateway::start("siblings", &[("a.json", &document)], &[]).await;
    let ask = async |numbers: &[usize]| {
        let begun = Instant::now();
        let answer = gateway.post("a", Some(&world.admin), &json!({"query": lists(numbers)})).await;
        let took = begun.elapsed();
        let json = answer.json();
        for number in numbers {
            let items = &json["data"]["v1"][format!("l{number}")]["items"];
            assert_eq!(items[0]["metadata"]["name"], "a", "{}", answer.text);
        }
        took
    };
    // Connections and plans.
    let every: Vec<_> = (0..LISTS).collect();
    ask(&every).await;
    for number in 0..LISTS {
        ask(&[number]).await;
    }
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for round in 0..LISTS * 2 {
        alone.push(ask(&[round % LISTS]).await);
        together.push(ask(&every).await);
    }
    let (alone, together) = (median(alone), median(together));
    assert!(alone >= AWAY && relay.accepted() > 0, "a list took {alone:?}, less than the API server is away");
    // One after another they take eight times as long.
    assert!(together < alone * 4, "{LISTS} lists took {together:?}, and one of them {alone:?}");
}
