//! Each mistake of people and servers becomes a condition that names it. The last good document stays, and no other
//! cluster is delayed.

use std::time::{Duration, Instant};

use portolan_testkit::{
    eventually,
    hostile::{HostileServer, Hostility},
};
use serde_json::{Value, json};

use crate::scene::{Stage, condition, message, reader, reference};

#[tokio::test]
async fn the_api_server_refuses_what_makes_no_sense() {
    let stage = Stage::shared().await;
    let token = || json!({"secretRef": reference("s", None)});
    let both = json!({"secretRef": reference("a", None), "kubeconfigSecretRef": reference("b", None)});
    let two_cas = json!({"secretRef": reference("a", None), "configMapRef": reference("b", None)});
    let long = "n".repeat(64);
    let table = [
        ("refused", json!({"host": "https://h", "auth": both}), "only one of secretRef"),
        ("refused", json!({"auth": token()}), "host is required unless kubeconfigSecretRef"),
        (
            "refused",
            json!({"host": "https://h", "auth": token(), "path": "graphql"}),
            "one of the gateway's own words",
        ),
        (
            "refused",
            json!({"host": "https://h", "auth": token(), "path": "a/../b"}),
            "DNS label or dotted name",
        ),
        ("refused", json!({"host": "https://h", "auth": token(), "path": "a".repeat(64)}), "63"),
        (
            "refused",
            json!({"host": "https://h", "auth": token(), "ca": two_cas}),
            "only one of secretRef or configMapRef",
        ),
        ("metrics", json!({"host": "https://h", "auth": token()}), "give spec.path another one"),
        (&long, json!({"host": "https://h", "auth": token()}), "give spec.path a shorter one"),
    ];
    for (name, spec, expected) in table {
        let error = stage.create(name, spec.clone()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{spec}: {error}");
    }
    let dotted = json!({"host": "https://h", "auth": token(), "path": "prod.eu-1"});
    stage.create("dotted", dotted).await.unwrap();
    stage.delete("dotted").await;
}

#[tokio::test]
async fn each_mistake_has_a_reason_of_its_own() {
    let stage = Stage::shared().await;
    mistaken_secrets(stage).await;
    let host = stage.target.server_url();
    let with = |member: &str, value: Value| {
        let mut spec = stage.usual("wrong");
        spec[member] = value;
        spec
    };
    let secret = |name: &str| json!({"secretRef": reference(name, None)});
    let kubeconfig =
        |name: &str| json!({"path": "wrong", "auth": {"kubeconfigSecretRef": reference(name, None)}});
    let elsewhere = json!({"secretRef": {"name": "s", "namespace": "kube-system"}});
    let account = |name: &str| json!({"serviceAccountRef": {"name": name, "namespace": "portolan"}});
    let table = [
        (with("auth", secret("wrong-absent")), "SecretNotFound", "wrong-absent"),
        (with("auth", json!({"secretRef": reference("wrong-many", Some("c"))})), "KeyMissing", "it has a, b"),
        (with("auth", secret("wrong-empty")), "KeyMissing", "is empty"),
        (with("auth", secret("wrong-many")), "KeyAmbiguous", "a, b"),
        (with("auth", secret("wrong-text")), "TokenInvalid", "bare token"),
        (with("auth", elsewhere), "NamespaceNotAllowed", "--secret-namespaces"),
        (with("auth", json!({})), "AuthMissing", "spec.auth"),
        (with("auth", account("nobody")), "ServiceAccountNotFound", "nobody"),
        (
            with("auth", json!({"clientCertificateRef": reference("wrong-cert", None)})),
            "ClientCertificateExpired",
            "ended at",
        ),
        (kubeconfig("wrong-kubeconfig"), "KubeconfigInvalid", "not YAML"),
        (kubeconfig("wrong-exec"), "KubeconfigInvalid", "exec"),
        (
            with("ca", json!({"secretRef": reference("wrong-ca", None)})),
            "CertificateAuthorityMismatch",
            "CA of another cluster",
        ),
        (with("ca", json!({"secretRef": reference("wrong-pem", None)})), "CaInvalid", "no PEM certificate"),
        (
            with("ca", json!({"configMapRef": reference("wrong-absent", None)})),
            "ConfigMapNotFound",
            "wrong-absent",
        ),
        (with("host", json!("https://127.0.0.1:1")), "Unreachable", "cannot be reached"),
        (with("host", json!("https://127.0.0.1:65536")), "HostInvalid", "from 1 to 65535"),
        (with("host", json!(format!("{host}/clusters/a"))), "HostInvalid", "has a path"),
        (with("host", json!(host.trim_start_matches("https://"))), "HostInvalid", "no scheme"),
        (with("host", json!(host.replace("https", "http"))), "HostInvalid", "not https"),
    ];
    for (place, (spec, reason, named)) in table.into_iter().enumerate() {
        let name = format!("wrong-{place}");
        let mut spec = spec;
        spec["path"] = name.clone().into();
        stage.create(&name, spec).await.unwrap();
        let access = stage.reason(&name, reason).await;
        assert!(message(&access).contains(named), "{reason}: {}", message(&access));
        stage.delete(&name).await;
    }
}

/// Creates the Secrets that the table refers to.
async fn mistaken_secrets(stage: &Stage) {
    stage.usual_secrets("wrong").await;
    stage.secret("wrong-empty", &[]).await;
    stage.secret("wrong-many", &[("a", "1"), ("b", "2")]).await;
    stage.secret("wrong-kubeconfig", &[("kubeconfig", "garbage: [")]).await;
    let exec = stage.target.kubeconfig().replace("token:", "exec: {command: sh}\n    x:");
    stage.secret("wrong-exec", &[("kubeconfig", &exec)]).await;
    stage.secret("wrong-ca", &[("ca.crt", &stage.management.ca_pem())]).await;
    stage.secret("wrong-pem", &[("ca.crt", "nonsense")]).await;
    let (certificate, key) = expired();
    stage.secret("wrong-cert", &[("tls.crt", &certificate), ("tls.key", &key)]).await;
    stage.secret("wrong-text", &[("token", "a b")]).await;
}

/// A client certificate that expired yesterday.
fn expired() -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2019, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A ClusterAccess for a server that misbehaves.
async fn hostile(stage: &Stage, name: &str, hostility: Hostility) -> HostileServer {
    let server = HostileServer::start(hostility).await.unwrap();
    stage.secret(&format!("{name}-token"), &[("token", "t")]).await;
    stage.secret(&format!("{name}-ca"), &[("ca.crt", &server.ca_pem)]).await;
    let mut spec = stage.usual(name);
    spec["host"] = server.url().into();
    stage.create(name, spec).await.unwrap();
    server
}

#[tokio::test]
async fn servers_that_misbehave_are_named() {
    let stage = Stage::shared().await;
    let table = [
        ("html", Hostility::Html, "NotKubernetes", "text/html"),
        ("unauthorized", Hostility::Unauthorized, "Unauthorized", "401"),
    ];
    for (name, hostility, reason, named) in table {
        let _server = hostile(stage, name, hostility).await;
        let access = stage.reason(name, reason).await;
        assert!(message(&access).contains(named), "{}", message(&access));
        stage.delete(name).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_nobody() {
    let stage = Stage::shared().await;
    let _server = hostile(stage, "hangs", Hostility::Hang).await;
    let begun = Instant::now();
    stage.usual_secrets("beside").await;
    stage.create("beside", stage.usual("beside")).await.unwrap();
    stage.ready("beside").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let access = stage.reason("hangs", "Timeout").await;
    assert!(message(&access).contains("within 10 seconds"), "{}", message(&access));
    stage.delete("hangs").await;
}

#[tokio::test]
async fn one_bad_part_hides_no_other() {
    let stage = Stage::shared().await;
    for (name, hostility, named) in [
        ("endless", Hostility::Endless, "more than 33554432 bytes"),
        ("broken", Hostility::BrokenPart, "not an OpenAPI document"),
        ("deep", Hostility::Deep, "not an OpenAPI document"),
    ] {
        let before = stage.listener.rss_mb().unwrap();
        let server = hostile(stage, name, hostility).await;
        let access = stage.ready(name).await;
        let complete = condition(&access, "Complete").unwrap();
        assert_eq!(complete.reason, "GroupVersionsFailed");
        assert!(
            complete.message.contains("bad.example/v1") && complete.message.contains(named),
            "{}",
            complete.message
        );
        assert!(stage.document(name).unwrap()["definitions"].get("good.example.Widget").is_some());
        // The tests beside this one need memory as well, and give it back.
        let look = async || (stage.listener.rss_mb().ok()? - before < 64.0).then_some(());
        eventually(&format!("{name}: memory is given back"), Duration::from_secs(30), look).await.unwrap();
        assert!(server.sent() < 200 * 1024 * 1024, "nobody takes it all");
        stage.delete(name).await;
    }
}

#[tokio::test]
async fn hashes_that_always_move_are_worth_nothing() {
    let stage = Stage::shared().await;
    let server = hostile(stage, "moving", Hostility::MovingHashes).await;
    stage.ready("moving").await;
    let written = stage.file("moving.json").metadata().unwrap().modified().unwrap();
    let look = async || {
        let access = stage.accesses().get("moving").await.ok()?;
        let watched = condition(&access, "Watched")?.reason.clone();
        (watched == "IndexUnstable").then_some(())
    };
    eventually("IndexUnstable", Duration::from_secs(90), look).await.unwrap();
    let reads = server.index_reads();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(server.index_reads() <= reads + 2, "{reads} reads, then {}", server.index_reads());
    assert_eq!(
        stage.file("moving.json").metadata().unwrap().modified().unwrap(),
        written,
        "nothing was news"
    );
    stage.delete("moving").await;
}

#[tokio::test]
async fn who_may_not_watch_is_told_and_asked_often() {
    let stage = Stage::shared().await;
    let token = reader(&stage.target, "poor", "clusterRules: []").await;
    stage.usual_secrets("poor").await;
    stage.secret("poor-token", &[("token", &token)]).await;
    stage.create("poor", stage.usual("poor")).await.unwrap();
    stage.ready("poor").await;
    let look = async || {
        let access = stage.accesses().get("poor").await.ok()?;
        (condition(&access, "Watched")?.reason == "WatchForbidden").then_some(())
    };
    eventually("WatchForbidden", Duration::from_secs(30), look).await.unwrap();
    stage.delete("poor").await;
}
