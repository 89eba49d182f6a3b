//! Work of an operator: change the configuration, limit who asks, look for the reason, end the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use portolan_testkit::{
    command::Line,
    eventually::eventually,
    forge::{SigningKey, claims},
    issuer::{Issuer, Mood, now},
    load,
    service::{ServiceOptions, run},
};
use serde_json::json;

use crate::support::{ISSUER, RELEASE, SOON, account, clusters, path, review_body};

#[tokio::test]
async fn a_new_configuration_is_used_and_a_bad_one_is_not() {
    let clusters = clusters().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let service = clusters.service("reload", &format!("clusters:\n{}", issuer.entry("one", ""))).await;
    let token = issuer.token(&key, "ES256");
    let accepted = async |cluster: &str| service.review(cluster, &token, &["x"]).await.authenticated();
    assert!(accepted("one").await && !accepted("two").await);
    let write = |text: &str| clusters.home.write_private("reload.yaml", text).unwrap();
    write(&format!("clusters:\n{}{}", issuer.entry("one", ""), issuer.entry("two", "")));
    eventually("the new cluster", SOON, async || accepted("two").await.then_some(())).await.unwrap();
    write("clusters: {one: {isuer: x}}");
    let complained = async || service.log().contains("the old one stays").then_some(());
    eventually("the complaint", SOON, complained).await.unwrap();
    assert!(accepted("one").await && accepted("two").await);
    write(&format!("clusters:\n{}", issuer.entry("two", "")));
    eventually("the removal", SOON, async || (!accepted("one").await).then_some(())).await.unwrap();
    assert!(accepted("two").await);
    // A file that is named before it is there, as happens when a ConfigMap comes before its Secret.
    let late = clusters.home.path().join("late.crt").display().to_string();
    let three = issuer.entry("three", &format!(", ca_cert: '{late}'"));
    write(&format!("clusters:\n{}{three}rateLimits: {{perCluster: 2}}\n", issuer.entry("two", "")));
    let complained = async || service.log().contains("late.crt").then_some(());
    eventually("the complaint about the file", SOON, complained).await.unwrap();
    assert!(!accepted("three").await && accepted("two").await);
    clusters.home.write_private("late.crt", &clusters.a.ca_pem()).unwrap();
    eventually("the late file", SOON, async || accepted("three").await.then_some(())).await.unwrap();
    // The rate is that of the new configuration, for clusters that go on as they are, too.
    write(&format!("clusters:\n{}{three}rateLimits: {{perCluster: 1}}\n", issuer.entry("two", "")));
    let one_a_second = async || {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(service.review("two", &token, &["x"]).await.status);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        (statuses == [200, 429, 429]).then_some(())
    };
    eventually("the new rate", SOON, one_a_second).await.unwrap();
}

#[tokio::test]
async fn a_caller_who_cannot_be_checked_now_is_not_told_that_it_is_nobody() {
    let key = SigningKey::new("k", "P-256");
    let (known, dead) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    dead.is(Mood::Lying("{}".to_owned()));
    let config = format!(
        "clusters:\n{}{}callers:\n- {{name: db, serviceAccount: {{cluster: dead, namespace: default, name: app, \
         audience: x}}, clusters: [known]}}\n",
        known.entry("known", ""),
        dead.entry("dead", ", jwks_cooldown: 1s"),
    );
    let service = clusters().await.service("unsure", &config).await;
    let body = review_body(&known.token(&key, "ES256"), &["x"]).to_string();
    let header = format!("authorization: Bearer {}\r\n", dead.token(&key, "ES256"));
    let ask = async || service.send("POST", &path("known"), "x", &header, body.as_bytes()).await;
    let unsure = ask().await;
    assert_eq!((unsure.status, unsure.body["reason"].as_str()), (503, Some("ServiceUnavailable")));
    assert!(!unsure.headers.contains("retry-after"));
    dead.is(Mood::Good);
    eventually("the caller", SOON, async || ask().await.authenticated().then_some(())).await.unwrap();
}

#[tokio::test]
async fn callers_may_ask_about_their_clusters_only() {
    let clusters = clusters().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let config = format!(
        "clusters:\n{}{}{}callers:\n- {{name: db, serviceAccount: {{cluster: a, namespace: default, name: app, \
         audience: token-service}}, clusters: [one]}}\n",
        clusters.entry("a", "a", ""),
        issuer.entry("one", ""),
        issuer.entry("two", ""),
    );
    let service = clusters.service("callers", &config).await;
    let token = issuer.token(&key, "ES256");
    let ask = async |cluster: &str, header: String| {
        let body = review_body(&token, &["x"]).to_string();
        service.send("POST", &path(cluster), "x", &header, body.as_bytes()).await
    };
    let nobody = ask("one", String::new()).await;
    assert_eq!((nobody.status, nobody.body["reason"].as_str()), (401, Some("Unauthorized")));
    assert!(nobody.headers.contains("www-authenticate: bearer"));
    let db = clusters.a.token_for("default", "app", &["token-service"], 600).await.unwrap();
    let other = clusters.a.token_for("default", "app", &["somebody-else"], 600).await.unwrap();
    assert!(ask("one", format!("authorization: bearer {db}\r\n")).await.authenticated());
    assert_eq!(ask("two", format!("authorization: Bearer {db}\r\n")).await.status, 403);
    assert_eq!(ask("one", format!("authorization: Bearer {other}\r\n")).await.status, 401);
    let both = format!("authorization: Bearer {db}\r\nauthorization: Bearer {db}\r\n");
    assert_eq!(ask("one", both).await.status, 401);
    let listed = service.send("GET", "/clusters", "x", &format!("authorization: Bearer {db}\r\n"), b"").await;
    let names: Vec<_> =
        listed.body["clusters"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, [json!("one")]);
}

#[tokio::test]
async fn a_callers_token_is_shown_to_no_cluster_that_it_is_not_of() {
    let clusters = clusters().await;
    let (key, stranger) = (SigningKey::new("k", "P-256"), SigningKey::new("stranger", "P-256"));
    let issuer = Issuer::start(&[&key]).await;
    let caller = |name: &str, cluster: &str| {
        format!(
            "- {{name: {name}, serviceAccount: {{cluster: {cluster}, namespace: default, name: app, \
             audience: token-service}}, clusters: [i]}}\n"
        )
    };
    // Both have the same issuer, and the one that is asked with the whole token comes first.
    let config = format!(
        "clusters:\n{}{}{}callers:\n{}{}",
        clusters.entry("other", "b", ", mode: review"),
        clusters.entry("own", "a", ""),
        issuer.entry("i", ""),
        caller("another", "other"),
        caller("db", "own"),
    );
    let service = clusters.service("shown", &config).await;
    let ask = async |credential: &str| {
        let body = review_body(&issuer.token(&key, "ES256"), &["x"]).to_string();
        let header = format!("authorization: Bearer {credential}\r\n");
        service.send("POST", &path("i"), "x", &header, body.as_bytes()).await.status
    };
    let db = clusters.a.token_for("default", "app", &["token-service"], 600).await.unwrap();
    let forged = stranger.token("ES256", &claims(ISSUER, &["token-service"], now()));
    assert_eq!((ask(&db).await, ask(&forged).await), (200, 401));
    let another = clusters.b.token_for("default", "app", &["token-service"], 600).await.unwrap();
    let answered = async || (ask(&another).await == 200).then_some(());
    eventually("the other one's own caller", SOON, answered).await.unwrap();
    let asked = |log: &str| {
        let about = |line: &&str| line.contains("\"cluster\":\"other\"") && line.contains("token reviewed");
        log.lines().filter(about).map(str::to_owned).collect::<Vec<_>>()
    };
    let asked = async || Some(asked(&service.log())).filter(|lines| !lines.is_empty());
    let lines = eventually("the audit", SOON, asked).await.unwrap();
    assert!(lines.iter().all(|line| !line.contains("\"decision\":\"refused\"")), "{lines:?}");
}

#[tokio::test]
async fn too_many_questions_are_refused_without_retry_after() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let config = format!("clusters:\n{}rateLimits: {{perCluster: 5}}\n", issuer.entry("i", ""));
    let service = clusters().await.service("limits", &config).await;
    let token = issuer.token(&key, "ES256");
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let answer = service.review("i", &token, &["x"]).await;
        assert!(!answer.headers.contains("retry-after"));
        statuses.push(answer.status);
    }
    assert!(statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn one_callers_hurry_is_not_anothers_refusal() {
    let clusters = clusters().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    account(&clusters.a.client(), "default", "calm").await;
    let caller = |name: &str| {
        format!(
            "- {{name: {name}, serviceAccount: {{cluster: a, namespace: default, name: {name}, audience: ts}}, \
             clusters: [i]}}\n"
        )
    };
    let config = format!(
        "clusters:\n{}{}callers:\n{}{}rateLimits: {{perCaller: 5}}\n",
        clusters.entry("a", "a", ""),
        issuer.entry("i", ""),
        caller("app"),
        caller("calm"),
    );
    let service = clusters.service("hurry", &config).await;
    let token = issuer.token(&key, "ES256");
    let ask = async |credential: &str| {
        let body = review_body(&token, &["x"]).to_string();
        let header = format!("authorization: Bearer {credential}\r\n");
        service.send("POST", &path("i"), "x", &header, body.as_bytes()).await.status
    };
    let hurried = clusters.a.token_for("default", "app", &["ts"], 600).await.unwrap();
    let calm = clusters.a.token_for("default", "calm", &["ts"], 600).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..100 {
        statuses.push(ask(&hurried).await);
    }
    assert!(statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(&calm).await, 200);
    for caller in ["app", "calm"] {
        let line = format!("\"caller\":\"{caller}\"");
        let named = |log: &str| log.lines().any(|l| l.contains(&line) && l.contains("\"cluster\":\"i\""));
        eventually("a line for each caller", SOON, async || named(&service.log()).then_some(()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn explain_names_the_cluster_and_the_rule_and_no_secret() {
    let clusters = clusters().await;
    let config = format!(
        "clusters:\n{}{}routes:\n- {{host: 'API.b.kube-fed:8443', usernamePrefix: '{{cluster}}:'}}\n",
        clusters.entry("a", "a", ""),
        clusters.entry("b", "b", ""),
    );
    let config = clusters.home.write_private("why.yaml", &config).unwrap().display().to_string();
    let token = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    let explain = async |arguments: &[&str], token: &str| {
        let arguments = [&["explain", "--config", &config][..], arguments].concat();
        let line = Line::binary("token-service", clusters.home.path(), &arguments).unwrap();
        line.stdin(token).run().await.unwrap()
    };
    let routed = explain(&["--audience", "x", "--host", "api.b.kube-fed:443"], &token).await;
    assert!(routed.stdout.contains("route      host api.b.kube-fed"), "{routed:?}");
    assert!(routed.stdout.contains("user       \"b:system:serviceaccount:default:app\""), "{routed:?}");
    let chosen = explain(&["--audience", "x"], &token).await;
    assert_eq!(chosen.code, 0, "{chosen:?}");
    for words in [
        "cluster    a: same issuer, does not have the key",
        "cluster    b: same issuer, has the key",
        "chosen     b (mode jwks)",
        "verdict    authenticated",
        "user       \"system:serviceaccount:default:app\"",
    ] {
        assert!(chosen.stdout.contains(words), "{words}: {chosen:?}");
    }
    let elsewhere = explain(&["--cluster", "a", "--audience", "x"], &token).await;
    assert!(elsewhere.stdout.contains("verdict    refused by rule kid"), "{elsewhere:?}");
    let other = explain(&["--cluster", "b", "--audience", "y"], &token).await;
    assert!(
        other.stdout.contains("refused by rule audience: token audiences [x] do not match [y]"),
        "{other:?}"
    );
    assert!(explain(&[], "junk").await.stdout.contains("form       refused: token is malformed"));
    let said = [&chosen, &elsewhere, &other].map(|ran| format!("{}{}", ran.stdout, ran.stderr)).concat();
    let own = std::fs::read_to_string(clusters.home.path().join("b.token")).unwrap();
    for part in token.split('.').chain(own.trim().split('.')).filter(|part| part.len() > 60) {
        assert!(!said.contains(&part[..40]), "a part of a token is printed");
    }
}

#[tokio::test]
async fn check_says_what_is_the_matter() {
    let clusters = clusters().await;
    let config =
        format!("clusters:\n{}{}", clusters.entry("a", "a", ", mode: review"), clusters.entry("b", "b", ""));
    let config = clusters.home.write_private("explain.yaml", &config).unwrap().display().to_string();
    let options = |kubeconfig: &str, args: &[&str]| {
        let args = args.iter().map(|&arg| arg.to_owned()).chain(["--config".to_owned(), config.clone()]);
        ServiceOptions::new("token-service", kubeconfig).args(args)
    };
    let at_home =
        options(&clusters.kubeconfig, &["--plain-http", "--namespace", RELEASE, "check", "-o", "json"]);
    let checked = run(&at_home, SOON).await.unwrap();
    let checks: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    let checks = checks.as_array().unwrap();
    assert!(checks.iter().all(|check| check["ok"] == true), "{checks:?}");
    for name in
        ["right to secrets in namespace kube-federated-auth", "keys of b", "reviews of a", "credential of a"]
    {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}: {checks:?}");
    }
    let unsure = run(&options("", &["check"]), SOON).await.unwrap();
    assert!(
        unsure.stdout.contains("renewed credentials are lost when the process ends"),
        "{}",
        unsure.stdout
    );
    assert!(
        !unsure.status.success() && unsure.stdout.contains("cure: give --tls-cert-file"),
        "{}",
        unsure.stdout
    );
}

#[tokio::test]
async fn sigterm_under_load_loses_no_answer() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let service = clusters().await.service("drain", &format!("clusters:\n{}", issuer.entry("i", ""))).await;
    let body = Arc::new(review_body(&issuer.token(&key, "ES256"), &["x"]).to_string());
    let url = format!("http://127.0.0.1:{}{}", service.port, path("i"));
    let make = move |_| {
        let body = body.as_bytes().to_vec();
        Request::post(&url).header("content-type", "application/json").body(body).unwrap()
    };
    let over = AtomicBool::new(false);
    let load = async {
        let mut answered = 0;
        while !over.load(Ordering::Relaxed) {
            let report = load::http(make.clone(), 16, 200).await.unwrap();
            assert!(report.all(StatusCode::OK), "{report:?}");
            answered += report.latencies.count();
        }
        answered
    };
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let terminated = service.process.terminate(Duration::from_secs(20));
        // Kubernetes tells clients of the end at about the time of the signal; for a moment they still come.
        let last = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            over.store(true, Ordering::Relaxed);
        };
        tokio::join!(terminated, last).0.unwrap()
    };
    let (answered, status) = tokio::join!(load, end);
    assert!(status.success() && answered > 100, "{status}, {answered} answers");
}

#[tokio::test]
async fn after_sigterm_it_is_not_ready_and_serves_on_for_the_drain_delay() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let (config, delay) = (format!("clusters:\n{}", issuer.entry("i", "")), Duration::from_secs(3));
    let flag = ["--drain-delay", "3s"].map(str::to_owned);
    let service = clusters().await.service_with("drain-delay", &config, &flag).await;
    let token = issuer.token(&key, "ES256");
    assert_eq!(service.process.admin_get("/readyz").await.unwrap().0, 200);
    let told_at = Instant::now();
    let end = async {
        let status = service.process.terminate(Duration::from_secs(20)).await.unwrap();
        (status, told_at.elapsed())
    };
    let meanwhile = async {
        let falls = async || {
            let (status, text) = service.process.admin_get("/readyz?verbose").await?;
            anyhow::Ok((status == 503).then_some(text))
        };
        let told = eventually("readyz falls", delay, falls).await.unwrap();
        assert!(told.contains("[-] end: shutting down"), "{told}");
        let mut answered = 0;
        // A new connection each time, as of clients that have not heard yet.
        while told_at.elapsed() + Duration::from_millis(300) < delay {
            assert!(service.review("i", &token, &["x"]).await.authenticated());
            answered += 1;
        }
        answered
    };
    let ((status, took), answered) = tokio::join!(end, meanwhile);
    assert!(status.success() && answered > 10, "{status}, {answered} answers");
    assert!(took >= delay && took < delay * 3, "it took {took:?}");
}

#[tokio::test]
async fn audit_lines_are_one_per_token_with_a_count() {
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let service =
        clusters().await.service("audit", &format!("clusters:\n{}", issuer.entry("i", ", cache: 2s"))).await;
    let token = issuer.token(&key, "ES256");
    for _ in 0..20 {
        assert!(service.review("i", &token, &["x"]).await.authenticated());
        service.review("i", "junk", &["x"]).await;
    }
    let lines = |message: &str| {
        let wanted = format!("\"message\":\"{message}\"");
        service.log().lines().filter(|line| line.contains(&wanted)).map(str::to_owned).collect::<Vec<_>>()
    };
    let counted = async || (!lines("no token").is_empty()).then_some(());
    eventually("the junk", SOON, counted).await.unwrap();
    assert!(lines("token reviewed").len() <= 3 && lines("no token").len() == 1);
    let repeated = async || lines("token reviewed again").pop();
    let repeated = eventually("the count", SOON, repeated).await.unwrap();
    assert!(repeated.contains("\"username\":\"system:serviceaccount:default:app\""), "{repeated}");
    assert!(!lines("token reviewed").is_empty(), "the first of them has a line of its own");
    // What was only counted is said at the end.
    let before = lines("token reviewed again").len();
    for _ in 0..3 {
        assert!(service.review("i", &token, &["y"]).await.error().contains("do not match"));
    }
    service.process.terminate(Duration::from_secs(20)).await.unwrap();
    let last = lines("token reviewed again").pop().unwrap();
    assert!(lines("token reviewed again").len() > before, "{last}");
    assert!(last.contains("\"reason\":\"audience\"") && last.contains("\"count\":2"), "{last}");
}
