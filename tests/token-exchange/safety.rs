//! Safe by default: what is refused until somebody opens it by name, what is noted, and what is bounded.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use k8s_openapi::api::{core::v1::ServiceAccount, events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use portolan_testkit::{ControlPlane, ControlPlaneOptions, Rbac, ServiceAccountSetup, eventually};
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, Mood, now},
    support::{AUDIENCE, SOON, TARGET, account, binding, world},
};
use portolan_testkit::forge::SigningKey;

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let world = world().await;
    let exchange = world.exchange("audience", &world.config("")).await;
    world.source("audience").await;
    world.target("audience", &[("kfca_1", &world.binding("audience"))]).await;
    for audiences in [&[][..], &["vault"], &["portolan-token-exchange/"]] {
        let token = world.a.token_for("default", "audience", audiences, 3600).await.unwrap();
        assert_eq!(exchange.ask(&token, "audience").await.status, 404, "{audiences:?}");
    }
    let token = world.a.token_for("default", "audience", &["vault", AUDIENCE], 3600).await.unwrap();
    assert_eq!(exchange.ask(&token, "audience").await.status, 200);
    assert_eq!(exchange.audit("audience")[0]["reason"], "audience");
    let hint = format!("kubectl create token audience --duration=1h -n default --audience={AUDIENCE}");
    assert!(exchange.log().contains(&hint), "{}", exchange.log());
}

#[tokio::test]
async fn only_listed_namespaces_and_kube_system_never_unless_named() {
    let world = world().await;
    let source = world.source("namespaces").await;
    let bound = world.binding("namespaces");
    account(&world.b.client(), "kube-system", "target", &[("kfca_1", &bound)]).await;
    account(&world.b.client(), "elsewhere", "target", &[("kfca_1", &bound)]).await;
    // With every right, so that it is the exchange that says no.
    let config = |namespaces: &str| format!("issuers:\n{}namespaces: {namespaces}\n", world.issuer_a(""));
    let admin = world.b.kubeconfig();
    let listed = world.exchange_with("listed", &config("[elsewhere]"), &admin).await;
    assert_eq!(listed.ask_in(&source, "elsewhere", "target").await.status, 200);
    assert_eq!(listed.ask_in(&source, "kube-system", "target").await.status, 404);
    let every = world.exchange_with("every", &config("['*']"), &admin).await;
    assert_eq!(every.ask_in(&source, "elsewhere", "target").await.status, 200);
    assert_eq!(every.ask_in(&source, "kube-system", "target").await.status, 404);
    let named = world.exchange_with("named", &config("['*', kube-system]"), &admin).await;
    assert_eq!(named.ask_in(&source, "kube-system", "target").await.status, 200);
    assert!(named.log().contains("kube-system is listed"));
}

#[tokio::test]
async fn a_new_token_lives_no_longer_than_its_source() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let exchange =
        world.exchange("lives", &format!("issuers:\n{}namespaces: [{TARGET}]\n", issuer.entry(""))).await;
    let subject = "104100000000000000001";
    world.target("hour", &[("kfca_1", &binding(&issuer.url, subject, json!({})))]).await;
    world
        .target("quarter", &[("kfca_1", &binding(&issuer.url, subject, json!({"maxLifetime": "15m"})))])
        .await;
    let lives = async |account: &str, left: i64| {
        let mut source = issuer.google(AUDIENCE);
        source["exp"] = json!(now() + left);
        let answer = exchange.ask(&key.token("ES256", &source), account).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let new = claims(answer.token());
        new["exp"].as_i64().unwrap() - new["iat"].as_i64().unwrap()
    };
    for (account, left, expected) in [
        ("hour", 3590, 3590),
        ("hour", 1800, 1800),
        ("hour", 20, 600),
        ("quarter", 3590, 900),
        ("quarter", 700, 700),
    ] {
        let seconds = lives(account, left).await;
        // The token was a little older when it was looked at.
        assert!((expected - 15..=expected).contains(&seconds), "{account}, {left} left: {seconds}");
    }
}

#[tokio::test]
async fn what_is_given_here_is_not_taken_here() {
    let world = world().await;
    let exchange = world.exchange("chains", &world.config("")).await;
    let source = world.source("chains").await;
    let own = binding(&world.b.server_url(), &format!("system:serviceaccount:{TARGET}:chains"), json!({}));
    // Even where both bindings are there, and the new token is for the exchange.
    let first = binding(
        &world.a.server_url(),
        "system:serviceaccount:default:chains",
        json!({"audiences": [AUDIENCE]}),
    );
    world.target("chains", &[("kfca_1", &first), ("kfca_2", &own)]).await;
    let given = exchange.ask(&source, "chains").await;
    assert_eq!((given.status, claims(given.token())["aud"].clone()), (200, json!([AUDIENCE])));
    assert_eq!(exchange.ask(given.token(), "chains").await.status, 404);
    // Opened by name, it works, and is warned of.
    let (url, dir) = (world.b.server_url(), world.home.path().display().to_string());
    world.home.write_private("b.crt", &world.b.ca_pem()).unwrap();
    let reader = world.b.token_for("default", "default", &[], 3600).await.unwrap();
    world.home.write_private("b.token", &reader).unwrap();
    let own_issuer = format!(
        "- {{issuer: '{url}', api_server: '{url}', ca_cert: {dir}/b.crt, token_path: {dir}/b.token, \
         allow_addresses: [127.0.0.1]}}\n"
    );
    let opened = format!("issuers:\n{}{own_issuer}namespaces: [{TARGET}]\n", world.issuer_a(""));
    let opened = world.exchange("opened", &opened).await;
    assert_eq!(opened.ask(given.token(), "chains").await.status, 200);
    assert!(opened.log().contains("chains are possible"));
}

#[tokio::test]
async fn one_line_says_who_got_what_and_none_holds_a_token() {
    let world = world().await;
    let exchange = world.exchange("audit", &world.config("")).await;
    let source = world.source("audit").await;
    world.target("audit", &[("kfca_1", &world.binding("audit"))]).await;
    let headers = format!(
        "content-type: application/json\r\nauthorization: Bearer {source}\r\nx-forwarded-for: 192.0.2.7\r\n"
    );
    let body = json!({"namespace": TARGET, "serviceAccountName": "audit"}).to_string();
    let answer = exchange.send("POST", "/exchangeToken", &headers, body.as_bytes()).await;
    exchange.ask(&source, "nobody").await;
    for _ in 0..10 {
        exchange.ask("not.a.token", "audit").await;
    }
    let lines = exchange.audit("audit");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    let (given, shown) = (claims(answer.token()), claims(&source));
    let expected = [
        ("decision", json!("exchanged")),
        ("from", json!("127.0.0.1")),
        ("forwarded_for", json!("192.0.2.7")),
        ("issuer", json!(world.a.server_url())),
        ("subject", json!("system:serviceaccount:default:audit")),
        ("token_id", shown["jti"].clone()),
        ("new_token_id", given["jti"].clone()),
        ("namespace", json!(TARGET)),
        ("binding", json!("kfca_1")),
    ];
    for (field, value) in expected {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(given["jti"].is_string() && line["micros"].is_u64());
    assert_eq!(exchange.audit("nobody")[0]["reason"], "account");
    let log = exchange.log();
    assert_eq!(
        log.lines().filter(|line| line.contains("no token")).count(),
        1,
        "junk is counted, not listed"
    );
    for token in [source.as_str(), answer.token()] {
        for part in token.split('.') {
            assert!(!log.contains(&part[..30]), "the log has a part of a token");
        }
    }
    let metrics = exchange.process.metrics().await.unwrap();
    let counted = format!(
        "portolan_token_exchange_requests_total{{issuer=\"{}\",reason=\"\",result=\"exchanged\"}} 1",
        world.a.server_url()
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

#[tokio::test]
async fn a_source_that_has_ended_is_noted_with_its_subject() {
    let world = world().await;
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let late =
        world.exchange("late", &format!("issuers:\n{}namespaces: [{TARGET}]\n", issuer.entry(""))).await;
    let mut expired = issuer.google(AUDIENCE);
    expired["exp"] = json!(now() - 3600);
    assert_eq!(late.ask(&key.token("ES256", &expired), "audit").await.status, 404);
    let line = late.audit("audit").pop().unwrap();
    assert_eq!(
        (line["reason"].as_str(), line["subject"].as_str()),
        (Some("expired"), Some("104100000000000000001"))
    );
}

#[tokio::test]
async fn callers_and_issuers_have_their_rates() {
    let world = world().await;
    let exchange = world.exchange("rates", &world.config("rateLimits: {perCaller: 3, perIssuer: 6}\n")).await;
    world.target("rates", &[]).await;
    let mut statuses = std::collections::BTreeMap::<(usize, u16), usize>::new();
    let sources =
        [world.source("rates-1").await, world.source("rates-2").await, world.source("rates-3").await];
    for (index, source) in sources.iter().enumerate() {
        let asked = (0..10).map(|_| exchange.ask(source, "rates"));
        for answer in futures_of(asked).await {
            *statuses.entry((index, answer.status)).or_default() += 1;
            if answer.status == 429 {
                assert!(answer.headers.contains("retry-after: 1"), "{}", answer.headers);
                assert_eq!(answer.rung().1, "too_many_requests");
            }
        }
    }
    assert!(statuses[&(0, 429)] >= 1 && statuses[&(0, 404)] >= 3, "the first caller: {statuses:?}");
    assert!(statuses[&(1, 404)] >= 1, "the second has a share of its own: {statuses:?}");
    assert!(statuses[&(2, 429)] >= 2, "the issuer's is used up: {statuses:?}");
}

/// All at once.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_broken_binding_is_reported_and_the_good_one_beside_it_works() {
    let world = world().await;
    let exchange = world.exchange("broken", &world.config("")).await;
    let source = world.source("beside").await;
    let good = world.binding("beside");
    let account = world
        .target(
            "beside",
            &[("kfca_1", "{"), ("kfca_2", r#"{"issuer":"https://i"}"#), ("team.test/kfca-3", &good)],
        )
        .await;
    for _ in 0..5 {
        assert_eq!(exchange.ask(&source, "beside").await.status, 200);
    }
    let events: Api<Event> = Api::namespaced(world.b.client(), TARGET);
    let written = async || {
        let all = events.list(&ListParams::default()).await?;
        // Other tests have exchanges that see the same account.
        let ours = |event: &Event| event.reporting_instance.as_deref() == Some("token-exchange-broken");
        let about = all.items.into_iter().filter(ours);
        let about =
            about.filter(|event| event.regarding.as_ref().is_some_and(|object| object.uid == account.uid()));
        Ok::<_, kube::Error>(Some(about.collect::<Vec<_>>()).filter(|events| !events.is_empty()))
    };
    let events = eventually("the Event", SOON, written).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason.as_deref(), Some("InvalidBinding"));
    let note = events[0].note.as_deref().unwrap();
    assert!(note.contains("\"kfca_1\" is skipped") && note.contains("1 more like it"), "{note}");
}

#[tokio::test]
async fn a_thousand_annotations_are_cut_off_and_cost_nothing() {
    let world = world().await;
    let exchange = world.exchange("bomb", &world.config("")).await;
    let source = world.source("bomb").await;
    let dead = binding("https://dead.test", "x", json!({}));
    let good = world.binding("bomb");
    let keys: Vec<String> = (0..1000).map(|index| format!("kfca-{index:04}")).collect();
    let mut annotations: Vec<_> = keys.iter().map(|key| (key.as_str(), dead.as_str())).collect();
    annotations[15].1 = &good;
    annotations[16].1 = &good;
    world.target("bomb", &annotations).await;
    let start = std::time::Instant::now();
    assert_eq!(exchange.ask(&source, "bomb").await.status, 200, "the sixteenth counts");
    assert!(start.elapsed() < Duration::from_secs(10));
    annotations[15].1 = &dead;
    world.target("bomb", &annotations).await;
    let refused = async || (exchange.ask(&source, "bomb").await.status == 404).then_some(());
    eventually("the seventeenth does not", SOON, refused).await.unwrap();
}

#[tokio::test]
async fn a_pinned_uid_is_not_inherited() {
    let world = world().await;
    let exchange = world.exchange("pinned", &world.config("")).await;
    let first = account(&world.a.client(), "default", "pinned", &[]).await;
    let pinned = binding(
        &world.a.server_url(),
        "system:serviceaccount:default:pinned",
        json!({"uid": first.uid().unwrap()}),
    );
    world.target("pinned", &[("kfca_1", &pinned)]).await;
    let token = async || world.a.token_for("default", "pinned", &[AUDIENCE], 3600).await.unwrap();
    assert_eq!(exchange.ask(&token().await, "pinned").await.status, 200);
    let accounts: Api<ServiceAccount> = Api::namespaced(world.a.client(), "default");
    accounts.delete("pinned", &DeleteParams::default()).await.unwrap();
    account(&world.a.client(), "default", "pinned", &[]).await;
    assert_eq!(exchange.ask(&token().await, "pinned").await.status, 404, "another account of that name");
    exchange.reports("pinned", "uid").await;
}

#[tokio::test]
async fn an_account_that_goes_and_rights_that_are_missing_are_hidden() {
    let world = world().await;
    let exchange = world.exchange("gone", &world.config("")).await;
    let source = world.source("gone").await;
    let bound = world.binding("gone");
    world.target("gone", &[("kfca_1", &bound)]).await;
    assert_eq!(exchange.ask(&source, "gone").await.status, 200);
    let accounts: Api<ServiceAccount> = Api::namespaced(world.b.client(), TARGET);
    accounts.delete("gone", &DeleteParams::default()).await.unwrap();
    // Whether the watch has heard of it or not.
    let answer = exchange.ask(&source, "gone").await;
    assert_eq!(answer.rung(), (404, "error", "no matching binding found"));
    world.target("gone", &[]).await;
    assert_eq!(exchange.ask(&source, "gone").await.status, 404, "made anew, without the binding");
    world.target("gone", &[("kfca_1", &bound)]).await;

    let mut rights = Rbac::load("token-exchange").unwrap();
    let rules = &mut rights.namespace_rules.target_namespaces;
    rules.retain(|rule| !rule.resources.contains(&"serviceaccounts/token".to_owned()));
    let mut setup = ServiceAccountSetup::new("token-exchange", "without-tokens");
    setup.target_namespaces = vec![TARGET.to_owned()];
    let kubeconfig = setup.create_with(&world.b, &rights).await.unwrap();
    let weak = world.exchange_with("weak", &world.config(""), &kubeconfig).await;
    let answer = weak.ask(&source, "gone").await;
    assert_eq!(answer.rung(), (404, "error", "no matching binding found"));
    assert_eq!(weak.audit("gone")[0]["reason"], "mint_forbidden");
    assert!(!answer.text.contains("forbidden") && weak.log().contains("cannot create resource"));

    let mut rights = Rbac::load("token-exchange").unwrap();
    let read = rights
        .namespace_rules
        .target_namespaces
        .iter_mut()
        .find(|rule| rule.resources == ["serviceaccounts"]);
    read.unwrap().verbs = vec!["get".to_owned()];
    let mut setup = ServiceAccountSetup::new("token-exchange", "without-watch");
    setup.target_namespaces = vec![TARGET.to_owned()];
    let kubeconfig = setup.create_with(&world.b, &rights).await.unwrap();
    let reading = world.exchange_with("reading", &world.config(""), &kubeconfig).await;
    assert_eq!(reading.ask(&source, "gone").await.status, 200, "without a watch, each exchange reads");
    assert!(reading.log().contains("are read one by one"));
}

#[tokio::test]
async fn an_exchange_whose_api_server_hangs_is_not_ready() {
    let world = world().await;
    let plane = ControlPlane::start(ControlPlaneOptions::named("exchange-frozen")).await.unwrap();
    let mut setup = ServiceAccountSetup::new("token-exchange", "token-exchange");
    setup.target_namespaces = vec![TARGET.to_owned()];
    let kubeconfig = setup.create(&plane).await.unwrap();
    let exchange = world.exchange_with("frozen", &world.config(""), &kubeconfig).await;
    let ready = async |status: u16| {
        let seen = async || {
            let answer = exchange.send("GET", "/readyz", "", b"").await;
            (answer.status == status).then_some(())
        };
        eventually(&format!("/readyz answers {status}"), SOON * 2, seen).await.unwrap();
    };
    ready(200).await;
    plane.pause_apiserver();
    ready(503).await;
    plane.resume_apiserver();
    ready(200).await;
}

#[tokio::test]
async fn an_outage_of_an_issuer_is_no_refusal_of_a_key_that_it_may_have() {
    let world = world().await;
    let (old, new) = (SigningKey::new("old", "P-256"), SigningKey::new("new", "P-256"));
    let issuer = Issuer::start(&[&old]).await;
    let config = format!("issuers:\n{}namespaces: [{TARGET}]\n", issuer.entry(", jwks_cooldown: 1s"));
    let exchange = world.exchange("doubt", &config).await;
    world.target("doubt", &[("kfca_1", &binding(&issuer.url, "104100000000000000001", json!({})))]).await;
    issuer.is(Mood::Lying("<html>".to_owned()));
    issuer.publish(&[&old, &new]);
    let token = new.token("ES256", &issuer.google(AUDIENCE));
    let outage = async || (exchange.ask(&token, "doubt").await.status == 503).then_some(());
    eventually("an outage", SOON * 2, outage).await.unwrap();
    assert_eq!(exchange.ask(&old.token("ES256", &issuer.google(AUDIENCE)), "doubt").await.status, 200);
    issuer.is(Mood::Good);
    let accepted = async || (exchange.ask(&token, "doubt").await.status == 200).then_some(());
    eventually("the new key", SOON * 2, accepted).await.unwrap();
}

#[tokio::test]
async fn a_new_configuration_is_used_and_a_bad_one_is_not() {
    let world = world().await;
    let exchange = world.exchange("reload", "namespaces: []\n").await;
    let source = world.source("reload").await;
    world.target("reload", &[("kfca_1", &world.binding("reload"))]).await;
    assert_eq!(exchange.ask(&source, "reload").await.status, 404);
    let write = |text: &str| std::fs::write(&exchange.config, text).unwrap();
    write(&world.config(""));
    let works = async || (exchange.ask(&source, "reload").await.status == 200).then_some(());
    eventually("the new configuration", SOON, works).await.unwrap();
    write("issuers: {}");
    let complained = async || exchange.log().contains("the old one stays").then_some(());
    eventually("the complaint", SOON, complained).await.unwrap();
    assert_eq!(exchange.ask(&source, "reload").await.status, 200);
    // A rate counts from then on, for issuers that go on as they are, too.
    write(&world.config("rateLimits: {perIssuer: 1}\n"));
    let limited = async || {
        let statuses =
            [exchange.ask(&source, "reload").await.status, exchange.ask(&source, "reload").await.status];
        tokio::time::sleep(Duration::from_secs(1)).await;
        (statuses == [200, 429]).then_some(())
    };
    eventually("the new rate", SOON, limited).await.unwrap();
    write("namespaces: []\n");
    let ended = async || (exchange.ask(&source, "reload").await.status == 404).then_some(());
    eventually("the end", SOON, ended).await.unwrap();
}
