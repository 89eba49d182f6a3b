//! Promises in milliseconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench listener`.

use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt as _, StreamExt as _};
use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::schema_document::DocumentEvent;
use portolan_testkit::ports::free_port;
use serde_json::json;
use tokio::time::timeout;

use crate::scene::{RELEASE, SOON, Stage};

/// What is promised from a ClusterAccess to its document, where the OpenAPI of the API server has been read before.
const DOCUMENT: Duration = Duration::from_millis(500);
/// What is promised from a label of a ClusterAccess to its event at a gateway.
const EVENT: Duration = Duration::from_millis(50);
/// Factor by which something may take longer here than promised.
const FACTOR: u32 = 5;
const ROUNDS: usize = 10;

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

/// A client of the stream on this port, with the account of a gateway.
async fn gateway(stage: &Stage, port: u16) -> Client {
    let metadata = ObjectMeta { name: Some("gateway".to_owned()), ..ObjectMeta::default() };
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client(), RELEASE);
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let audiences = ["portolan-listener"];
    let token = stage.management.token_for(RELEASE, "gateway", &audiences, 3600).await.unwrap();
    let mut config = Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    config.auth_info.token = Some(token.into());
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_label_is_at_a_gateway_in_time() {
    let port = free_port().unwrap();
    let address = format!("--stream-address=127.0.0.1:{port}");
    let readers = format!("--gateway-accounts={RELEASE}/gateway");
    let stage = Box::pin(Stage::start_with("lag", &[&address, &readers, "--plain-http"])).await;
    stage.usual_secrets("a").await;
    stage.create("a", stage.usual("a")).await.unwrap();
    stage.ready("a").await;
    let request = Request::get("/v1/documents?watch=1").body(Vec::new()).unwrap();
    let client = gateway(&stage, port).await;
    let mut lines = Box::pin(client.request_stream(request).await.unwrap()).lines();
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let value = round.to_string();
        let change = Patch::Merge(json!({"metadata": {"labels": {"round": value}}}));
        let begun = Instant::now();
        stage.accesses().patch("a", &PatchParams::default(), &change).await.unwrap();
        let told = async {
            loop {
                let line = lines.next().await.expect("the stream goes on").unwrap();
                let event: DocumentEvent = serde_json::from_str(&line).unwrap();
                if let DocumentEvent::Upsert { metadata, .. } = event
                    && metadata.labels.get("round") == Some(&value)
                {
                    break;
                }
            }
        };
        timeout(SOON, told).await.expect("an event in time");
        times.push(begun.elapsed());
    }
    times.remove(0);
    times.sort_unstable();
    let took = times[ROUNDS / 2];
    assert!(took < EVENT * FACTOR, "an event took {took:?}, promised are {EVENT:?}: {times:?}");
    // A write is in it, and still the one that nothing else holds up keeps the figure itself.
    assert!(times[0] < EVENT, "no event came in {EVENT:?}: {times:?}");
}
