//! One upstream watch for many subscribers, each with rights of its own.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, api::DeleteParams};
use portolan_testkit::{ControlPlane, ControlPlaneOptions, eventually};
use serde_json::json;

use super::{
    subscriptions::Events,
    support::{self, Gateway, SOON, World, rule, world},
};

fn query(namespace: &str, more: &str) -> String {
    // Controllers add ConfigMaps of their own.
    let arguments = format!("namespace:\"{namespace}\",labelselector:\"test=list\"{more}");
    format!("subscription{{v1_configmaps({arguments}){{type object{{metadata{{name}}}}}}}}")
}

fn added(name: &str) -> (String, String) {
    ("ADDED".to_owned(), name.to_owned())
}

/// Number of watches of the `ConfigMap`s of a namespace that the gateway has begun.
pub fn watches(world: &World, namespace: &str) -> usize {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?");
    let entries = world.cluster.audit().entries_since(portolan_testkit::audit::Mark::default()).unwrap();
    let is_one = |entry: &&portolan_testkit::AuditEntry| {
        entry.verb == "watch"
            && entry.request_uri.starts_with(&path)
            && entry.user_agent.starts_with("portolan-gateway")
    };
    entries.iter().filter(is_one).count()
}

/// S9 and G11: a subscriber whose token is revoked is told so; the others of its watch miss nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_one_subscription_and_no_other() {
    let world = world().await;
    world.namespace("revoked").await;
    let rules = || vec![rule("", &["configmaps"], &["list", "watch"])];
    let doomed = world.limited("revoked", "doomed", rules()).await;
    let lasting = world.limited("revoked", "lasting", rules()).await;
    let query = query("revoked", "");
    let mut first = Events::open(&world.gateway, &doomed, &query).await;
    world.config_map("revoked", "a", &[]).await;
    assert_eq!(first.change("v1_configmaps").await, added("a"));
    let mut second = Events::open(&world.gateway, &lasting, &query).await;
    assert_eq!(second.change("v1_configmaps").await, added("a"));
    world.config_map("revoked", "b", &[]).await;
    for events in [&mut first, &mut second] {
        assert_eq!(events.change("v1_configmaps").await, added("b"));
    }
    assert_eq!(watches(world, "revoked"), 1, "both share one upstream watch");
    // Whoever may not watch does not get in.
    let reader = world.limited("revoked", "reader", vec![rule("", &["configmaps"], &["list"])]).await;
    let mut refused = Events::open(&world.gateway, &reader, &query).await;
    assert_eq!(refused.answer().await["errors"][0]["extensions"]["code"], "FORBIDDEN");

    let accounts: Api<ServiceAccount> = Api::namespaced(world.cluster.client(), "revoked");
    accounts.delete("doomed", &DeleteParams::default()).await.unwrap();
    let revoked = Instant::now();
    let last = tokio::time::timeout(Duration::from_secs(100), first.answer_at_last()).await.unwrap();
    assert_eq!(last["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{last}");
    assert_eq!(first.next().await.0, "complete");
    assert!(revoked.elapsed() < Duration::from_secs(90), "{:?}", revoked.elapsed());
    // The watch goes on with the token of who is left, from where it was.
    world.config_map("revoked", "c", &[]).await;
    assert_eq!(second.change("v1_configmaps").await, added("c"));
    world.config_map("revoked", "d", &[]).await;
    assert_eq!(second.change("v1_configmaps").await, added("d"), "each event comes once");
}

/// G09: a version of the future is an error within the time of a request, and no other subscriber sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_the_future_is_an_error() {
    let world = world().await;
    world.namespace("future").await;
    let mut now = Events::open(&world.gateway, &world.admin, &query("future", "")).await;
    let ahead = query("future", ",resourceVersion:\"999999999999\"");
    let mut future = Events::open(&world.gateway, &world.admin, &ahead).await;
    let answer = future.answer().await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "TIMEOUT", "{answer}");
    assert_eq!(future.next().await.0, "complete");
    world.config_map("future", "a", &[]).await;
    assert_eq!(now.change("v1_configmaps").await, added("a"));
}

/// G14: an API server that is frozen, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_only_looks_alive_is_made_anew() {
    let cluster = ControlPlane::start(ControlPlaneOptions::named("gateway-frozen")).await.unwrap();
    let (admin, document) = (support::administrator(&cluster).await, support::document(&cluster).await);
    let gateway = Gateway::start("frozen", &[("a.json", &document)], &[]).await;
    let world = World { cluster, document, gateway, admin };
    for name in ["stays", "goes"] {
        world.config_map("default", name, &[]).await;
    }
    let mut events = Events::open(&world.gateway, &world.admin, &query("default", "")).await;
    let mut first = [events.change("v1_configmaps").await.1, events.change("v1_configmaps").await.1];
    first.sort();
    assert_eq!(first, ["goes", "stays"]);
    world.cluster.pause_apiserver();
    // More than the silence after which a connection counts as dead.
    let lost = async || {
        let metrics = world.gateway.process.metrics().await?;
        let line = "portolan_gateway_api_connections_lost_total{cluster=\"remote\"}";
        let count = metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<u32>().ok());
        anyhow::Ok(count.filter(|count| *count > 0))
    };
    let noticed = eventually("the silence is noticed", Duration::from_secs(120), lost).await;
    world.cluster.resume_apiserver();
    noticed.unwrap();
    let changed = async || {
        let api = world.config_maps("default");
        api.delete("goes", &DeleteParams::default()).await.ok().map(|_| ())
    };
    eventually("the API server answers", SOON, changed).await.unwrap();
    assert_eq!(events.change("v1_configmaps").await, ("DELETED".to_owned(), "goes".to_owned()));
    world.config_map("default", "new", &[]).await;
    assert_eq!(events.change("v1_configmaps").await, added("new"));
    let answer = world.gateway.post("a", Some(&world.admin), &json!({"query": "{__typename}"})).await;
    assert_eq!(answer.json()["data"], json!({"__typename": "Query"}));
}
