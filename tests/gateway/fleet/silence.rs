//! Clusters that do not answer: nobody waits for them who need not, and a token goes where it is meant to go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use portolan_testkit::raw::RawAnswer;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    fake::{Asked, Fake, Reply, document, refusal, widgets},
    support::Gateway,
};

const LIST: &str = "x_io{v1{Widgets(namespace:\"n\"){items{size}}}}";
/// The longest that a silent server keeps a request.
const AGES: Duration = Duration::from_secs(20);

/// A server that answers, and one that accepts connections only.
struct Two {
    gateway: Gateway,
    live: Fake,
    _dead: TcpListener,
}

impl Two {
    async fn start(name: &str, patience: &str) -> Self {
        let live = Fake::start(answered).await;
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("https://127.0.0.1:{}", dead.local_addr().unwrap().port());
        let mut of_live = live.document();
        let mut of_dead = document(&host, &of_live["x-cluster-metadata"]["ca"]);
        of_live["x-cluster-metadata"]["labels"] = json!({"env": "live"});
        of_dead["x-cluster-metadata"]["labels"] = json!({"env": "dead"});
        let documents = [("live", &of_live), ("dead", &of_dead)];
        let patience = format!("--fleet-timeout={patience}");
        let gateway = Gateway::start(name, &documents, &[&patience]).await;
        Self { gateway, live, _dead: dead }
    }

    async fn ask(&self, token: &str, query: &str) -> RawAnswer {
        self.gateway.post("fleet", Some(token), &json!({"query": query})).await
    }
}

fn answered(asked: &Asked) -> Reply {
    if asked.path.contains("/widgets") {
        return (200, widgets(&["w"]));
    }
    if asked.has_token("stranger") {
        return refusal(401, "Unauthorized", "Unauthorized");
    }
    refusal(404, "NotFound", "there is nothing")
}

fn code(answer: &RawAnswer) -> Value {
    answer.json()["errors"][0]["extensions"]["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_yes_is_enough() {
    let two = Two::start("fleet-yes", "20s").await;
    let begin = Instant::now();
    for (token, body, expected) in [
        ("a", json!({"query": "{"}), json!("GRAPHQL_PARSE_FAILED")),
        ("b", json!({"query": "{nonsense}"}), json!("GRAPHQL_VALIDATION_FAILED")),
        ("c", json!({"query": "{clusters(selector:\"env=none\"){name}}"}), Value::Null),
        ("d", json!([]), json!("BAD_REQUEST")),
    ] {
        let answer = two.gateway.post("fleet", Some(token), &body).await;
        assert_eq!(code(&answer), expected, "{body}: {}", answer.text);
    }
    assert!(begin.elapsed() < Duration::from_secs(15), "it was waited for the other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_no_further_than_it_has_to() {
    let two = Two::start("fleet-token", "2s").await;
    let row = json!([{"name": "dead", "error": "the cluster did not answer in time"}]);
    let selected = two.ask("a", "{clusters(selector:\"env=dead\"){name error}}").await;
    assert_eq!(selected.json()["data"]["clusters"], row, "{}", selected.text);

    let before = two.live.count();
    let named = "{clusters(names:\"dead\"){name error}}";
    let unknown = two.ask("b", named).await;
    assert_eq!(code(&unknown), "TIMEOUT", "{}", unknown.text);
    assert_eq!(two.live.count(), before, "the token went to a cluster that is not named");
    let known = two.ask("a", named).await;
    assert_eq!(known.json()["data"]["clusters"], row, "{}", known.text);

    let refused = two.ask("stranger", "{clusters(names:[\"live\",\"nowhere\"]){name}}").await;
    assert_eq!((refused.status, code(&refused)), (401, json!("UNAUTHENTICATED")), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn who_is_known_waits_once_for_a_cluster_that_says_nothing_more() {
    let holds = Arc::<AtomicBool>::default();
    let held = |is_mute: bool| {
        let holds = Arc::clone(&holds);
        move |asked: &Asked| {
            let begin = Instant::now();
            let is_held = is_mute || asked.path.contains("/widgets");
            tokio::task::block_in_place(|| {
                while is_held && holds.load(Ordering::SeqCst) && begin.elapsed() < AGES {
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            answered(asked)
        }
    };
    let (mute, slow) = (Fake::start(held(true)).await, Fake::start(held(false)).await);
    let documents = [("mute", mute.document()), ("slow", slow.document())];
    let documents = documents.each_ref().map(|(name, document)| (*name, document));
    let gateway = Gateway::start("fleet-mute", &documents, &["--fleet-timeout=4s"]).await;
    let ask = async |name: &str| {
        let query = format!("{{clusters(names:\"{name}\"){{error {LIST}}}}}");
        let begin = Instant::now();
        let answer = gateway.post("fleet", Some("known"), &json!({"query": query})).await.json();
        (answer["data"]["clusters"][0]["error"].clone(), begin.elapsed())
    };
    for name in ["mute", "slow"] {
        assert_eq!(ask(name).await.0, Value::Null, "{name}");
    }
    holds.store(true, Ordering::SeqCst);
    let (first, second) = (ask("mute").await, ask("mute").await);
    let (third, fourth) = (ask("slow").await, ask("slow").await);
    holds.store(false, Ordering::SeqCst);
    for (answer, least, most) in [(first, 4, 7), (second, 1, 3), (third, 4, 7), (fourth, 4, 7)] {
        assert_eq!(answer.0, "the cluster did not answer in time");
        assert!((least..most).contains(&answer.1.as_secs()), "{:?} is not {least} s to {most} s", answer.1);
    }
}
