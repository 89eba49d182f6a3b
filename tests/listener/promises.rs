//! Promises in milliseconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench listener`.

use std::time::{Duration, Instant};

use crate::scene::Stage;

/// What is promised from a ClusterAccess to its document, where the OpenAPI of the API server has been read before.
const DOCUMENT: Duration = Duration::from_millis(500);
/// Factor by which something may take longer here than promised.
const FACTOR: u32 = 5;

#[tokio::test]
async fn a_cluster_access_has_its_document_in_time() {
    let stage = Stage::shared().await;
    stage.usual_secrets("in-time").await;
    let mut times = Vec::new();
    for round in 0..4 {
        let name = format!("in-time-{round}");
        let begun = Instant::now();
        stage.create(&name, stage.usual("in-time")).await.unwrap();
        stage.document_when(&name, |_| true).await;
        times.push(begun.elapsed());
    }
    // The first one has the API server make its OpenAPI.
    let took = *times[1..].iter().min().unwrap();
    assert!(took < DOCUMENT * FACTOR, "a document took {took:?}, promised are {DOCUMENT:?}: {times:?}");
    for round in 0..4 {
        stage.delete(&format!("in-time-{round}")).await;
    }
}
