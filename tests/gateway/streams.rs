//! Subscriptions to a server whose watches end at once.

use std::time::Duration;

use portolan_testkit::eventually;
use serde_json::json;

use super::{
    fake::{Asked, Fake, Reply, widgets},
    subscriptions::Events,
    support::{Gateway, SOON},
};

fn query(more: &str) -> String {
    format!("subscription{{x_io_v1_widgets(namespace:\"n\"{more}){{type object{{metadata{{name}}}}}}}}")
}

fn is_watch(asked: &Asked) -> bool {
    asked.path.contains("watch=true")
}

/// Three widgets, and one of them changes after version 7.
fn reply(asked: &Asked) -> Reply {
    if !asked.path.starts_with("/apis/x.io/") {
        return (404, String::new());
    }
    if !is_watch(asked) {
        return (200, widgets(&["a", "b", "c"]));
    }
    let changed = json!({"type": "MODIFIED", "object": {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "8"}}});
    let is_from_7 = asked.path.contains("resourceVersion=7");
    (200, if is_from_7 { format!("{changed}\n") } else { String::new() })
}

/// Whoever loses the connection amid a list goes on from before it, and misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_end_of_a_list_says_from_where_to_go_on() {
    let fake = Fake::start(|asked| match reply(asked) {
        (200, _) if is_watch(asked) => (200, String::new()),
        other => other,
    })
    .await;
    let gateway = Gateway::start("stream-ids", &[("a.json", &fake.document())], &[]).await;
    let mut events = Events::open(&gateway, "somebody", &query("")).await;
    for (name, id) in [("a", None), ("b", None), ("c", Some("7"))] {
        assert_eq!(events.change("x_io_v1_widgets").await, ("ADDED".to_owned(), name.to_owned()));
        assert_eq!(events.id.as_deref(), id, "{name}");
    }
    // Each watch ends at once, and is not asked for again at once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let watches = fake.take().iter().filter(|asked| is_watch(asked)).count();
    assert!((1..=4).contains(&watches), "{watches} watches");
}

/// Who goes on from a version does not know what was there before, but knows that it is not new.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_after_a_version_has_changed() {
    let fake = Fake::start(reply).await;
    let gateway = Gateway::start("stream-from", &[("a.json", &fake.document())], &[]).await;
    let query = query(",resourceVersion:\"7\"");
    let mut all = Vec::new();
    // The second one comes after the first has heard of it, and hears of it all the same.
    for _ in 0..2 {
        let mut events = Events::open(&gateway, "somebody", &query).await;
        assert_eq!(events.change("x_io_v1_widgets").await, ("MODIFIED".to_owned(), "a".to_owned()));
        assert_eq!(events.id.as_deref(), Some("8"));
        all.push(events);
    }
    // Whoever comes back after it sends the same query, and where it was.
    fake.take();
    let headers = "last-event-id: 8\r\n";
    all.push(Events::open_with(&gateway, "somebody", headers, &query).await);
    // Only a watch that is new asks first whether the server has its version.
    let is_new = |asked: &Asked| asked.path.contains("resourceVersion=8&resourceVersionMatch");
    let begun = async || fake.take().iter().any(is_new).then_some(());
    eventually("it goes on from there", SOON, begun).await.unwrap();
}
