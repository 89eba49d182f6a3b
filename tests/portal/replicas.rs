//! Several portals: whoever has seen a change sees it everywhere.

use std::time::{Duration, Instant};

use portolan_testkit::relay::Relay;
use serde_json::json;

use crate::{
    scene::Stage,
    site::{Caller, Site},
};

const PRODUCTS: &str = "/api/kuadrant/apiproducts";

/// Far longer than a watch takes, and less than a list waits.
const LATE: Duration = Duration::from_millis(1200);

async fn names(by: &Caller<'_>) -> Vec<String> {
    by.names(&format!("{PRODUCTS}?namespace=replicas")).await
}

#[tokio::test]
async fn a_replica_that_lags_waits_for_what_its_reader_has_seen() {
    let stage = Stage::shared().await;
    let place = stage.toystore("replicas").await;
    let url = url::Url::parse(&stage.plane.server_url()).unwrap();
    let relay = Relay::start_slow(url.port().unwrap(), LATE).await.unwrap();
    let kubeconfig = relay.in_front_of(stage.plane.server_url().as_str(), &stage.kubeconfig);
    let late = Site::start(&kubeconfig, Some(&stage.login), &[]).await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let there = late.by(&stage.login, "owner1");
    // Who the caller is and what it may do is known from now on.
    assert!(names(&there).await.is_empty());

    let seen = async |headers: &str| names(&late.with(&format!("{}{headers}", there.headers))).await;
    let mut lagged = (false, false);
    // On a busy machine a single look may itself be late.
    for name in (0..8).map(|round| format!("toys-{round}")) {
        let made = owner.post(PRODUCTS, &place.product(&name, &json!({}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let version = made.values("x-min-version")[0].to_owned();
        assert!(version.starts_with("apiproducts="), "{version}");
        lagged.0 |= !seen("").await.contains(&name);
        assert!(seen(&format!("x-min-version: {version}\r\n")).await.contains(&name), "{name} at {version}");

        let gone = owner.delete(&format!("{PRODUCTS}/replicas/{name}")).await;
        let version = gone.values("x-min-version")[0].to_owned();
        lagged.1 |= seen("").await.contains(&name);
        assert!(!seen(&format!("x-min-version: {version}\r\n")).await.contains(&name), "{name} at {version}");
        if lagged == (true, true) {
            return;
        }
    }
    panic!("it did not lag, so this shows nothing: {lagged:?}");
}

#[tokio::test]
async fn a_version_that_never_comes_holds_nobody_for_long() {
    let stage = Stage::shared().await;
    let owner = stage.portal.by(&stage.login, "owner1");
    for version in ["apiproducts=999999999999, apikeys=1", "apiproducts=x", "=", "secrets=1", "apikeys=-1"] {
        let by = stage.portal.with(&format!("{}x-min-version: {version}\r\n", owner.headers));
        let begun = Instant::now();
        assert_eq!(by.get(PRODUCTS).await.status, 200, "{version}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{version}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_product_that_is_sent_twice_is_created_once() {
    let stage = Stage::shared().await;
    let place = stage.toystore("twice").await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let with_id = stage.portal.with(&format!("{}idempotency-key: one\r\n", owner.headers));
    let product = place.product("toys", &json!({"description": "Toys"}));
    let first = with_id.post(PRODUCTS, &product).await;
    let again = with_id.post(PRODUCTS, &product).await;
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!(first.json()["metadata"]["uid"], again.json()["metadata"]["uid"]);
    let another = place.product("toys", &json!({"description": "Other toys"}));
    Caller::is_problem(&with_id.post(PRODUCTS, &another).await, 409);
    Caller::is_problem(&owner.post(PRODUCTS, &product).await, 409);
    let other = stage.portal.by(&stage.login, "owner2");
    let theirs = stage.portal.with(&format!("{}idempotency-key: one\r\n", other.headers));
    Caller::is_problem(&theirs.post(PRODUCTS, &product).await, 409);
}
