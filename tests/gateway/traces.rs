//! Traces: a collector that speaks OTLP over HTTP gets the spans of requests and of the calls made for them.

mod collector;

use std::time::{Duration, Instant};

use portolan_testkit::{ServiceOptions, eventually, service};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::collector::{Collector, Seen};
use super::{
    fake::{Fake, refusal, widgets},
    support::{Gateway, SOON},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const QUERY: &str = "query Two{x_io{v1{one:Widgets(namespace:\"n\"){items{size}} two:Widgets(namespace:\"n\",labelselector:\"a=secret-label\"){items{size}}}}}";

/// A server with widgets.
async fn server() -> Fake {
    Fake::start(|asked| match asked.path.split('?').next() {
        Some("/apis/x.io/v1/namespaces/n/widgets") => (200, widgets(&["w"])),
        _ => refusal(404, "NotFound", "there is nothing"),
    })
    .await
}

async fn ask(gateway: &Gateway, traceparent: Option<&str>) -> Value {
    let headers = traceparent.map(|value| format!("traceparent: {value}\r\n")).unwrap_or_default();
    let body = json!({"query": QUERY}).to_string();
    let answer = gateway.post_with("f", Some("secret-token"), &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn caller(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

fn child<'a>(spans: &'a [Seen], parent: &Seen, path: &str) -> Vec<&'a Seen> {
    let is_child = |span: &&Seen| span.parent == parent.id && span.attributes["url.path"] == path;
    spans.iter().filter(is_child).collect()
}

/// The spans of a query with two calls, each the child of whoever has made it.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_one_trace_from_the_caller_to_the_api_server() {
    let (fake, collector) = (server().await, Collector::start().await);
    let flag = format!("--otlp-endpoint={}", collector.url());
    let gateway = Gateway::start("traced", &[("f.json", &fake.document())], &[&flag]).await;
    let answer = ask(&gateway, Some(&caller("01"))).await;
    assert_eq!(answer["data"]["x_io"]["v1"]["two"]["items"][0]["size"], "big", "{answer}");
    let spans = collector.until(TRACE, 4).await;
    let request = spans.iter().find(|span| span.parent == CALLER).expect("a span for the request");
    assert_eq!((request.name.as_str(), request.is_server), ("/{cluster}/graphql", true));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("graphql.operation.type", "query"),
        ("graphql.operation.name", "Two"),
        ("portolan.cluster", "f"),
    ] {
        assert_eq!(request.attributes[key], value, "{request:?}");
    }
    let lists = child(&spans, request, "/apis/x.io/v1/namespaces/n/widgets");
    assert_eq!(lists.len(), 2, "{spans:?}");
    let review = child(&spans, request, "/apis/authentication.k8s.io/v1/selfsubjectreviews");
    assert_eq!(review.len(), 1, "{spans:?}");
    for call in lists.iter().chain(&review) {
        assert!(!call.is_server && call.begin >= request.begin && call.end <= request.end, "{call:?}");
        assert_eq!(call.service, "portolan-gateway");
    }
    assert_eq!(lists[0].name, "list");
    // The API server hears of the very span that calls it.
    let asked = fake.take();
    assert_eq!(asked.len(), 2);
    for list in lists {
        let told = format!("traceparent: 00-{TRACE}-{}-01\r\n", list.id);
        assert_eq!(asked.iter().filter(|asked| asked.headers.contains(&told)).count(), 1, "{asked:?}");
    }
    let all = collector.text();
    for secret in ["secret-token", "secret-label", "big", "Widgets("] {
        assert!(!all.contains(secret), "{secret} is in a span");
    }
}

/// What is not to be traced is not sent, and the API server hears so.
#[tokio::test(flavor = "multi_thread")]
async fn callers_decide_what_is_traced_and_otherwise_a_share() {
    let (fake, collector) = (server().await, Collector::start().await);
    let flags = [format!("--otlp-endpoint={}", collector.url()), "--otlp-ratio=0".to_owned()];
    let flags = flags.each_ref().map(String::as_str);
    let gateway = Gateway::start("shared-traces", &[("f.json", &fake.document())], &flags).await;
    for (traceparent, flags) in
        [(None, "-00\r\n"), (Some(caller("00")), "-00\r\n"), (Some(caller("01")), "-01\r\n")]
    {
        ask(&gateway, traceparent.as_deref()).await;
        for asked in fake.take() {
            let told = asked.headers.split("traceparent: ").nth(1).unwrap_or_else(|| panic!("{asked:?}"));
            let end = told.find("\r\n").unwrap() + 2;
            assert!(told[..end].ends_with(flags), "{traceparent:?}: {told}");
        }
    }
    // The last request is traced; had the others been, their spans would have come before.
    let spans = collector.until(TRACE, 3).await;
    assert!(collector.all().iter().all(|span| span.trace == TRACE), "{spans:?}");
    assert_eq!(spans.iter().filter(|span| span.is_server).count(), 1, "{spans:?}");
    // Without a collector, nobody is told of a trace.
    let plain = Gateway::start("untraced", &[("f.json", &fake.document())], &[]).await;
    ask(&plain, Some(&caller("01"))).await;
    let asked = fake.take();
    assert!(
        asked.len() == 2 && asked.iter().all(|asked| !asked.headers.contains("traceparent")),
        "{asked:?}"
    );
}

/// A collector that takes connections and never answers: more spans than wait, and nobody waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_collector_delays_nothing() {
    let fake = server().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flag = format!("--otlp-endpoint=http://{}", silent.local_addr().unwrap());
    let gateway = Gateway::start("silent-collector", &[("f.json", &fake.document())], &[&flag]).await;
    ask(&gateway, None).await;
    let query = "{x_io{v1{Widget(name:\"w\",namespace:\"n\"){size}}}}";
    let aliases: Vec<_> =
        (0..100).map(|number| format!("w{number}:Widgets(namespace:\"n\"){{items{{size}}}}")).collect();
    let many = json!({"query": format!("{{x_io{{v1{{{}}}}}}}", aliases.concat())});
    // 60 requests with 101 spans each: three times the queue.
    let mut slowest = Duration::ZERO;
    for _ in 0..60 {
        let begin = Instant::now();
        let answer = gateway.post("f", Some("secret-token"), &many).await.json();
        assert_eq!(answer["data"]["x_io"]["v1"]["w99"]["items"][0]["size"], "big", "{answer}");
        slowest = slowest.max(begin.elapsed());
    }
    let begin = Instant::now();
    let answer = gateway.post("f", Some("secret-token"), &json!({"query": query})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    // A queue that makes requests wait would do so for the five seconds of a try.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    // All but the 2,048 that may wait.
    eventually("spans that find the queue full are not counted", SOON, async || {
        let metrics = gateway.process.metrics().await.unwrap();
        let counted = metrics
            .lines()
            .find_map(|line| line.strip_prefix("portolan_gateway_spans_total{result=\"lost\"} "));
        counted.is_some_and(|counted| counted.parse::<f64>().unwrap() >= 3900.0).then_some(())
    })
    .await
    .unwrap();
    let begin = Instant::now();
    gateway.process.terminate(SOON).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?} to stop", begin.elapsed());
}

/// `gateway check` sends the collector an empty request.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_the_collector() {
    let (collector, closed) = (Collector::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = closed.local_addr().unwrap();
    drop(closed);
    let secure = collector.url().replace("http:", "https:");
    for (url, marked) in [(collector.url(), "[+]"), (format!("http://{address}"), "[-]"), (secure, "[-]")] {
        let options =
            ServiceOptions::new("gateway", "").args(["--plain-http", "--otlp-endpoint", &url, "check"]);
        let checked = service::run(&options, SOON).await.unwrap();
        let line = format!("{marked} collector of traces {url}/v1/traces");
        assert!(checked.stdout.lines().any(|told| told.starts_with(&line)), "{line}: {}", checked.stdout);
    }
}
