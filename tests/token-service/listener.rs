//! Bad requests to a listener: odd paths and hosts, and HTTP/1.1 as it may be spoken.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{SOON, Service, clusters, http, path, review_body};

const BY_HOST: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn service(name: &str) -> (Service, String) {
    let clusters = clusters().await;
    let config = format!("clusters:\n{}", clusters.entry("a", "a", ""));
    let service = clusters.service(name, &config).await;
    let token = clusters.a.token_for("default", "app", &["x"], 600).await.unwrap();
    (service, token)
}

#[tokio::test]
async fn every_answer_that_is_no_review_is_a_status() {
    let (service, token) = service("listener").await;
    let body = review_body(&token, &["x"]).to_string();
    let doubled = format!("/{BY_HOST}");
    let table = [
        ("GET", "/", 404, "NotFound"),
        ("GET", "/nothing", 404, "NotFound"),
        ("GET", "//apis", 404, "NotFound"),
        ("POST", &doubled, 404, "NotFound"),
        ("POST", "/apis", 404, "NotFound"),
        ("GET", "/apis/", 404, "NotFound"),
        ("POST", "/clusters/a/apis/authentication.k8s.io/v2/tokenreviews", 404, "NotFound"),
        ("POST", "/clusters/%ff/apis/authentication.k8s.io/v1/tokenreviews", 404, "NotFound"),
        ("POST", "/apis/authentication.k8s.io/%ff/tokenreviews", 404, "NotFound"),
        ("POST", "/auto/apis/authentication.k8s.io/%ff/tokenreviews", 404, "NotFound"),
        ("DELETE", "/clusters", 405, "MethodNotAllowed"),
        ("GET", BY_HOST, 405, "MethodNotAllowed"),
    ];
    for (method, path, status, reason) in table {
        let answer = http(service.port, method, path, "api.a.kube-fed", "", body.as_bytes()).await;
        assert_eq!((answer.status, &answer.body["kind"]), (status, &"Status".into()), "{method} {path}");
        assert_eq!((&answer.body["reason"], &answer.body["code"]), (&reason.into(), &status.into()));
        assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
    }
    for path in [path("a") + "/", path("a") + "//", path("a") + "/?timeout=30s"] {
        assert!(service.review_at(&path, "x", &token, &["x"]).await.authenticated(), "{path}");
    }
    for path in ["/clusters/", "/health/"] {
        assert_eq!(service.send("GET", path, "x", "", b"").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_host_is_one_and_may_have_an_empty_port() {
    let (service, token) = service("hosts").await;
    for host in ["api.a.kube-fed", "api.a.kube-fed:", "api.a.kube-fed:8080", "API.a.kube-fed.:"] {
        assert!(service.review_at(BY_HOST, host, &token, &["x"]).await.authenticated(), "{host}");
    }
    assert_eq!(service.review_at(BY_HOST, "api.a.kube-fed:+80", &token, &["x"]).await.status, 400);
    let body = review_body(&token, &["x"]).to_string();
    let by_path = path("a");
    let routes =
        [("POST", BY_HOST), ("POST", &by_path), ("GET", "/clusters"), ("GET", "/health"), ("GET", "/x")];
    for (method, path) in routes {
        for second in ["api.a.kube-fed", "api.b.kube-fed"] {
            let more = format!("host: {second}\r\n");
            let answer = service.send(method, path, "api.a.kube-fed", &more, body.as_bytes()).await;
            assert_eq!((answer.status, &answer.body["kind"]), (400, &"Status".into()), "{method} {path}");
        }
    }
}

/// A connection that is read until as many answers as wanted have come, or it ends.
struct Conversation {
    stream: TcpStream,
    heard: String,
}

impl Conversation {
    async fn with(port: u16) -> Self {
        Self { stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap(), heard: String::new() }
    }

    async fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits for a text.
    async fn hears(&mut self, text: &str, times: usize) {
        let mut buffer = [0; 4096];
        while self.heard.matches(text).count() < times {
            let read = timeout(SOON, self.stream.read(&mut buffer)).await;
            let read = read.map_err(|_| format!("{text:?} did not come: {}", self.heard)).unwrap().unwrap();
            assert!(read > 0, "{text:?} did not come: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    fn statuses(&self) -> Vec<&str> {
        self.heard.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
    }
}

fn question(body: &str, headers: &str) -> String {
    let length = body.len();
    format!("POST {} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n", path("a"))
}

#[tokio::test]
async fn pipelined_questions_are_answered_in_turn() {
    let (service, token) = service("pipeline").await;
    let (good, bad) = (review_body(&token, &["x"]).to_string(), review_body("a.b.c", &["x"]).to_string());
    let mut talk = Conversation::with(service.port).await;
    let all = [&good, &bad, &good].map(|body| question(body, "") + body).concat();
    talk.says(&all).await;
    talk.hears("\"kind\":\"TokenReview\"", 3).await;
    talk.hears("\"authenticated\":true", 2).await;
    assert_eq!(talk.statuses(), ["200", "200", "200"], "{}", talk.heard);
    let answers = talk.heard.split("HTTP/1.1 ").skip(1);
    let accepted: Vec<_> = answers.map(|answer| answer.contains("\"authenticated\":true")).collect();
    assert_eq!(accepted, [true, false, true], "{}", talk.heard);
}

#[tokio::test]
async fn an_upgrade_that_is_not_made_is_no_harm() {
    let (service, token) = service("upgrade").await;
    let body = review_body(&token, &["x"]).to_string();
    let upgrades = [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
    ];
    for headers in upgrades {
        let mut talk = Conversation::with(service.port).await;
        talk.says(&(question(&body, headers) + &body)).await;
        talk.hears("\"authenticated\":true", 1).await;
        // The connection goes on as it was.
        talk.says(&(question(&body, "") + &body)).await;
        talk.hears("\"authenticated\":true", 2).await;
        assert_eq!(talk.statuses(), ["200", "200"], "{}", talk.heard);
    }
}

#[tokio::test]
async fn who_waits_for_a_word_gets_one() {
    let (service, token) = service("expect").await;
    let body = review_body(&token, &["x"]).to_string();
    let mut talk = Conversation::with(service.port).await;
    talk.says(&question(&body, "expect: 100-continue\r\n")).await;
    talk.hears("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    talk.says(&body).await;
    talk.hears("\"authenticated\":true", 1).await;
    assert_eq!(talk.statuses(), ["100", "200"], "{}", talk.heard);
    // What is refused for its length is not asked for.
    let mut talk = Conversation::with(service.port).await;
    let long = " ".repeat(3 * 1024 * 1024);
    talk.says(&question(&long, "expect: 100-continue\r\n")).await;
    talk.hears("\"code\":413", 1).await;
    assert_eq!(talk.statuses(), ["413"], "{}", talk.heard);
    // What has no length is asked for, and then sent to its end whatever the answer is.
    let mut talk = Conversation::with(service.port).await;
    let headers = "host: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked";
    talk.says(&format!("POST {} HTTP/1.1\r\n{headers}\r\n\r\n", path("a"))).await;
    talk.hears("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    for part in long.as_bytes().chunks(256 * 1024) {
        let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        talk.stream.write_all(&chunk).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    talk.says("0\r\n\r\n").await;
    talk.hears("\"code\":413", 1).await;
    assert_eq!(talk.statuses(), ["100", "413"], "{}", talk.heard);
}

#[tokio::test]
async fn an_early_answer_arrives_while_the_body_still_comes() {
    let (service, token) = service("early").await;
    let long = " ".repeat(2 * 1024 * 1024);
    let nowhere = format!("POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", long.len());
    let twice = question(&long, "host: y\r\n");
    for (head, status) in [(question(&long, ""), "413"), (nowhere, "404"), (twice, "400")] {
        let mut talk = Conversation::with(service.port).await;
        // Slow enough that the answer is there long before the end, and read by nobody until then.
        talk.says(&head).await;
        for part in long.as_bytes().chunks(256 * 1024) {
            talk.stream.write_all(part).await.unwrap_or_else(|error| panic!("{status}: {error}"));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        talk.hears("\"kind\":\"Status\"", 1).await;
        assert_eq!(talk.statuses(), [status], "{}", talk.heard);
        let (_, text) = talk.heard.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap()["status"], "Failure");
    }
    assert!(service.review("a", &token, &["x"]).await.authenticated());
}
