//! `token-exchange check` and `token-exchange explain`, under every name that the program is known by.

use std::path::Path;

use portolan_testkit::{
    command::{Line, Ran},
    forge::SigningKey,
    service::program,
    workdir::Workdir,
};
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, Mood},
    support::{AUDIENCE, TARGET, World, binding, world},
};

const SUBJECT: &str = "104100000000000000001";

/// A command of the exchange with its rights; the token is its standard input.
async fn run(world: &World, home: &Workdir, name: &str, arguments: &[&str], token: &str) -> Ran {
    let kubeconfig = home.write_private("kubeconfig", world.exchange_kubeconfig()).unwrap();
    let line = Line::binary(name, home.path(), arguments).unwrap();
    line.env("KUBECONFIG", kubeconfig).stdin(token).run().await.unwrap()
}

fn find(checks: &Value, name: &str) -> Value {
    let found = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
    assert!(found.is_some(), "{name}: {checks}");
    found.unwrap().clone()
}

#[tokio::test]
async fn check_names_what_is_wrong_and_is_green_without_it() {
    let (world, home) = (world().await, Workdir::new("exchange-check").unwrap());
    let good = home.write_private("good.yaml", &world.config("")).unwrap().display().to_string();
    world.target("checked", &[("kfca_1", &world.binding("checked"))]).await;
    for name in ["token-exchange", "kfca"] {
        let ran =
            run(world, &home, name, &["--plain-http", "--config", &good, "check", "-o", "json"], "").await;
        let checks: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        for check in ["tls", "configuration", "reachability of this cluster", "credential of this cluster"] {
            assert_eq!(find(&checks, check)["ok"], true, "{name} {checks}");
        }
        assert_eq!(find(&checks, &format!("keys of {}", world.a.server_url()))["ok"], true, "{checks}");
        let right = format!("right to serviceaccounts/token in namespace {TARGET}");
        assert_eq!(find(&checks, &right)["ok"], true, "{checks}");
    }
    let key = SigningKey::new("k", "P-256");
    let dead = Issuer::start(&[&key]).await;
    dead.is(Mood::Lying("{}".to_owned()));
    let empty = home.write_private("empty.token", "\n").unwrap().display().to_string();
    let reader = world.home.path().join("a.token").display().to_string();
    let issuers = world.issuer_a("").replace(&reader, &empty) + &dead.entry("");
    let broken = format!("issuers:\n{issuers}namespaces: [{TARGET}, absent]\naudiences: ['*']\n");
    let broken = home.write_private("broken.yaml", &broken).unwrap().display().to_string();
    world.target("misspelt", &[("kfca_1", r#"{"issuer":"https://i","subject":"s","audiance":"a"}"#)]).await;
    let ran = run(world, &home, "token-exchange", &["check", "--config", &broken, "-o", "json"], "").await;
    let checks: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(ran.code, 1);
    let says = |name: &str, words: &str| {
        let check = find(&checks, name);
        assert_eq!(check["ok"], false, "{check}");
        assert!(check["detail"].as_str().unwrap().contains(words), "{words}: {check}");
    };
    says("tls", "plain HTTP was not asked for");
    says(&format!("keys of {}", dead.url), "has no list \"keys\"");
    says(&format!("credential of {}", world.a.server_url()), &format!("{empty} is empty"));
    says("right to serviceaccounts/token in namespace absent", "may not create");
    says(&format!("bindings of {TARGET}"), "unknown field `audiance`");
    assert!(find(&checks, "note")["detail"].as_str().unwrap().contains("audiences \"*\""), "{checks}");
    let absent = run(world, &home, "token-exchange", &["check", "--config", "/nowhere.yaml"], "").await;
    assert!(absent.code == 1 && absent.stdout.contains("[-] configuration: failed to read"), "{absent:?}");
}

#[tokio::test]
async fn the_token_service_says_where_the_exchange_went_and_starts_it() {
    let (world, home) = (world().await, Workdir::new("exchange-moved").unwrap());
    let config = home.write_private("exchange.yaml", &world.config("")).unwrap().display().to_string();
    let kfca = home.path().join("kfca");
    let service = program::find("token-service").unwrap();
    std::os::unix::fs::symlink(&service, &kfca).unwrap();
    let kubeconfig = home.write_private("kubeconfig", world.exchange_kubeconfig()).unwrap();
    let started = async |program: &Path, arguments: &[&str]| {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).env_clear().env("HOME", home.path()).env("KUBECONFIG", &kubeconfig);
        let ran = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    let check = ["--plain-http", "--config", &config, "check", "-o", "json"];
    let lines: [(&Path, &[&str]); 3] = [
        (&service, &["exchange"]),
        // Flags that both programs have may stand before the word.
        (&service, &["--log-level", "info", "exchange"]),
        (&kfca, &[]),
    ];
    for (program, before) in lines {
        let (code, output, told) = started(program, &[before, &check[..]].concat()).await;
        let checks: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output} {told}"));
        // What other tests have annotated may be wrong, which is 1.
        assert!(matches!(code, Some(0 | 1)), "{code:?} {checks}");
        assert_eq!(find(&checks, "configuration")["ok"], true, "{checks}");
        let words = told.lines().filter(|line| line.contains("token-exchange: starting it instead")).count();
        assert_eq!(words, 1, "{told}");
    }
    let alone = home.path().join("token-service");
    std::fs::copy(&service, &alone).unwrap();
    let (code, _, told) = started(&alone, &["exchange", "check"]).await;
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("install it beside token-service, or on the PATH"), "{told}");
}

fn prints_nothing_of(token: &str, output: &str) {
    for part in token.split('.').filter(|part| part.len() > 60) {
        assert!(!output.contains(&part[..40]), "a part of a token is printed");
    }
}

#[tokio::test]
async fn explain_says_which_rule_decides_and_makes_no_token() {
    let (world, home) = (world().await, Workdir::new("exchange-explain").unwrap());
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let config = format!("issuers:\n{}namespaces: [{TARGET}]\n", issuer.entry(""));
    let config = home.write_private("exchange.yaml", &config).unwrap().display().to_string();
    let slash = binding(&format!("{}/", issuer.url), SUBJECT, json!({}));
    let other = binding(&issuer.url, "somebody", json!({}));
    let met = binding(&issuer.url, SUBJECT, json!({}));
    world.target("explained", &[("kfca_1", &slash), ("kfca_2", &other), ("kfca_3", &met)]).await;
    let before = world.b.audit().mark().unwrap();
    let explain = async |namespace: &str, account: &str, token: &str| {
        let arguments =
            ["explain", "--config", &config, "--namespace", namespace, "--service-account", account];
        run(world, &home, "kfca", &arguments, token).await
    };
    let good = key.token("ES256", &issuer.google(AUDIENCE));
    let ran = explain(TARGET, "explained", &format!("\r\n{good}\n")).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for words in [
        format!("listed     {}: same issuer, has the key", issuer.url),
        "they differ by the slash at the end".to_owned(),
        format!("binding    \"kfca_2\": another subject: \"{SUBJECT}\" instead of \"somebody\""),
        "binding    \"kfca_3\": met".to_owned(),
        "verdict    a token would be made".to_owned(),
        "by binding \"kfca_3\"".to_owned(),
    ] {
        assert!(ran.stdout.contains(&words), "{words}: {}", ran.stdout);
    }
    let mut logout = issuer.google(AUDIENCE);
    logout["events"] = json!({});
    let mut expired = issuer.google(AUDIENCE);
    expired["exp"] = json!(1_700_000_000);
    let mut long = issuer.google(AUDIENCE);
    long["exp"] = json!(long["exp"].as_i64().unwrap() + 9999);
    let strange = Issuer::start(&[&key]).await;
    let table = [
        (TARGET, "explained", key.token("ES256", &issuer.google("somebody")), "refused by rule audience"),
        (TARGET, "explained", key.token("ES256", &logout), "refused by rule typ"),
        (TARGET, "explained", key.token("ES256", &expired), "refused by rule expired"),
        (TARGET, "explained", key.token("ES256", &long), "refused by rule source_lifetime"),
        (TARGET, "explained", key.token("ES256", &strange.google(AUDIENCE)), "refused by rule issuer"),
        (TARGET, "nobody", good.clone(), "refused by rule account"),
        ("default", "explained", good.clone(), "refused by rule namespace"),
        (TARGET, "explained", "junk".to_owned(), "form       refused: token is malformed"),
    ];
    for (namespace, account, token, words) in table {
        let ran = explain(namespace, account, &token).await;
        assert!(ran.code == 0 && ran.stdout.contains(words), "{words}: {ran:?}");
        let has_cure = words.starts_with("form") || ran.stdout.contains("\ncure       ");
        assert!(has_cure, "{words}: {}", ran.stdout);
        prints_nothing_of(&token, &format!("{}{}", ran.stdout, ran.stderr));
    }
    let asked = world.b.audit().entries_since(before).unwrap();
    let about = |words: &str| asked.iter().any(|entry| entry.request_uri.contains(words));
    assert!(
        about("serviceaccounts/explained") && !about("explained/token"),
        "the account is read, no token made"
    );
}
