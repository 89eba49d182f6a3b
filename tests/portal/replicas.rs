//! Versions that a reader asks for, a replica that lags, and products that are sent twice.

use std::time::{Duration, Instant};

use portolan_testkit::{eventually::eventually, raw::RawAnswer, relay::Relay};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    scene::Stage,
    site::{Caller, Site},
};

const PRODUCTS: &str = "/api/kuadrant/apiproducts";

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

/// The names of the products of a namespace that a lagging replica lists, for somebody who has seen this answer.
async fn listed_since(site: &Site, owner: &Caller<'_>, answer: &RawAnswer, namespace: &str) -> Vec<String> {
    let version = answer.values("x-min-version");
    let by = site.with(&format!("{}x-min-version: {}\r\n", owner.headers, version[0]));
    let path = format!("{PRODUCTS}?namespace={namespace}");
    // What is asked over a forgotten connection gets no answer; a few seconds later, another one is used.
    let list = async || {
        let answer = timeout(Duration::from_secs(8), by.get(&path)).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    };
    let list = eventually("the replica answers", Duration::from_secs(60), list).await.unwrap();
    let products = list["items"].as_array().unwrap().iter().map(|product| &product["metadata"]);
    let ours = products.filter(|metadata| metadata["namespace"] == namespace);
    ours.map(|metadata| metadata["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_watch_lags_answers_with_what_another_one_has_written() {
    let stage = Stage::shared().await;
    let place = stage.toystore("lagging").await;
    let port = stage.plane.server_url().rsplit(':').next().unwrap().parse().unwrap();
    let relay = Relay::start(port).await.unwrap();
    let kubeconfig = relay.in_front_of(&stage.plane.server_url(), &stage.kubeconfig);
    let lagging = Site::start(&kubeconfig, Some(&stage.login), &[]).await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let before = owner.post(PRODUCTS, &place.product("before", &json!({}))).await;
    assert_eq!(listed_since(&lagging, &owner, &before, "lagging").await, ["before"]);
    // For the next twenty seconds at least, its watches show nothing.
    relay.forget();
    let created = owner.post(PRODUCTS, &place.product("toys", &json!({}))).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let mut names = listed_since(&lagging, &owner, &created, "lagging").await;
    names.sort();
    assert_eq!(names, ["before", "toys"]);
    let deleted = owner.delete(&format!("{PRODUCTS}/lagging/before")).await;
    assert_eq!(listed_since(&lagging, &owner, &deleted, "lagging").await, ["toys"]);
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
