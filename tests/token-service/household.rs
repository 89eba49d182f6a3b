//! Matters that an operator should not have to think of: series of removed clusters, clusters without keys, reasons,
//! exit codes.

use std::time::{Duration, Instant};

use portolan_testkit::{
    command::Line,
    eventually::eventually,
    forge::{SigningKey, encode},
    issuer::{Issuer, Mood, now},
    workdir::Workdir,
};
use serde_json::{Value, json};

use crate::support::{ISSUER, SOON, clusters};

#[tokio::test]
async fn series_of_removed_clusters_and_callers_go() {
    let clusters = clusters().await;
    let key = SigningKey::new("k", "P-256");
    let (one, two) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let both = format!("clusters:\n{}{}", one.entry("staying", ""), two.entry("leaving", ""));
    let service = clusters.service("series", &both).await;
    for (cluster, issuer) in [("staying", &one), ("leaving", &two)] {
        let token = issuer.token(&key, "ES256");
        for audience in ["x", "x", "y"] {
            service.review(cluster, &token, &[audience]).await;
        }
    }
    let metrics = async || service.process.metrics().await.unwrap();
    let names =
        ["reviews_total", "cache_hits_total", "review_seconds_count", "issuer_keys", "issuer_refreshes"];
    let series = |text: &str, cluster: &str| {
        let of = |name: &&&str| {
            let start = format!("portolan_token_service_{name}{{");
            let label = format!("cluster=\"{cluster}\"");
            text.lines().any(|line| line.starts_with(&start) && line.contains(&label))
        };
        names.iter().filter(of).count()
    };
    let counted = async || (series(&metrics().await, "leaving") == names.len()).then_some(());
    eventually("everything is counted", SOON, counted).await.unwrap();
    clusters.home.write_private("series.yaml", &format!("clusters:\n{}", one.entry("staying", ""))).unwrap();
    let gone = async || (!metrics().await.contains("leaving")).then_some(());
    eventually("nothing of it is left", SOON, gone).await.unwrap();
    assert_eq!(series(&metrics().await, "staying"), names.len(), "the other one's counters go on");
}

#[tokio::test]
async fn the_old_api_can_be_switched_off() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let ask = async |name: &str, v1: &str| {
        let config = format!("clusters:\n{}{v1}", issuer.entry("i", ""));
        let service = clusters().await.service(name, &config).await;
        let body = json!({"cluster": "i", "token": issuer.token(&key, "ES256")}).to_string();
        let answer = service.send("POST", "/validate", "x", "", body.as_bytes()).await;
        let counted = service.process.metrics().await.unwrap().contains("deprecated_requests_total");
        (answer, counted)
    };
    let (on, counted) = ask("v1-on", "v1: {link: 'https://docs.test/migrate'}\n").await;
    assert_eq!((on.status, counted), (200, true));
    assert!(
        on.headers.contains("link: <https://docs.test/migrate>; rel=\"successor-version\""),
        "{}",
        on.headers
    );
    let (off, counted) = ask("v1-off", "v1: {enabled: false}\n").await;
    assert_eq!((off.status, counted), (404, false), "{off:?}");
    assert_eq!(off.body["kind"], "Status");
    assert!(!off.headers.contains("deprecation"), "{}", off.headers);
}

#[tokio::test]
async fn a_cluster_that_reviews_needs_no_published_keys() {
    let clusters = clusters().await;
    let silent = Issuer::start(&[]).await;
    silent.is(Mood::Silent);
    let keyless = format!(", mode: review, plain_http: true, jwks_uri: '{}/keys'", silent.url);
    let config = format!("clusters:\n{}", clusters.entry("k3s", "a", &keyless));
    let start = Instant::now();
    let service = clusters.service("keyless", &config).await;
    // A promise of a second; with keys to wait for it would be six.
    assert!(start.elapsed() < Duration::from_secs(5), "ready after {:?}", start.elapsed());
    let token = clusters.a.token_for("default", "app", &["x"], 600).await.unwrap();
    assert!(service.answered("k3s", &token, &["x"]).await.authenticated());
    let config = clusters.home.write_private("keyless-check.yaml", &config).unwrap().display().to_string();
    let arguments = ["--plain-http", "--config", &config, "check", "-o", "json"];
    let ran = Line::binary("token-service", clusters.home.path(), &arguments).unwrap().run().await.unwrap();
    let checks: Value = serde_json::from_str(&ran.stdout).unwrap();
    let about =
        |name: &str| checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone();
    assert_eq!((ran.code, &about("keys of k3s")["ok"]), (0, &json!(true)), "{checks}");
    assert!(about("keys of k3s")["detail"].as_str().unwrap().contains("mode review needs none"), "{checks}");
    assert_eq!(about("reviews of k3s")["ok"], true);
}

#[tokio::test]
async fn reasons_are_told_in_the_log_in_check_and_in_explain() {
    let (clusters, home) = (clusters().await, Workdir::new("reasons").unwrap());
    let key = SigningKey::new("good", "P-256");
    let (issuer, other) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let short = json!({"kty": "RSA", "kid": "short", "n": encode(&[0xff; 128]), "e": "AQAB"});
    let mut set = json!({"keys": [key.jwk(), short]});
    issuer.is(Mood::Lying(set.to_string()));
    set["keys"].as_array_mut().unwrap().remove(0);
    other.is(Mood::Lying(set.to_string()));
    let slash = issuer.entry("slash", "").replace(&issuer.url, &format!("{}/", issuer.url));
    let empty = home.write_private("empty.token", " \n").unwrap().display().to_string();
    let hollow = clusters
        .entry("hollow", "a", "")
        .replace(&clusters.home.path().join("a.token").display().to_string(), &empty);
    let config = format!("clusters:\n{}{}{slash}{hollow}", issuer.entry("some", ""), other.entry("none", ""));
    let skipped = "key \"short\": its modulus has less than 2048 bits";
    let names =
        format!("\"{}\" instead of \"{}/\"; they differ by the slash at the end", issuer.url, issuer.url);

    let service = clusters.service("reasons", &config).await;
    for words in [
        format!("some keys of the issuer are skipped: {skipped}"),
        format!("it has no usable key: {skipped}"),
        format!("the discovery document is that of another issuer: {names}"),
        "token_path is empty".to_owned(),
    ] {
        // The log is JSON.
        let words = json!(words).to_string();
        let said = async || service.log().contains(words.trim_matches('"')).then_some(());
        eventually(&words, SOON, said).await.unwrap();
    }
    assert!(service.log().contains(&empty), "the empty file is named");

    let path = home.write_private("reasons.yaml", &config).unwrap().display().to_string();
    let arguments = ["--plain-http", "--config", &path, "check"];
    let ran = Line::binary("token-service", home.path(), &arguments).unwrap().run().await.unwrap();
    assert_eq!(ran.code, 1);
    for words in [
        format!("[+] keys of some: 1 keys; skipped: {skipped}"),
        format!("[-] keys of none: the keys cannot be used: it has no usable key: {skipped}"),
        names,
        format!("token_path {empty} is empty"),
    ] {
        assert!(ran.stdout.contains(&words), "{words}: {}", ran.stdout);
    }
    let header = r#"{"alg":"RS256","kid":"short"}"#;
    let claims = portolan_testkit::forge::claims(&issuer.url, &["x"], now()).to_string();
    let token = key.raw_token("ES256", header, &claims);
    let arguments = ["--config", &path, "explain", "--cluster", "some"];
    let ran =
        Line::binary("token-service", home.path(), &arguments).unwrap().stdin(&token).run().await.unwrap();
    for words in [
        "cluster    some: same issuer, has the key, but skips it: its modulus has less than 2048 bits"
            .to_owned(),
        format!(
            "cluster    slash: another issuer: \"{}\" instead of \"{}/\"; they differ by the slash",
            issuer.url, issuer.url
        ),
        format!("cluster    hollow: another issuer: \"{}\" instead of \"{ISSUER}\"", issuer.url),
    ] {
        assert!(ran.stdout.contains(&words), "{words}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn usage_and_configuration_end_with_64() {
    let home = Workdir::new("usage").unwrap();
    let broken =
        home.write_private("broken.yaml", "clusters: {a: {isuer: x}}").unwrap().display().to_string();
    let good = home.write_private("good.yaml", "clusters: {a: {issuer: 'https://a.test'}}").unwrap();
    let good = good.display().to_string();
    let ca = home
        .write_private("ca.yaml", "clusters: {a: {issuer: 'https://a.test', ca_cert: /nowhere/ca}}")
        .unwrap();
    let ca = ca.display().to_string();
    let local = "clusters: {a: {issuer: 'https://127.0.0.1:1', allow_addresses: [127.0.0.1]}}";
    let local = home.write_private("local.yaml", local).unwrap().display().to_string();
    let table: [&[&str]; 9] = [
        &["--plain-http", "--admin-address", "127.0.0.1:0", "--config", "/nowhere.yaml"],
        &["--plain-http", "--admin-address", "127.0.0.1:0", "--config", &broken],
        &[
            "--tls-cert-file",
            &broken,
            "--tls-key-file",
            "/nowhere",
            "--admin-address",
            "127.0.0.1:0",
            "--config",
            &local,
        ],
        &["--colour", "red"],
        &["nonsense"],
        &["--config", &good],
        &["explain", "--config", "/nowhere.yaml"],
        &["explain", "--config", &broken],
        &["explain", "--config", &ca],
    ];
    let exchange: [&[&str]; 3] = [
        &[],
        &["explain"],
        &["explain", "--config", "/nowhere.yaml", "--namespace", "n", "--service-account", "a"],
    ];
    let reviews = table.map(|arguments| ("token-service", arguments));
    for (name, arguments) in
        reviews.into_iter().chain(exchange.map(|arguments| ("token-exchange", arguments)))
    {
        let ran = Line::binary(name, home.path(), arguments).unwrap().run().await.unwrap();
        assert_eq!(ran.code, 64, "{name} {arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{name} {arguments:?}: {ran:?}");
    }
    let cli: [&[&str]; 4] = [
        &["-colour", "red"],
        &["-token-file", "/nowhere", "-namespace", "n", "-service-account", "a"],
        &["-token", "t", "-ca-file", "/nowhere", "-namespace", "n", "-service-account", "a"],
        &["-token", "t", "-ca-file", &good, "-namespace", "n", "-service-account", "a"],
    ];
    for arguments in cli {
        let ran = Line::binary("kfca-cli", home.path(), arguments).unwrap().run().await.unwrap();
        assert_eq!(ran.code, 64, "{arguments:?}: {ran:?}");
    }
}
