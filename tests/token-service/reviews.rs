//! Questions and answers: by host, by path, automatic, for audiences, in both versions and both forms.

use k8s_openapi::api::authentication::v1::TokenReview;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{Answered, Service, clusters, http, path, review_body};

const BY_HOST: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// One service that these tests share.
pub async fn service() -> &'static Service {
    static SHARED: OnceCell<Service> = OnceCell::const_new();
    let start = || async {
        let clusters = clusters().await;
        let config = format!(
            "clusters:\n{}{}{}{}{}auto: {{hosts: [tokens.test]}}\nroutes:\n\
             - {{path: /clusters/prefixed, usernamePrefix: '{{cluster}}:'}}\n",
            clusters.entry("local", "b", ""),
            clusters.entry("a", "a", ""),
            clusters.entry("prefixed", "b", ""),
            clusters.entry("review", "a", ", mode: review"),
            clusters.entry("any", "b", ", audiences: ['*']"),
        );
        Box::pin(clusters.service("reviews", &config)).await
    };
    SHARED.get_or_init(start).await
}

async fn token(audiences: &[&str]) -> String {
    clusters().await.a.token_for("default", "app", audiences, 600).await.unwrap()
}

fn assert_accepted(answer: &Answered) {
    assert!(answer.status == 200 && answer.authenticated(), "{answer:?}");
}

#[tokio::test]
async fn a_token_is_reviewed_by_host_and_by_path() {
    let (service, token) = (service().await, token(&["mariadb"]).await);
    let by_path = service.review("a", &token, &["other", "mariadb"]).await;
    let by_host =
        service.review_at(BY_HOST, "API.A.kube-fed.svc.cluster.local:443", &token, &["mariadb"]).await;
    for answer in [&by_path, &by_host] {
        assert_accepted(answer);
        let status = &answer.body["status"];
        assert_eq!(status["user"]["username"], "system:serviceaccount:default:app");
        assert_eq!(
            status["user"]["groups"],
            json!(["system:serviceaccounts", "system:serviceaccounts:default"])
        );
        assert_eq!(status["audiences"], json!(["mariadb"]));
        assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/cluster-name"], json!(["a"]));
        assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
        assert!(!answer.body.to_string().contains(&token), "the token is never echoed");
    }
}

#[tokio::test]
async fn the_wrong_cluster_refuses_although_the_issuer_is_the_same() {
    let (service, token) = (service().await, token(&[]).await);
    let answer = service.review_at(BY_HOST, "api.kube-fed", &token, &[]).await;
    assert_eq!((answer.status, answer.authenticated()), (200, false));
    assert_eq!(answer.error(), "token signature verification failed");
    let unknown = service.review("nowhere", &token, &[]).await;
    assert_eq!((unknown.status, unknown.error()), (200, "cluster not found: nowhere"));
}

#[tokio::test]
async fn an_unmappable_host_is_an_error() {
    let (service, token) = (service().await, token(&[]).await);
    for host in ["evil.test", "localhost:8080", "api.example.com", ""] {
        let answer = service.review_at(BY_HOST, host, &token, &[]).await;
        assert_eq!(answer.status, 400, "{host:?}");
        assert_eq!(answer.error(), "unable to determine cluster from host header", "{host:?}");
    }
    let twice = service
        .send(
            "POST",
            BY_HOST,
            "api.a.kube-fed",
            "host: api.kube-fed\r\n",
            review_body(&token, &[]).to_string().as_bytes(),
        )
        .await;
    assert_eq!(twice.status, 400);
    let forwarded = service
        .send(
            "POST",
            BY_HOST,
            "evil.test",
            "x-forwarded-host: api.a.kube-fed\r\n",
            review_body(&token, &[]).to_string().as_bytes(),
        )
        .await;
    assert_eq!(forwarded.status, 400);
}

#[tokio::test]
async fn es256_tokens_are_reviewed() {
    let token = clusters().await.b.token_for("default", "app", &["x"], 600).await.unwrap();
    assert_accepted(&service().await.review("local", &token, &["x"]).await);
}

#[tokio::test]
async fn audiences_are_an_intersection_and_the_issuer_by_default() {
    let (service, own, other) = (service().await, token(&[]).await, token(&["mariadb"]).await);
    let by_default = service.review("a", &own, &[]).await;
    assert_accepted(&by_default);
    assert_eq!(by_default.body["status"]["audiences"], json!([crate::support::ISSUER]));
    for audiences in [&[][..], &["vault"]] {
        let refused = service.review("a", &other, audiences).await;
        assert!(!refused.authenticated() && refused.error().contains("do not match"), "{refused:?}");
    }
    let foreign = clusters().await.b.token_for("default", "app", &["q"], 600).await.unwrap();
    let any = service.review("any", &foreign, &[]).await;
    assert_accepted(&any);
    assert_eq!(any.body["status"]["audiences"], json!(["q"]));
}

#[tokio::test]
async fn the_version_of_the_question_is_that_of_the_answer() {
    let (service, token) = (service().await, token(&["x"]).await);
    let mut body = review_body(&token, &["x"]);
    body["apiVersion"] = json!("authentication.k8s.io/v1beta1");
    body["metadata"] = json!({"creationTimestamp": null});
    body["status"] = json!({"user": {}});
    let path = path("a").replace("/v1/", "/v1beta1/");
    let answer =
        service.send("POST", &format!("{path}?timeout=30s"), "x", "", body.to_string().as_bytes()).await;
    assert_accepted(&answer);
    assert_eq!(answer.body["apiVersion"], "authentication.k8s.io/v1beta1");
    let other = crate::support::path("a");
    let answer = service.send("POST", &other, "x", "", body.to_string().as_bytes()).await;
    assert_accepted(&answer);
    assert_eq!(answer.body["apiVersion"], "authentication.k8s.io/v1beta1", "whatever the path says");
    let vault = json!({"spec": {"token": token, "audiences": ["x"]}}).to_string();
    let answer = service.send("POST", &crate::support::path("a"), "x", "", vault.as_bytes()).await;
    assert_accepted(&answer);
    assert_eq!(answer.body["apiVersion"], "authentication.k8s.io/v1");
}

#[tokio::test]
async fn automatic_choice_needs_one_cluster_with_the_key() {
    let (service, ours, ambiguous) = (
        service().await,
        clusters().await.a.token_for("default", "app", &["x"], 600).await.unwrap(),
        clusters().await.b.token_for("default", "app", &["x"], 600).await.unwrap(),
    );
    // `a` and `review` are one cluster under two names, as are `local`, `prefixed` and `any`.
    for token in [&ours, &ambiguous] {
        let answer = service.review_at(BY_HOST, "tokens.test", token, &["x"]).await;
        assert_eq!(answer.error(), "token not valid for any configured cluster");
    }
    let shared = async || {
        let metrics = service.process.metrics().await?;
        anyhow::Ok(metrics.contains("issuer_keys_shared{cluster=\"review\"} 1").then_some(()))
    };
    portolan_testkit::eventually("the metric of shared keys", crate::support::SOON, shared).await.unwrap();
    let complaint = "another cluster has the same issuer and the same keys";
    let said = async || service.log().contains(complaint).then_some(());
    portolan_testkit::eventually("the warning", crate::support::SOON, said).await.unwrap();
    let clusters = clusters().await;
    let config =
        format!("clusters:\n{}{}auto: {{}}\n", clusters.entry("a", "a", ""), clusters.entry("b", "b", ""));
    let alone = Box::pin(clusters.service("auto", &config)).await;
    for (token, cluster) in [(&ours, "a"), (&ambiguous, "b")] {
        let answer = alone.review_at(&format!("/auto{BY_HOST}"), "whatever", token, &["x"]).await;
        assert_accepted(&answer);
        assert_eq!(
            answer.body["status"]["user"]["extra"]["authentication.kubernetes.io/cluster-name"],
            json!([cluster])
        );
    }
}

#[tokio::test]
async fn a_prefix_belongs_to_its_route() {
    let token = clusters().await.b.token_for("default", "app", &["x"], 600).await.unwrap();
    let prefixed = service().await.review("prefixed", &token, &["x"]).await;
    let user = &prefixed.body["status"]["user"];
    assert_eq!(user["username"], "prefixed:system:serviceaccount:default:app");
    assert_eq!(user["groups"][0], "prefixed:system:serviceaccounts");
    let raw = service().await.review("local", &token, &["x"]).await;
    assert_eq!(raw.body["status"]["user"]["username"], "system:serviceaccount:default:app");
}

#[tokio::test]
async fn the_answer_is_that_of_the_api_server_itself() {
    let (clusters, token) = (clusters().await, token(&[]).await);
    let review = serde_json::from_value(json!({"metadata": {}, "spec": {"token": token}})).unwrap();
    let oracle: Api<TokenReview> = Api::all(clusters.a.client());
    let theirs = oracle.create(&PostParams::default(), &review).await.unwrap();
    let theirs = serde_json::to_value(theirs.status.unwrap()).unwrap();
    for cluster in ["a", "review"] {
        let mut ours = service().await.answered(cluster, &token, &[]).await.body["status"].clone();
        ours["user"]["extra"]
            .as_object_mut()
            .unwrap()
            .remove("authentication.kubernetes.io/cluster-name")
            .unwrap();
        let mut theirs = theirs.clone();
        if cluster == "a" {
            // Whoever reads the answer adds this group; with keys alone it is not there.
            let groups = theirs["user"]["groups"].as_array_mut().unwrap();
            groups.retain(|group| group != "system:authenticated");
        }
        assert_eq!(ours, theirs, "{cluster}");
    }
}

#[tokio::test]
async fn bad_requests_have_their_own_answers() {
    let service = service().await;
    let json = "content-type: application/json; charset=utf-8\r\n";
    let big = json!({"spec": {"token": "x".repeat(70_000)}}).to_string();
    let table: [(&str, &str, &[u8], u16, &str); 8] = [
        ("POST", json, b"{", 400, "invalid request body"),
        ("POST", json, b"{\"spec\":{\"token\":\"\"}}", 400, "token is required"),
        ("POST", json, b"{\"spec\":{\"token\":\"a\",\"token\":\"b\"}}", 400, "invalid request body"),
        ("POST", json, b"{\"kind\":\"Pod\",\"spec\":{\"token\":\"a\"}}", 400, "invalid request body"),
        (
            "POST",
            "content-type: application/vnd.kubernetes.protobuf\r\n",
            b"nope",
            400,
            "invalid request body",
        ),
        ("POST", "content-type: application/cbor\r\n", b"{}", 415, ""),
        ("POST", json, big.as_bytes(), 413, ""),
        ("GET", "", b"", 405, ""),
    ];
    for (method, headers, body, status, error) in table {
        let answer = service.send(method, &path("a"), "x", headers, body).await;
        assert_eq!((answer.status, answer.error()), (status, error), "{method} {headers}");
        if status == 405 {
            assert!(answer.headers.contains("allow: post"));
        }
        if matches!(status, 413 | 415) {
            assert_eq!(answer.body["kind"], "Status");
        }
    }
    assert_eq!(http(service.port, "POST", "/nothing", "x", "", b"").await.status, 404);
}

#[tokio::test]
async fn the_old_api_answers_as_it_did() {
    let (service, token) = (service().await, token(&["any"]).await);
    let validate =
        async |body: Value| service.send("POST", "/validate", "x", "", body.to_string().as_bytes()).await;
    let good = validate(json!({"cluster": "a", "token": token})).await;
    assert_eq!(good.status, 200);
    assert_eq!(good.body["cluster"], "a");
    assert_eq!(good.body["sub"], "system:serviceaccount:default:app");
    assert_eq!(good.body["aud"], json!(["any"]));
    assert_eq!(good.body["kubernetes.io"]["namespace"], "default");
    assert!(good.body["iat"].is_i64() && good.body["kubernetes.io"]["warnafter"].is_null());
    for header in ["deprecation: @", "link: <", "warning: 299", "sunset: mon, 01 nov 2027 00:00:00 gmt"] {
        assert!(good.headers.contains(header), "{header}: {}", good.headers);
    }
    let foreign = clusters().await.b.token_for("default", "app", &[], 600).await.unwrap();
    let table = [
        (json!(1), 400, "invalid_request"),
        (json!({"cluster": "a"}), 400, "invalid_request"),
        (json!({"cluster": "nowhere", "token": token}), 400, "cluster_not_found"),
        (json!({"cluster": "a", "token": foreign}), 401, "invalid_signature"),
        (json!({"cluster": "a", "token": "junk"}), 401, "invalid_token"),
    ];
    for (body, status, error) in table {
        let answer = validate(body).await;
        assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)));
    }
    assert!(
        service.process.metrics().await.unwrap().contains("deprecated_requests_total{caller=\"anonymous\"}")
    );
    let listed = service.send("GET", "/clusters", "x", "", b"").await;
    let a =
        listed.body["clusters"].as_array().unwrap().iter().find(|cluster| cluster["name"] == "a").unwrap();
    assert_eq!(
        (a["issuer"].as_str(), a["token_status"]["status"].as_str()),
        (Some(crate::support::ISSUER), Some("valid"))
    );
    assert!(a.get("api_server").is_none(), "addresses are not for everybody");
    assert_eq!(service.send("GET", "/health", "x", "", b"").await.body, json!({"status": "ok"}));
}
