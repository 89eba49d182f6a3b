//! Documents that appear, change, break and disappear while queries run.

use std::sync::atomic::{AtomicBool, Ordering};

use portolan_testkit::eventually;
use serde_json::json;

use super::support::{Gateway, SOON, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_leaves_the_last_good_one() {
    let world = world().await;
    let gateway = Gateway::start("source", &[("a.json", &world.document)], &[]).await;
    let names = "{v1{Namespaces(limit:1){items{kind}}}}";
    gateway.until("a", &world.admin, names, |answer| answer.status == 200).await;
    gateway.write("a.json", "{\"definitions\":");
    let told = async || {
        let (status, text) = gateway.process.admin_get("/readyz?verbose").await?;
        anyhow::Ok(
            (status == 200 && text.contains("[+] document a: the last good document is served"))
                .then_some(()),
        )
    };
    eventually("the bad document is told", SOON, told).await.unwrap();
    assert!(
        gateway
            .process
            .metrics()
            .await
            .unwrap()
            .contains("portolan_gateway_document_failing_state{cluster=\"a\"} 1")
    );
    gateway.until("a", &world.admin, names, |answer| answer.status == 200).await;
    std::fs::remove_file(gateway.file("a.json")).unwrap();
    gateway.until("a", &world.admin, names, |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_shapes_are_served_and_swapped_without_a_failed_request() {
    let world = world().await;
    let gateway = Gateway::start("swap", &[("a", &world.document)], &[]).await;
    let ending = AtomicBool::new(false);
    let query = json!({"query": "{v1{Namespaces(limit:1){items{kind}}}}"});
    let asking = async {
        let mut count = 0;
        while !ending.load(Ordering::Relaxed) {
            let answer = gateway.post("a", Some(&world.admin), &query).await;
            assert!(answer.status == 200 && answer.json().get("errors").is_none(), "{}", answer.text);
            count += 1;
        }
        count
    };
    let swapping = async {
        let head = json!({"components": {"schemas": world.document["definitions"]}, "openapi": "", "info": null, "x-cluster-metadata": world.document["x-cluster-metadata"]});
        for (round, shape) in [&head, &world.document, &head].into_iter().enumerate() {
            gateway.write("a", &shape.to_string());
            let built = format!("portolan_gateway_schema_builds_total{{result=\"ok\"}} {}", round + 2);
            let swapped =
                async || anyhow::Ok(gateway.process.metrics().await?.contains(&built).then_some(()));
            eventually("the document is swapped in", SOON, swapped).await.unwrap();
        }
        ending.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(asking, swapping);
    assert!(count > 10, "{count}");
}
