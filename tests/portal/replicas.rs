//! Versions that a reader asks for, and products that are sent twice.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{scene::Stage, site::Caller};

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
