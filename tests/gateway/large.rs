//! Lists that are larger than what the gateway keeps in memory.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use portolan_testkit::{
    control_plane::{ControlPlane, ControlPlaneOptions},
    raw::RawAnswer,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
    time::timeout,
};

use super::{
    fake::{BREAKS_OFF, Fake, refusal},
    support::{Gateway, SOON, World, administrator, document, named},
};

const OBJECTS: usize = 40;
const SIZE: usize = 1_000_000;
const QUERY: &str = "{v1{ConfigMaps(namespace:\"large\",fieldselector:\"metadata.name!=kube-root-ca.crt\"){items{metadata{name} data}}}}";
/// Far below three times the list of 38 MB, which is what a copy at each step would take.
const MEMORY_MB: f64 = 32.0;

/// A cluster of its own, since no other test has room for so much. The objects are there once for all tests here.
async fn filled() -> &'static World {
    static FILLED: OnceCell<World> = OnceCell::const_new();
    let fill = async || {
        let cluster = ControlPlane::start(ControlPlaneOptions::named("gateway-large")).await.unwrap();
        let (admin, document) = (administrator(&cluster).await, document(&cluster).await);
        let gateway = Gateway::start("large", &[("a.json", &document)], &[]).await;
        let world = World { cluster, document, gateway, admin };
        world.namespace("large").await;
        for number in 0..OBJECTS {
            let data = Some([("text".to_owned(), text(number))].into());
            let object = ConfigMap { metadata: named(&name(number)), data, ..ConfigMap::default() };
            world.config_maps("large").create(&PostParams::default(), &object).await.unwrap();
        }
        world
    };
    FILLED.get_or_init(fill).await
}

fn name(number: usize) -> String {
    format!("object-{number:02}")
}

fn text(number: usize) -> String {
    format!("{number:02} brown foxes; ").chars().cycle().take(SIZE).collect()
}

fn item(number: usize) -> String {
    format!(r#"{{"metadata":{{"name":"{}"}},"data":{{"text":"{}"}}}}"#, name(number), text(number))
}

/// The body of an answer, and whether it has an end: by its length, or by the last chunk.
fn body_of(answer: &RawAnswer) -> (String, bool) {
    if let [length] = answer.values("content-length")[..] {
        return (answer.text.clone(), length.parse() == Ok(answer.text.len()));
    }
    let (mut body, mut rest) = (String::new(), answer.text.as_str());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}

/// A request that is sent, and not read.
async fn asked(gateway: &Gateway, cluster: &str, token: &str, query: &str) -> TcpStream {
    let body = json!({"query": query}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
    let head = format!(
        "POST /{cluster}/graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_a_list() {
    let world = filled().await;
    let gateway = Gateway::start("one-list", &[("a.json", &world.document)], &[]).await;
    gateway.until("a", &world.admin, "{v1{Namespaces{items{kind}}}}", |answer| answer.status == 200).await;
    let at_rest = gateway.process.rss_mb().unwrap();
    // Makes the kernel forget the most that was resident.
    std::fs::write(format!("/proc/{}/clear_refs", gateway.process.pid()), "5").unwrap();
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": QUERY})).await;
    let peak = gateway.process.peak_rss_mb().unwrap() - at_rest;
    let items: Vec<_> = (0..OBJECTS).map(item).collect();
    let expected = format!(r#"{{"data":{{"v1":{{"ConfigMaps":{{"items":[{}]}}}}}}}}"#, items.join(","));
    let (body, is_whole) = body_of(&answer);
    assert!(is_whole && body == expected, "another answer of {} bytes", body.len());
    assert!(peak < MEMORY_MB, "{peak} MB for a list of {} MB", expected.len() >> 20);
    // In an order that the API server does not have, it is there as a whole first.
    let sorted = QUERY.replace("){items", ",sortBy:\"data.text\"){items");
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": sorted})).await;
    assert!(body_of(&answer) == (expected, true), "the sorted list is another one");
}

/// Many lists at once that nobody reads: they take little memory, and nobody else waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_keep_nobody_waiting() {
    let world = filled().await;
    let gateway = Gateway::start("slow-readers", &[("a.json", &world.document)], &[]).await;
    let small = json!({"query": "{v1{Namespace(name:\"default\"){kind}}}"});
    let at_rest = gateway.process.rss_mb().unwrap();
    let mut readers = Vec::new();
    for _ in 0..10 {
        let mut reader = asked(&gateway, "a", &world.admin, QUERY).await;
        let mut beginning = [0; 1024];
        timeout(SOON, reader.read_exact(&mut beginning)).await.expect("the list begins").unwrap();
        readers.push(reader);
        let answer = timeout(SOON, gateway.post("a", Some(&world.admin), &small)).await;
        assert_eq!(
            answer.expect("others are answered").json()["data"]["v1"]["Namespace"]["kind"],
            "Namespace"
        );
    }
    let memory = gateway.process.rss_mb().unwrap() - at_rest;
    assert!(memory < 10.0 * MEMORY_MB / 2.0, "{memory} MB for readers who do not read");
    // Whoever reads on after a while gets all of it.
    let mut reader = readers.pop().unwrap();
    let (mut read, mut buffer) = (0, vec![0; 1 << 16]);
    while read < OBJECTS * SIZE {
        let count = timeout(SOON, reader.read(&mut buffer)).await.expect("the list goes on").unwrap();
        assert!(count > 0, "the list broke off after {read} bytes");
        read += count;
    }
}

/// Text of a list of widgets, of which the last part is this.
fn widgets(count: usize, end: &str) -> String {
    let item = json!({"metadata": {"name": "w", "namespace": "n"}, "size": "b".repeat(1000)}).to_string();
    let items = vec![item; count].join(",");
    format!(r#"{{"kind":"WidgetList","metadata":{{"resourceVersion":"7"}},"items":[{items}{end}"#)
}

/// What cannot be taken back is no whole answer, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_is_never_taken_for_a_whole_one() {
    let fake = Fake::start(|asked| match asked.path.as_str() {
        "/apis/x.io/v1/namespaces/early/widgets" => (BREAKS_OFF + 200, widgets(10, "")),
        "/apis/x.io/v1/namespaces/late/widgets" => (BREAKS_OFF + 200, widgets(2000, "")),
        "/apis/x.io/v1/namespaces/odd/widgets" => (200, widgets(2000, ",7]}")),
        "/apis/x.io/v1/namespaces/more/widgets" => (200, widgets(2000, "]}]")),
        "/apis/x.io/v1/namespaces/whole/widgets" => (200, widgets(2000, "]}\n")),
        _ => refusal(404, "NotFound", "there is nothing"),
    })
    .await;
    let gateway = Gateway::start("broken", &[("f.json", &fake.document())], &[]).await;
    let query = |namespace: &str, selected: &str| json!({"query": format!("{{x_io{{v1{{Widgets(namespace:\"{namespace}\"){{items{{{selected}}}}}}}}}}}")});
    let early = gateway.post("f", Some("t"), &query("early", "size")).await.json();
    assert_eq!(early["data"], json!({"x_io": {"v1": {"Widgets": null}}}), "{early}");
    assert_eq!(early["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{early}");
    // Nothing has left the gateway yet.
    let nothing = gateway.post("f", Some("t"), &query("late", "__typename")).await;
    assert_eq!(nothing.json()["data"], json!({"x_io": {"v1": {"Widgets": null}}}), "{}", nothing.text);
    // What a connection that breaks off still brings is up to the machine; and nobody knows that the last item is over if
    // nothing follows it.
    for (namespace, items) in [("late", 1..=1999), ("odd", 2000..=2000), ("more", 2000..=2000)] {
        let answer = gateway.post("f", Some("t"), &query(namespace, "size")).await;
        let (body, is_whole) = body_of(&answer);
        assert!(!is_whole, "{namespace}: it has an end");
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{namespace}: {error}"));
        let written = body["data"]["x_io"]["v1"]["Widgets"]["items"].as_array().unwrap();
        assert!(items.contains(&written.len()), "{namespace}: {}", written.len());
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{namespace}");
        assert_eq!(body["errors"][0]["path"], json!(["x_io", "v1", "Widgets"]), "{namespace}");
    }
    let whole = gateway.post("f", Some("t"), &query("whole", "size")).await;
    assert!(body_of(&whole).1, "a list has an end");
    let counted = "portolan_gateway_requests_total{cluster=\"f\",result=\"failed\"} 3";
    let metrics = gateway.process.metrics().await.unwrap();
    assert!(metrics.contains(counted), "{metrics}");
}

/// A server that does not list by name is found out once. Then its lists are put in order as before.
#[tokio::test(flavor = "multi_thread")]
async fn lists_in_another_order_are_put_in_order() {
    let fake = Fake::start(|asked| {
        if asked.path != "/apis/x.io/v1/namespaces/n/widgets" {
            return refusal(404, "NotFound", "there is nothing");
        }
        let item =
            |number: &usize| json!({"metadata": {"name": format!("w{number}")}, "size": "b".repeat(1000)});
        let numbers: Vec<usize> = (1000..1500).chain([999]).chain(1500..2000).collect();
        (200, json!({"metadata": {}, "items": numbers.iter().map(item).collect::<Vec<_>>()}).to_string())
    })
    .await;
    let gateway = Gateway::start("unordered", &[("f.json", &fake.document())], &[]).await;
    let query = json!({"query": "{x_io{v1{Widgets(namespace:\"n\"){items{metadata{name}size}}}}}"});
    let first = gateway.post("f", Some("t"), &query).await;
    assert!(!body_of(&first).1, "it cannot be put in order any more");
    let (body, is_whole) = body_of(&gateway.post("f", Some("t"), &query).await);
    let body: Value = serde_json::from_str(&body).unwrap();
    let items = body["data"]["x_io"]["v1"]["Widgets"]["items"].as_array().unwrap();
    assert!(is_whole && items.len() == 1001 && items[1000]["metadata"]["name"] == "w999", "{}", items.len());
}

/// The limit counts what comes, whatever is kept of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_beyond_the_limit_is_an_error() {
    let world = filled().await;
    let flags = ["--max-response-bytes=5000000"];
    let gateway = Gateway::start("limited", &[("a.json", &world.document)], &flags).await;
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": QUERY})).await;
    let (body, is_whole) = body_of(&answer);
    assert!(!is_whole && body.contains("RESPONSE_TOO_LARGE"), "{} bytes", body.len());
    for query in [
        QUERY.replace("){items", ",sortBy:\"data.text\"){items"),
        QUERY.replace("items{metadata{name} data}", "items{metadata{annotations}} again:items{data}"),
    ] {
        let answer = gateway.post("a", Some(&world.admin), &json!({"query": query})).await.json();
        assert_eq!(answer["data"], json!({"v1": {"ConfigMaps": null}}), "{answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "RESPONSE_TOO_LARGE", "{answer}");
    }
    let some = QUERY.replace("namespace:\"large\"", "namespace:\"large\",limit:2");
    let answer = gateway.post("a", Some(&world.admin), &json!({"query": some})).await;
    assert!(body_of(&answer).1, "a page is whole");
}

/// One object of 1 MB, and questions that would write it 100 times: 95 MB, and as much again where it is put together.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_selected_again_and_again_stays_within_the_limit() {
    let widget = json!({"metadata": {"name": "w", "namespace": "n"}, "size": text(0)});
    let list = json!({"metadata": {"resourceVersion": "7"}, "items": [widget]}).to_string();
    let fake = Fake::start(move |asked| match asked.path.split('?').next() {
        Some("/apis/x.io/v1/namespaces/n/widgets") => (200, list.clone()),
        Some("/apis/x.io/v1/namespaces/n/widgets/w") => (200, widget.to_string()),
        _ => refusal(404, "NotFound", "there is nothing"),
    })
    .await;
    let flags = ["--max-response-bytes=16000000"];
    let gateway = Gateway::start("aliases", &[("f.json", &fake.document())], &flags).await;
    gateway
        .until("f", "t", "{x_io{v1{Widget(namespace:\"n\",name:\"w\"){size}}}}", |answer| {
            answer.status == 200
        })
        .await;
    let many = |what: &dyn Fn(usize) -> String| (0..100).map(what).collect::<String>();
    let sizes = many(&|number| format!("s{number}:size "));
    let gets = many(&|number| format!("g{number}:Widget(namespace:\"n\",name:\"w\"){{size}} "));
    for (what, is_whole) in [
        (format!("Widget(namespace:\"n\",name:\"w\"){{{sizes}}}"), false),
        (format!("Widgets(namespace:\"n\"){{items{{{sizes}}}}}"), false),
        (
            format!("Widgets(namespace:\"n\"){{{}}}", many(&|number| format!("i{number}:items{{size}} "))),
            false,
        ),
        (format!("Widgets(namespace:\"n\",sortBy:\"size\"){{items{{{sizes}}}}}"), false),
        (gets, false),
        ("Widget(namespace:\"n\",name:\"w\"){a:size b:size}".to_owned(), true),
    ] {
        let at_rest = gateway.process.rss_mb().unwrap();
        std::fs::write(format!("/proc/{}/clear_refs", gateway.process.pid()), "5").unwrap();
        let answer =
            gateway.post("f", Some("t"), &json!({"query": format!("{{x_io{{v1{{{what}}}}}}}")})).await;
        let peak = gateway.process.peak_rss_mb().unwrap() - at_rest;
        let begin = &what[..60.min(what.len())];
        assert!(
            peak < 80.0 && answer.text.len() < 17_000_000,
            "{peak} MB, {} bytes: {begin}",
            answer.text.len()
        );
        let codes = answer.json()["errors"].as_array().cloned().unwrap_or_default();
        assert_eq!(codes.is_empty(), is_whole, "{begin}: {codes:?}");
        assert!(codes.iter().all(|error| error["extensions"]["code"] == "RESPONSE_TOO_LARGE"), "{codes:?}");
    }
}
