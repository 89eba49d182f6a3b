//! The stream for gateways elsewhere: who may read it, what is sent, and how it resumes.

use std::{collections::BTreeMap, time::Duration};

use futures::{AsyncBufReadExt as _, StreamExt as _, io::Lines};
use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use portolan_core::{digest::sha256_hex, schema_document::DocumentEvent};
use portolan_testkit::{
    eventually,
    kubeconfig::{self, Credentials},
    ports::free_port,
    workdir::Workdir,
};
use serde_json::json;

use crate::scene::{RELEASE, SOON, Stage, options};

const AUDIENCE: &str = "portolan-listener";

/// A listener that serves a stream with a certificate of its own.
struct Serving {
    stage: Stage,
    port: u16,
    certificate: String,
    _home: Workdir,
}

impl Serving {
    async fn start(name: &str) -> Self {
        let home = Workdir::new("stream").unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap();
        let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
        let port = free_port().unwrap();
        let flags = [
            format!("--stream-address=127.0.0.1:{port}"),
            format!("--tls-cert-file={}", certificate.display()),
            format!("--tls-key-file={}", key.display()),
            format!("--gateway-accounts={RELEASE}/gateway"),
        ];
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let stage = Stage::start_with(name, &flags).await;
        for account in ["gateway", "stranger"] {
            let metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
            let account = ServiceAccount { metadata, ..ServiceAccount::default() };
            let api: Api<ServiceAccount> = Api::namespaced(stage.client(), RELEASE);
            api.create(&PostParams::default(), &account).await.unwrap();
        }
        Self { stage, port, certificate: made.cert.pem(), _home: home }
    }

    async fn client(&self, account: &str, audience: &str) -> Client {
        let token = self.stage.management.token_for(RELEASE, account, &[audience], 3600).await.unwrap();
        self.client_with(&token).await
    }

    async fn client_with(&self, token: &str) -> Client {
        let url = format!("https://127.0.0.1:{}", self.port);
        let text = kubeconfig::render(&url, &self.certificate, Credentials::Token(token), RELEASE);
        kubeconfig::client(&text).await.unwrap()
    }

    async fn gateway(&self, query: &str) -> Gateway<impl futures::AsyncBufRead + Unpin + use<>> {
        let client = self.client("gateway", AUDIENCE).await;
        let request = Request::get(format!("/v1/documents?{query}")).body(Vec::new()).unwrap();
        let lines = Box::pin(client.request_stream(request).await.unwrap()).lines();
        Gateway { client, lines, revision: String::new() }
    }
}

struct Gateway<R> {
    client: Client,
    lines: Lines<R>,
    revision: String,
}

impl<R: futures::AsyncBufRead + Unpin> Gateway<R> {
    /// The next event that is not a heartbeat.
    async fn next(&mut self) -> DocumentEvent {
        loop {
            let line = tokio::time::timeout(SOON, self.lines.next()).await.expect("an event in time");
            let event: DocumentEvent = serde_json::from_str(&line.expect("a stream").unwrap()).unwrap();
            let (DocumentEvent::Upsert { revision, .. }
            | DocumentEvent::Remove { revision, .. }
            | DocumentEvent::Synced { revision, .. }
            | DocumentEvent::Heartbeat { revision }) = &event;
            revision.clone_into(&mut self.revision);
            if !matches!(event, DocumentEvent::Heartbeat { .. }) {
                return event;
            }
        }
    }

    async fn upsert(&mut self, wanted: &str) -> (serde_json::Value, BTreeMap<String, String>) {
        let event = self.next().await;
        let DocumentEvent::Upsert { name, metadata, parts, .. } = event else { panic!("{event:?}") };
        assert_eq!(name, wanted);
        let parts = parts.into_iter().map(|part| (part.group_version, part.sha256)).collect();
        (serde_json::to_value(&metadata).unwrap(), parts)
    }

    /// Waits until everything has been sent.
    async fn synced(&mut self) -> Vec<String> {
        loop {
            match self.next().await {
                DocumentEvent::Synced { names, .. } => return names,
                DocumentEvent::Upsert { .. } => {}
                event => panic!("{event:?}"),
            }
        }
    }

    async fn part(&self, sha256: &str) -> String {
        let request = Request::get(format!("/v1/parts/{sha256}")).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap()
    }
}

async fn code(client: &Client, path: &str) -> u16 {
    let request = Request::get(path).body(Vec::new()).unwrap();
    match client.request_text(request).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, from the first gateway to the last event")]
async fn gateways_follow_documents_and_nobody_else_does() {
    let serving = Box::pin(Serving::start("stream")).await;
    let stage = &serving.stage;
    stage.usual_secrets("a").await;
    stage.create("a", stage.usual("a")).await.unwrap();
    stage.ready("a").await;

    // Authentication.
    for (client, expected) in [
        (serving.client("gateway", AUDIENCE).await, 200),
        (serving.client("gateway", "another").await, 401),
        (serving.client("stranger", AUDIENCE).await, 403),
        (serving.client_with("nonsense").await, 401),
    ] {
        assert_eq!(code(&client, "/v1/documents").await, expected);
    }
    let metrics = stage.listener.metrics().await.unwrap();
    assert!(metrics.contains("portolan_listener_stream_refusals_total{code=\"403\"} 1"), "{metrics}");

    // Three gateways, of which one reads with credentials.
    let (mut first, mut second) = (serving.gateway("watch=1").await, serving.gateway("watch=1").await);
    let mut memory = serving.gateway("watch=1&credentials=1").await;
    let (metadata, parts) = first.upsert("a").await;
    assert_eq!(metadata["auth"], json!({"type": "token"}), "no credentials for who did not ask");
    assert_eq!(second.upsert("a").await.1, parts);
    assert!(memory.upsert("a").await.0["auth"]["token"].is_string());
    for gateway in [&mut first, &mut second] {
        assert_eq!(gateway.synced().await, ["a"]);
    }
    assert_eq!(memory.synced().await, ["a"]);
    let apps = first.part(&parts["apps/v1"]).await;
    assert_eq!(sha256_hex(apps.as_bytes()), parts["apps/v1"]);
    let apps: serde_json::Value = serde_json::from_str(&apps).unwrap();
    for schema in apps["definitions"].as_object().unwrap().values() {
        for name in portolan_core::schema_document::referred(schema) {
            assert!(apps["definitions"].get(name).is_some(), "{name} is not in the part");
        }
    }
    assert_eq!(code(&first.client, &format!("/v1/parts/{}", "0".repeat(64))).await, 404);

    // The same cluster under another name has the same parts; a new CRD is one new part.
    let mut spec = stage.usual("a");
    spec["path"] = "b".into();
    stage.create("b", spec).await.unwrap();
    assert_eq!(first.upsert("b").await.1, parts);
    let crds: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(stage.target.client());
    crds.create(&PostParams::default(), &portolan_testkit::workload::wildwest()).await.unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 2 || seen["a"] != seen["b"] {
        let event = first.next().await;
        let DocumentEvent::Upsert { name, parts: now, .. } = event else { panic!("{event:?}") };
        let new: Vec<_> =
            now.iter().filter(|part| parts.get(&part.group_version) != Some(&part.sha256)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        assert!(new[0].group_version.starts_with("wildwest.dev/"), "{new:?}");
        seen.insert(name, new[0].sha256.clone());
    }

    // A resumed stream has only what has changed.
    let since = first.revision.clone();
    drop(first);
    stage.delete("b").await;
    stage.document_gone("b").await;
    let mut back = serving.gateway(&format!("watch=1&since={since}")).await;
    assert_eq!(back.synced().await, ["a"]);
    let mut stranger = serving.gateway("watch=1&since=elsewhere.7").await;
    stranger.upsert("a").await;
    assert_eq!(stranger.synced().await, ["a"]);

    // Removals are sent, too.
    stage.delete("a").await;
    assert!(matches!(back.next().await, DocumentEvent::Remove { name, .. } if name == "a"));
}

#[tokio::test]
async fn a_replica_that_stands_by_serves_and_writes_nothing() {
    let serving = Box::pin(Serving::start("standby")).await;
    let stage = &serving.stage;
    stage.usual_secrets("a").await;
    stage.create("a", stage.usual("a")).await.unwrap();
    // A cluster that cannot be reached has no document, but its name is sent.
    let mut down = stage.usual("a");
    down["host"] = "https://127.0.0.1:1".into();
    stage.create("down", down).await.unwrap();
    stage.ready("a").await;
    stage.reason("down", "Unreachable").await;

    let (directory, port) = (Workdir::new("standby").unwrap(), free_port().unwrap());
    let flags = [
        format!("--stream-address=127.0.0.1:{port}"),
        "--plain-http".to_owned(),
        format!("--gateway-accounts={RELEASE}/gateway"),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut second = options(&stage.kubeconfig, &directory, &flags);
    second.pod_name = "listener-1".to_owned();
    let second = portolan_testkit::ServiceProcess::start(second).await.unwrap();
    let token = stage.management.token_for(RELEASE, "gateway", &[AUDIENCE], 3600).await.unwrap();
    let head = format!("host: listener\r\nauthorization: Bearer {token}\r\n");
    let look = async || {
        let answer = portolan_testkit::raw::http(port, "GET /v1/documents", &head, b"").await.ok()?;
        answer.text.contains("\"synced\"").then_some(answer.text)
    };
    let text = eventually("the standby serves", SOON, look).await.unwrap();
    assert!(text.contains("\"name\":\"a\"") && text.contains("\"names\":[\"a\",\"down\"]"), "{text}");
    assert!(!directory.path().join("a.json").exists(), "only who leads writes");
    // Three gateways follow the leader; when it goes, each goes on at the other, and none is told of a removal.
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let mut gateway = serving.gateway("watch=1").await;
        gateway.upsert("a").await;
        gateway.synced().await;
        gateways.push(gateway);
    }
    let ended = async |gateway: &mut Gateway<_>| while let Some(Ok(_)) = gateway.lines.next().await {};
    let going = stage.listener.terminate(SOON);
    let [first, second_one, third] = gateways.as_mut_slice() else { unreachable!() };
    let (went, (), (), ()) = tokio::join!(going, ended(first), ended(second_one), ended(third));
    went.unwrap();
    for gateway in &gateways {
        let path = format!("GET /v1/documents?since={}", gateway.revision);
        let text = portolan_testkit::raw::http(port, &path, &head, b"").await.unwrap().text;
        assert!(text.contains("\"names\":[\"a\",\"down\"]") && !text.contains("\"remove\""), "{text}");
    }
    let file = directory.path().join("a.json");
    eventually("the standby writes", Duration::from_secs(60), async || file.exists().then_some(()))
        .await
        .unwrap();
    drop(second);
}
