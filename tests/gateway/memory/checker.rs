//! The checker: the same question through and from memory, while everything changes.

use portolan_testkit::{ControlPlane, ControlPlaneOptions, checker};

use super::{super::support, Remembering, reads};

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_older_than_it_says_or_shown_to_somebody_who_is_refused() {
    let cluster = ControlPlane::start(ControlPlaneOptions::named("gateway-checker")).await.unwrap();
    let document = support::document(&cluster).await;
    let own = vec![reads("", &["configmaps"])];
    let flags = ["--request-timeout=5s"];
    let memory = Remembering::start((&cluster, &document), "memory-checker", own, &flags).await;
    let checked = checker::check(&cluster, (memory.gateway.port, "a")).await.unwrap();
    assert!(
        checked.wrong.is_empty(),
        "{} wrong: {:#?}",
        checked.wrong.len(),
        &checked.wrong[..checked.wrong.len().min(5)]
    );
    // On a busy machine, too.
    assert!(checked.from_memory > 500 && checked.answers > checked.from_memory, "{checked:?}");
    assert!(checked.refused > 10, "{checked:?}");
}
