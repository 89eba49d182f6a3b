//! A caller whose proof is too old: it is proven anew while the question is asked, and before it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    fake::{Fake, refusal, widgets},
    support::Gateway,
};

/// Longer than a proof is believed.
const LATER: Duration = Duration::from_secs(31);
const QUERY: &str = "{clusters{name x_io{v1{Widgets(namespace:\"n\"){items{size}}}}}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_answered_without_a_new_proof() {
    let (is_refused, was_listed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (refused, listed) = (Arc::clone(&is_refused), Arc::clone(&was_listed));
    let fake = Fake::start(move |asked| {
        if asked.path.contains("/widgets") {
            listed.store(true, Ordering::SeqCst);
            return (200, widgets(&["w"]));
        }
        if asked.path.contains("selfsubject") && refused.load(Ordering::SeqCst) {
            // It is as far away as the list, which does not wait for it.
            let patience = Instant::now();
            while !listed.load(Ordering::SeqCst) && patience.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(5));
            }
            return refusal(401, "Unauthorized", "Unauthorized");
        }
        refusal(404, "NotFound", "there is nothing")
    })
    .await;
    let gateway = Gateway::start("fleet-proof", &[("f.json", &fake.document())], &[]).await;
    let ask = async || gateway.post("fleet", Some("once-good"), &json!({"query": QUERY})).await;
    let first = ask().await.json();
    assert_eq!(first["data"]["clusters"][0]["x_io"]["v1"]["Widgets"]["items"][0]["size"], "big", "{first}");
    tokio::time::sleep(LATER).await;
    was_listed.store(false, Ordering::SeqCst);
    is_refused.store(true, Ordering::SeqCst);
    let second = ask().await;
    assert_eq!(second.status, 401, "{}", second.text);
    assert!(was_listed.load(Ordering::SeqCst), "the list has waited for the proof");
    assert!(!second.text.contains("big"), "{}", second.text);
}
