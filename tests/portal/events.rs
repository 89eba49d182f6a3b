//! The stream of changes: others' are seen at once, and nobody hears of what he may not see.

use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use portolan_testkit::eventually;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    login::{csrf, sign_in},
    scene::{SOON, Stage},
    site::{ORIGIN, Site},
};

/// An open stream, and what came over it so far.
struct Stream {
    connection: TcpStream,
    text: String,
}

impl Stream {
    /// Opens it as a browser does, and waits for its first event.
    async fn open(site: &Site, headers: &str) -> Self {
        let mut connection = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
        let head = format!(
            "GET /api/events HTTP/1.1\r\nhost: portal.test\r\naccept: text/event-stream\r\nconnection: close\r\n\
             {headers}\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self { connection, text: String::new() };
        stream.until("event: hello").await;
        stream
    }

    /// Reads until a text has come.
    async fn until(&mut self, wanted: &str) {
        let read = async {
            while !self.text.contains(wanted) {
                assert!(self.read().await, "the stream ended: {}", self.text);
            }
        };
        assert!(timeout(SOON, read).await.is_ok(), "{wanted} did not come: {}", self.text);
    }

    /// Reads once; `false` at the end.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.connection.read(&mut buffer).await.unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        read > 0
    }

    /// The changes so far.
    fn changes(&self) -> Vec<Value> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }
}

fn named(name: &str) -> String {
    format!("\"name\":\"{name}\"")
}

#[tokio::test]
async fn everybody_hears_of_what_others_change_and_may_be_seen() {
    let stage = Stage::shared().await;
    let place = stage.toystore("heard").await;
    place.publish("owner1", "toys", &json!({})).await;
    let by = |name: &str| stage.portal.by(&stage.login, name);
    let mut alice = Stream::open(&stage.portal, &by("alice").headers).await;
    let mut owner = Stream::open(&stage.portal, &by("owner1").headers).await;
    assert!(alice.text.to_lowercase().contains("content-type: text/event-stream"), "{}", alice.text);
    assert!(alice.text.contains("x-accel-buffering: no"), "{}", alice.text);

    let draft = place.product("hidden", &json!({"publishStatus": "Draft"}));
    assert_eq!(by("owner1").post("/api/kuadrant/apiproducts", &draft).await.status, 201);
    let key = place.ask("bob", "toys").await;
    owner.until(&named("hidden")).await;
    owner.until(&named(&key)).await;
    // What comes after it has come, so that it would have, too.
    let open = place.product("open", &json!({}));
    let made = by("owner1").post("/api/kuadrant/apiproducts", &open).await;
    assert_eq!(made.status, 201, "{}", made.text);
    alice.until(&named("open")).await;
    for hidden in ["hidden", key.as_str(), "bob"] {
        assert!(!alice.text.contains(hidden), "{hidden}: {}", alice.text);
    }
    let is_it = |change: &&Value| change["name"] == "open" && change["namespace"] == "heard";
    let change = alice.changes().iter().find(is_it).cloned().unwrap();
    assert_eq!(change["kind"], "products", "{change}");
    let created: u64 = made.json()["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let told: u64 = change["version"].as_str().unwrap().parse().unwrap();
    assert!(told >= created, "{told} {created}");
    // Her own key is hers to hear of, and its end as well.
    let own = place.ask("alice", "toys").await;
    alice.until(&named(&own)).await;
    let path = "/api/kuadrant/apiproducts/heard/open";
    let before = alice.text.matches(&named("open")).count();
    assert_eq!(by("owner1").delete(path).await.status, 204);
    let more = async {
        while alice.text.matches(&named("open")).count() == before {
            assert!(alice.read().await, "{}", alice.text);
        }
    };
    assert!(timeout(SOON, more).await.is_ok(), "nobody told of the end");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_tells_nothing_more() {
    let stage = Stage::shared().await;
    let place = stage.toystore("unheard").await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let (jar, _) = sign_in(&stage.login, &site, "alice", "/").await;
    let mut stream = Stream::open(&site, &jar.header()).await;
    let token = csrf(&site, &jar).await;
    let out = format!("{}x-csrf-token: {token}\r\norigin: {ORIGIN}\r\n", jar.header());
    assert!(site.with(&out).post("/logout", &json!({})).await.status < 400);
    place.publish("owner1", "toys", &json!({})).await;
    let end = async { while stream.read().await {} };
    assert!(timeout(SOON, end).await.is_ok(), "it goes on: {}", stream.text);
    assert!(!stream.text.contains("unheard"), "{}", stream.text);
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_it_shows_and_goes_on_with_the_next() {
    let stage = Stage::shared().await;
    let place = stage.toystore("renewed").await;
    // So short that each request renews it.
    stage.login.tokens_of_live("dora", 6);
    let (jar, _) = sign_in(&stage.login, &stage.portal, "dora", "/").await;
    let mut stream = Stream::open(&stage.portal, &jar.header()).await;
    let begun = Instant::now();
    let end = async { while stream.read().await {} };
    assert!(timeout(Duration::from_secs(12), end).await.is_ok(), "it goes on: {}", stream.text);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    stage.login.tokens_of_live("dora", 60);
    let mut renewed = jar.clone();
    renewed.take_set(stream.text.lines().filter_map(|line| line.strip_prefix("set-cookie: ")));
    let mut stream = Stream::open(&stage.portal, &renewed.header()).await;
    place.publish("owner1", "toys", &json!({})).await;
    stream.until(&named("toys")).await;
    // A script has no other token to come again with.
    let now = portolan_testkit::issuer::now();
    let short = json!({"iss": stage.login.url, "aud": "portal", "sub": "dora", "preferred_username": "dora",
                       "iat": now, "exp": now + 3, "groups": ["api-consumers"]});
    let by = stage.portal.bearer(&stage.login.forged(&short));
    let mut stream = Stream::open(&stage.portal, &by.headers).await;
    // The API server takes a token that it knows for some seconds longer: news comes until it is asked anew.
    let news = async {
        for number in 0.. {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stage.toystore(&format!("renewed-{number}")).await;
        }
    };
    let end = async { while stream.read().await {} };
    let ended = async {
        tokio::select! {
            () = end => {}
            () = news => {}
        }
    };
    assert!(timeout(SOON, ended).await.is_ok(), "it goes on: {}", stream.text);
}

/// Lets the API server fail whenever a person's rights are asked for.
fn out_of_order(person: &str) -> ValidatingWebhookConfiguration {
    serde_json::from_value(json!({
        "metadata": {"name": format!("no-reviews-of-{person}")},
        "webhooks": [{
            "name": "reviews.portal.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": ["authorization.k8s.io"], "apiVersions": ["*"], "operations": ["CREATE"],
                       "resources": ["selfsubjectaccessreviews"]}],
            "matchConditions": [{"name": "one", "expression": format!("request.userInfo.username == '{person}'")}],
        }],
    }))
    .unwrap()
}

#[tokio::test]
async fn news_that_could_not_be_judged_is_made_up_for() {
    let stage = Stage::shared().await;
    let carol = stage.portal.by(&stage.login, "carol");
    let mut stream = Stream::open(&stage.portal, &carol.headers).await;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(stage.client());
    let broken = webhooks.create(&PostParams::default(), &out_of_order("carol")).await.unwrap();
    let fails = async || {
        let fresh = stage.portal.by(&stage.login, "carol");
        (fresh.get("/api/kuadrant/apiproducts").await.status == 503).then_some(())
    };
    eventually("her rights cannot be asked for", SOON, fails).await.unwrap();
    let place = stage.toystore("unjudged").await;
    place.publish("owner1", "toys", &json!({})).await;
    let end = async { while stream.read().await {} };
    assert!(timeout(Duration::from_secs(2), end).await.is_err(), "it has ended: {}", stream.text);
    for early in ["event: resync", "unjudged"] {
        assert!(!stream.text.contains(early), "{}", stream.text);
    }
    webhooks.delete(&broken.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
    stream.until("event: resync").await;
    assert_eq!(carol.names("/api/kuadrant/apiproducts?namespace=unjudged").await, ["toys"]);
}

#[tokio::test]
async fn a_page_that_talks_to_itself_does_not_keep_its_session() {
    let stage = Stage::shared().await;
    let flags = ["--session-idle=6s"];
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &flags).await;
    let (jar, _) = sign_in(&stage.login, &site, "alice", "/").await;
    let (mut used, _) = sign_in(&stage.login, &site, "alice", "/").await;
    let mut stream = Stream::open(&site, &jar.header()).await;
    // Somebody works in one browser; in the other, only the page asks.
    let begun = Instant::now();
    loop {
        let by = site.with(&format!("{}x-user-active: 1\r\n", used.header()));
        let active = by.get("/api/me").await;
        assert_eq!(active.status, 200, "{}", active.text);
        assert_eq!(active.json()["idleSeconds"], 6, "{}", active.text);
        let left = active.json()["expiresIn"].as_i64();
        assert!(left.is_some_and(|left| (4..=6).contains(&left)), "{left:?}");
        used.take(&active);
        if site.with(&jar.header()).get("/api/me").await.status == 401 {
            break;
        }
        assert!(begun.elapsed() < SOON, "the idle session goes on");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    // The stream ends with it, and not when it would say something.
    let end = async { while stream.read().await {} };
    assert!(timeout(Duration::from_secs(5), end).await.is_ok(), "it goes on: {}", stream.text);
}
