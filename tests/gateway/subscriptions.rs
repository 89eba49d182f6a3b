//! Subscriptions over event streams, as a strict parser reads them.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::support::{Gateway, SOON, World, rule, world};

/// An event stream.
pub struct Events {
    stream: TcpStream,
    raw: Vec<u8>,
    text: String,
    /// The id of the event that came last.
    pub id: Option<String>,
}

impl Events {
    pub async fn open(gateway: &Gateway, token: &str, query: &str) -> Self {
        Self::open_with(gateway, token, "", query).await
    }

    /// The same with more headers.
    pub async fn open_with(gateway: &Gateway, token: &str, headers: &str, query: &str) -> Self {
        let body = json!({"query": query}).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
        let head = format!(
            "POST /a/graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             accept: text/event-stream\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self { stream, raw: Vec::new(), text: String::new(), id: None };
        while !events.raw.windows(4).any(|window| window == b"\r\n\r\n") {
            events.read().await;
        }
        let end = events.raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&events.raw[..end]).to_lowercase();
        assert!(head.contains("200 ok") && head.contains("content-type: text/event-stream"), "{head}");
        events.raw.drain(..end + 4);
        events
    }

    async fn read(&mut self) {
        let mut room = [0; 8192];
        let count = timeout(SOON, self.stream.read(&mut room)).await.expect("nothing comes").unwrap();
        assert!(count > 0, "the stream ended: {:?}", self.text);
        self.raw.extend_from_slice(&room[..count]);
    }

    /// Decodes the complete chunks of the bytes read so far.
    fn unchunk(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|window| window == b"\r\n") {
            let size =
                usize::from_str_radix(std::str::from_utf8(&self.raw[..line]).unwrap().trim(), 16).unwrap();
            if self.raw.len() < line + 2 + size + 2 {
                return;
            }
            self.text.push_str(std::str::from_utf8(&self.raw[line + 2..line + 2 + size]).unwrap());
            self.raw.drain(..line + 2 + size + 2);
        }
    }

    /// The next event with its name and data. Comments, and events without data, are skipped.
    pub async fn next(&mut self) -> (String, String) {
        loop {
            self.unchunk();
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim_start().to_owned())
                };
                if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
                    self.id = field("id:");
                    return (event, data);
                }
            }
            self.read().await;
        }
    }

    pub async fn answer(&mut self) -> Value {
        let (event, data) = self.next().await;
        assert_eq!(event, "next");
        serde_json::from_str(&data).unwrap()
    }

    /// The next answer with errors.
    pub async fn answer_at_last(&mut self) -> Value {
        loop {
            // Heartbeats come every 15 seconds, so that each read is short.
            let answer = self.answer().await;
            if answer.get("errors").is_some() {
                return answer;
            }
        }
    }

    /// Type and name of the next object.
    pub async fn change(&mut self, field: &str) -> (String, String) {
        let answer = self.answer().await;
        let event = &answer["data"][field];
        let text = |value: &Value| value.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

async fn patch(world: &World, namespace: &str, body: Value) {
    let patch = kube::api::Patch::Merge(body);
    world.config_maps(namespace).patch("a", &kube::api::PatchParams::default(), &patch).await.unwrap();
}

fn change(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn i_changes_come_as_they_happen() {
    let world = world().await;
    world.namespace("follow").await;
    world.config_map("follow", "a", &[("k", "1")]).await;
    let query = "subscription{v1_configmaps(namespace:\"follow\",labelselector:\"test=list\"){type object{...F}}} fragment F on V1ConfigMap{metadata{name} data}";
    let mut events = Events::open(&world.gateway, &world.admin, query).await;
    assert_eq!(events.change("v1_configmaps").await, change("ADDED", "a"));
    world.config_map("follow", "b", &[]).await;
    assert_eq!(events.change("v1_configmaps").await, change("ADDED", "b"));
    // Annotations are not selected.
    patch(world, "follow", json!({"metadata": {"annotations": {"x": "y"}}})).await;
    patch(world, "follow", json!({"data": {"k": "2"}})).await;
    let modified = events.answer().await;
    assert_eq!(
        modified,
        json!({"data": {"v1_configmaps": {"type": "MODIFIED", "object": {"metadata": {"name": "a"}, "data": {"k": "2"}}}}})
    );
    world.config_maps("follow").delete("b", &kube::api::DeleteParams::default()).await.unwrap();
    assert_eq!(events.change("v1_configmaps").await, change("DELETED", "b"));
}

/// The shared watch lets its members list once more when it begins, which is no change of anything.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_counts_once_where_all_do() {
    let world = world().await;
    world.namespace("follow-all").await;
    world.config_map("follow-all", "a", &[("k", "1")]).await;
    let query = "subscription{v1_configmaps(namespace:\"follow-all\",labelselector:\"test=list\",subscribeToAll:true){type object{metadata{name}}}}";
    let mut events = Events::open(&world.gateway, &world.admin, query).await;
    assert_eq!(events.change("v1_configmaps").await, change("ADDED", "a"));
    world.config_map("follow-all", "b", &[]).await;
    assert_eq!(events.change("v1_configmaps").await, change("ADDED", "b"));
    patch(world, "follow-all", json!({"metadata": {"annotations": {"x": "y"}}})).await;
    assert_eq!(events.change("v1_configmaps").await, change("MODIFIED", "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_is_followed_with_a_right_on_it_alone() {
    let world = world().await;
    world.namespace("follow-one").await;
    world.config_map("follow-one", "a", &[("k", "1")]).await;
    let mut only = rule("", &["configmaps"], &["get", "list", "watch"]);
    only.resource_names = Some(vec!["a".to_owned()]);
    let token = world.limited("follow-one", "narrow", vec![only]).await;
    let query = |name: &str| {
        format!(
            "subscription{{v1_configmap(name:\"{name}\",namespace:\"follow-one\"){{type object{{metadata{{name}}}}}}}}"
        )
    };
    let mut events = Events::open(&world.gateway, &token, &query("a")).await;
    assert_eq!(events.change("v1_configmap").await, change("ADDED", "a"));
    let mut refused = Events::open(&world.gateway, &token, &query("b")).await;
    assert_eq!(refused.answer().await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(refused.next().await, (String::from("complete"), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn n_what_fails_is_an_event_with_an_error() {
    let world = world().await;
    world.namespace("follow-not").await;
    let token = world.limited("follow-not", "nobody", vec![rule("", &["pods"], &["list"])]).await;
    let mut events = Events::open(
        &world.gateway,
        &token,
        "subscription{v1_secrets(namespace:\"follow-not\"){type object{kind}}}",
    )
    .await;
    let answer = events.answer().await;
    assert_eq!(
        (&answer["data"], &answer["errors"][0]["path"]),
        (&json!({"v1_secrets": null}), &json!(["v1_secrets"]))
    );
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(events.next().await, (String::from("complete"), String::new()));
    let mut odd = Events::open(
        &world.gateway,
        &world.admin,
        "subscription{v1_configmaps(resourceVersion:\"x\"){type}}",
    )
    .await;
    assert_eq!(odd.answer().await["errors"][0]["extensions"]["code"], "INVALID");
}
