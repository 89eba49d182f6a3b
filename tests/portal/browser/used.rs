//! Calls of the last day on the page of a product: one's own for who calls, everybody's for who decides.

use serde_json::{Value, json};

use super::{chromium::ABSENCE, demo, driver::browse};
use crate::{
    outside::{self, Outside},
    scene::Stage,
};

/// A Prometheus that has counted these calls, and that none was limited.
async fn counted(calls: &'static [(&'static str, &'static str, &'static str)]) -> Outside {
    Outside::start(move |asked| {
        let calls: &[(&str, &str, &str)] = if asked.target().contains("limited_calls") { &[] } else { calls };
        let one = |(user, plan, value): &(&str, &str, &str)| json!({"metric": {"user": user, "plan": plan}, "value": [1, value]});
        let result: Vec<_> = calls.iter().map(one).collect();
        outside::json(&json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_beside_the_limit_and_sees_what_concerns_him() {
    let stage = Stage::shared().await;
    let place = stage.toystore("used").await;
    place.publish("owner1", "toys", &json!({})).await;
    let prometheus = counted(&[("alice", "gold", "40"), ("bob", "gold", "90"), ("bob", "silver", "7")]).await;
    let (_home, site) = demo(stage, &[&format!("--usage-prometheus-url={}", prometheus.url)]).await;
    let (_mute_home, mute) = demo(stage, &[]).await;
    let rows = "JSON.stringify([...document.querySelectorAll('[aria-labelledby=usage] tbody tr')].map((row) => \
                [...row.querySelectorAll('td')].map((cell) => cell.innerText.trim())))";
    let row = |user: &str, plan: &str, calls: &str| json!([user, plan, calls, "0"]);
    let table = [
        ("alice", json!([row("alice (you)", "gold", "40 of 100 a day")])),
        (
            "owner1",
            json!([
                row("alice", "gold", "40 of 100 a day"),
                row("bob", "gold", "90 of 100 a day"),
                row("bob", "silver", "7 of 50 a day")
            ]),
        ),
    ];
    let ran = browse("used", &site, async |browser| {
        for (who, expected) in &table {
            browser.open_as(who, "/products/used/toys").await;
            browser.until(&format!("{rows} === {}", json!(expected.to_string()))).await;
        }
        let bar = "document.querySelector('progress[aria-label=\"Calls of bob\"]')";
        let figures = browser.value(&format!("[{bar}.value, {bar}.max]")).await;
        assert_eq!(figures, json!([90, 100]), "one user beside the limit of one");
        browser.open_as("owner2", "/products/used/toys").await;
        browser.shows("None of these calls was yours.").await;
    });
    if !ran.await {
        return println!("skipped: {}: {ABSENCE}", module_path!());
    }
    let ran = browse("unused", &mute, async |browser| {
        for (who, is_told) in [("alice", false), ("owner1", true), ("admin1", true)] {
            browser.open_as(who, "/products/used/toys").await;
            browser.shows("Plans").await;
            if is_told {
                browser.shows("--usage-prometheus-url").await;
            }
            let card = "document.querySelector('[aria-labelledby=usage]') !== null";
            assert_eq!(browser.value(card).await, Value::Bool(is_told), "{who}");
        }
    });
    assert!(ran.await, "there was a browser");
}
