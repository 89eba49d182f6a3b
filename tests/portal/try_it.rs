//! Requests that people try out: to a real server over TLS, with a key that stays where it is.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use portolan_testkit::{eventually, raw::RawAnswer, toystore, workdir::Workdir};
use serde_json::{Value, json};

use crate::{
    outside::{Answer, Asked, Outside},
    scene::{Place, SOON, Stage},
    site::{Caller, Site},
};

const TRY: &str = "/api/kuadrant/try";
const LARGE: usize = 3 * 1024 * 1024;

/// An API that sends back what it was sent, and misbehaves where it is asked to.
fn api(asked: &Asked) -> Answer {
    let echo = format!("{}\n{}", asked.head, asked.body);
    let key = asked.header("authorization").unwrap_or_default();
    match asked.target() {
        "/hangs" => None,
        "/large" => Some((200, String::new(), vec![b'x'; LARGE])),
        "/away" => Some((302, "location: https://evil.example/\r\n".to_owned(), Vec::new())),
        _ => {
            let encoded = BASE64_STANDARD.encode(key.trim_start_matches("APIKEY "));
            let headers = format!("x-echo: {key}\r\nset-cookie: session=of-the-api\r\n");
            Some((200, headers, format!("{echo}\n{encoded}").into_bytes()))
        }
    }
}

/// The API, and a portal that reaches it.
struct Harbour {
    api: Outside,
    site: Site,
    _files: Workdir,
}

async fn harbour(stage: &Stage, networks: &str) -> Harbour {
    let (api, ca) = Outside::start_tls(api).await;
    let files = Workdir::new("portal-try").unwrap();
    let ca = files.write_private("ca.crt", &ca).unwrap();
    let flags = [
        format!("--try-gateway={}", api.url),
        format!("--try-ca-file={}", ca.display()),
        format!("--try-allowed-cidrs={networks}"),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &flags).await;
    Harbour { api, site, _files: files }
}

fn trial(place: &Place<'_>, path: &str, more: &[(&str, Value)]) -> Value {
    let mut body = json!({"namespace": place.namespace, "name": "toys", "method": "GET", "path": path});
    for (member, value) in more {
        body[*member] = value.clone();
    }
    body
}

fn tried(answer: &RawAnswer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_request_goes_out_with_the_caller_s_key_and_the_key_never_comes_back() {
    let stage = Stage::shared().await;
    let place = stage.toystore("tried").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    let value = place.revealed("alice", &key).await;
    let Harbour { api, site, .. } = harbour(stage, "127.0.0.0/8").await;
    let alice = site.by(&stage.login, "alice");
    let more = [
        ("key", json!({"namespace": "tried", "name": key})),
        ("method", json!("POST")),
        ("query", json!({"a": "b c"})),
        ("headers", json!({"X-Mine": "1"})),
        ("body", json!("{\"n\": 1}")),
        ("host", json!("api.toystore.com")),
    ];
    let answer = alice.post(TRY, &trial(&place, "/pets/7", &more)).await;
    let told = tried(&answer);
    let sent = api.asked().pop().unwrap();
    assert!(sent.head.starts_with("POST /pets/7?a=b+c HTTP/1.1\r\n"), "{}", sent.head);
    assert_eq!(sent.header("authorization"), Some(format!("APIKEY {value}").as_str()));
    assert_eq!((sent.header("host"), sent.header("x-mine")), (Some("api.toystore.com"), Some("1")));
    assert_eq!((sent.header("cookie"), sent.body.as_str()), (None, "{\"n\": 1}"));
    assert_eq!((&told["status"], &told["truncated"]), (&json!(200), &json!(false)), "{told}");
    assert!(told["body"].as_str().unwrap().contains("POST /pets/7") && told["tookMs"].is_u64(), "{told}");
    // What the API sends back of the key, in a header and in its body, is masked.
    assert!(told.to_string().contains("APIKEY •••"), "{told}");
    for form in [value.clone(), BASE64_STANDARD.encode(&value).trim_end_matches('=').to_owned()] {
        assert!(!answer.text.contains(&form) && !answer.head.contains(&form), "{}", answer.text);
        assert!(!site.service.log_tail(usize::MAX).contains(&form));
    }
    assert!(!answer.text.contains("of-the-api") && answer.values("set-cookie").is_empty(), "{}", answer.text);
    // Without a key, none is sent.
    tried(&alice.post(TRY, &trial(&place, "/pets/7", &[])).await);
    assert_eq!(api.asked().pop().unwrap().header("authorization"), None);
}

#[tokio::test]
async fn what_is_not_the_caller_s_or_the_product_s_is_not_tried() {
    let stage = Stage::shared().await;
    let place = stage.toystore("untried").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    place.publish("owner1", "others", &json!({"approvalMode": "automatic"})).await;
    let hidden = place.product("hidden", &json!({"publishStatus": "Draft"}));
    let owner = stage.portal.by(&stage.login, "owner1");
    assert_eq!(owner.post("/api/kuadrant/apiproducts", &hidden).await.status, 201);
    let (key, other) = (place.ask("alice", "toys").await, place.ask("alice", "others").await);
    place.revealed("alice", &key).await;
    place.revealed("alice", &other).await;
    let Harbour { api, site, .. } = harbour(stage, "127.0.0.0/8").await;
    let (alice, bob) = (site.by(&stage.login, "alice"), site.by(&stage.login, "bob"));
    let of = |name: &str| ("key", json!({"namespace": "untried", "name": name}));
    let table: [(&Caller<'_>, Value, &[u16]); 15] = [
        (&alice, trial(&place, "/", &[("host", json!("evil.example"))]), &[422]),
        (&alice, trial(&place, "/", &[("host", json!("127.0.0.1"))]), &[422]),
        (&alice, trial(&place, "/", &[of(&other)]), &[400]),
        (&bob, trial(&place, "/", &[of(&key)]), &[403]),
        (&alice, trial(&place, "/", &[("name", json!("hidden"))]), &[404]),
        (&alice, trial(&place, "/", &[("name", json!("nothing"))]), &[404]),
        (&alice, trial(&place, "/../x", &[]), &[400]),
        (&alice, trial(&place, "//evil.example", &[]), &[400]),
        (&alice, trial(&place, "/%2e%2e/x", &[]), &[400]),
        (&alice, trial(&place, "/a b", &[]), &[400]),
        (&alice, trial(&place, "/", &[("method", json!("TRACE"))]), &[400]),
        (&alice, trial(&place, "/", &[("headers", json!({"Host": "evil.example"}))]), &[400]),
        (&alice, trial(&place, "/", &[("headers", json!({"Cookie": "a=b"}))]), &[400]),
        (&alice, trial(&place, "/", &[("headers", json!({"a": "b\r\nc: d"}))]), &[400]),
        (&site.with(""), trial(&place, "/", &[]), &[401]),
    ];
    for (who, body, expected) in &table {
        let answer = who.post(TRY, body).await;
        assert!(expected.contains(&answer.status), "{body}: {} {}", answer.status, answer.text);
        Caller::is_problem(&answer, answer.status);
    }
    assert_eq!(api.asked().len(), 0, "nothing was sent: {:?}", api.asked());
    tried(&alice.post(TRY, &trial(&place, "/", &[of(&key)])).await);
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test]
async fn where_names_are_wildcards_the_caller_chooses_the_host() {
    let stage = Stage::shared().await;
    let place = stage.toystore("wild").await;
    let names = json!({"hostnames": ["*.toys.example"]});
    toystore::write(&stage.client(), "HTTPRoute", ("wild", "wild"), &names, &json!({})).await.unwrap();
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "wild", "namespace": "wild"});
    let product = place.product("toys", &json!({"targetRef": target}));
    let owner = stage.portal.by(&stage.login, "owner1");
    assert_eq!(owner.post("/api/kuadrant/apiproducts", &product).await.status, 201);
    let Harbour { api, site, .. } = harbour(stage, "127.0.0.0/8").await;
    let alice = site.by(&stage.login, "alice");
    let told = async || {
        let product = alice.get("/api/kuadrant/apiproducts/wild/toys").await.json();
        (product["hostnames"] == json!(["*.toys.example"])).then_some(())
    };
    eventually("the host names are told", SOON, told).await.unwrap();
    let unsaid = alice.post(TRY, &trial(&place, "/", &[])).await;
    Caller::is_problem(&unsaid, 422);
    assert!(unsaid.text.contains("choose a host"), "{}", unsaid.text);
    for foreign in ["toys.example", "*.toys.example", "toys.example.evil"] {
        Caller::is_problem(&alice.post(TRY, &trial(&place, "/", &[("host", json!(foreign))])).await, 422);
    }
    assert_eq!(api.asked().len(), 0);
    tried(&alice.post(TRY, &trial(&place, "/", &[("host", json!("cat.toys.example"))])).await);
    assert_eq!(api.asked().pop().unwrap().header("host"), Some("cat.toys.example"));
}

#[tokio::test]
async fn requests_reach_no_private_address_and_never_the_api_server() {
    let stage = Stage::shared().await;
    let place = stage.toystore("inward").await;
    place.publish("owner1", "toys", &json!({})).await;
    let Harbour { api, site, .. } = harbour(stage, "10.0.0.0/8").await;
    let refused = site.by(&stage.login, "alice").post(TRY, &trial(&place, "/", &[])).await;
    Caller::is_problem(&refused, 502);
    assert!(refused.text.contains("a loopback address is refused"), "{}", refused.text);
    assert_eq!(api.asked().len(), 0);
    let gateway = format!("--try-gateway={}", stage.plane.server_url());
    let flags = [gateway.as_str(), "--try-allowed-cidrs=127.0.0.0/8"];
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &flags).await;
    let refused = site.by(&stage.login, "alice").post(TRY, &trial(&place, "/version", &[])).await;
    Caller::is_problem(&refused, 502);
    assert!(refused.text.contains("own API server's"), "{}", refused.text);
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &["--try-it=false"]).await;
    let off = site.by(&stage.login, "alice");
    assert_eq!(off.post(TRY, &trial(&place, "/", &[])).await.status, 404);
    assert_eq!(off.get("/api/me").await.json()["features"]["tryIt"], false);
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time_and_leads_nowhere() {
    let stage = Stage::shared().await;
    let place = stage.toystore("bounded").await;
    place.publish("owner1", "toys", &json!({})).await;
    let Harbour { api, site, .. } = harbour(stage, "127.0.0.0/8").await;
    let alice = site.by(&stage.login, "alice");
    let large = tried(&alice.post(TRY, &trial(&place, "/large", &[])).await);
    let length = large["body"].as_str().unwrap().len();
    assert_eq!((length, &large["truncated"]), (1024 * 1024, &json!(true)));
    let away = tried(&alice.post(TRY, &trial(&place, "/away", &[])).await);
    assert_eq!(away["status"], 302, "{away}");
    assert!(away["headers"].to_string().contains("https://evil.example/"), "it is shown: {away}");
    let (before, begun) = (api.asked().len(), Instant::now());
    let late = alice.post(TRY, &trial(&place, "/hangs", &[])).await;
    Caller::is_problem(&late, 502);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(api.asked().len(), before + 1, "it is not sent again");
}
