//! The client: every way to give it a token and to print one, what it keeps, how it ends, and kubectl with it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use portolan_testkit::{
    command::{Line, Ran},
    workdir::Workdir,
};
use serde_json::{Value, json};

use crate::{
    scripted::Scripted,
    support::{TARGET, world},
};

/// Arguments that nearly every call has, with one dash, as in the quick start.
fn asking<'a>(url: &'a str, account: &'a str) -> Vec<&'a str> {
    vec!["-url", url, "-namespace", TARGET, "-service-account", account]
}

fn client(home: &Workdir, arguments: &[&str]) -> Line {
    Line::binary("kfca-cli", home.path(), arguments).unwrap()
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(directory).map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
}

#[tokio::test]
async fn every_spelling_and_every_source_of_the_token_work() {
    let (world, home) = (world().await, Workdir::new("kfca-cli").unwrap());
    let exchange = world.exchange("cli", &world.config("rateLimits: {perCaller: 0}\n")).await;
    let source = world.source("cli").await;
    world.target("cli", &[("kfca_1", &world.binding("cli"))]).await;
    let (url, file) = (exchange.url(), home.write_private("token", &format!("{source}\n")).unwrap());
    let file = file.display().to_string();
    let user = Some(format!("system:serviceaccount:{TARGET}:cli"));
    let document = [asking(&url, "cli"), vec!["-token", &source]].concat();
    let ran = client(&home, &document).run().await.unwrap();
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(world.who(answer["status"]["token"].as_str().unwrap()).await, user);
    let doubled: Vec<String> = document
        .iter()
        .map(|word| if word.starts_with('-') { format!("-{word}") } else { (*word).to_owned() })
        .collect();
    let doubled: Vec<&str> = doubled.iter().map(String::as_str).chain(["--output", "token"]).collect();
    let from_file = [asking(&url, "cli"), vec!["-token-file", &file, "-output=token"]].concat();
    let from_stdin = [asking(&url, "cli"), vec!["--token-file", "-", "--output", "token"]].concat();
    let from_environment = [asking(&url, "cli"), vec!["-output", "token", "-timeout", "5"]].concat();
    for line in [
        client(&home, &doubled),
        client(&home, &from_file),
        client(&home, &from_stdin).stdin(&source),
        client(&home, &from_environment).env("KFCA_TOKEN", &source),
    ] {
        let ran = line.run().await.unwrap();
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(world.who(ran.stdout.trim()).await, user);
    }
    assert!(files(&home.path().join(".cache")).is_empty(), "only credentials for kubectl are kept");
}

#[tokio::test]
async fn exit_codes_tell_scripts_what_to_do() {
    let (service, home) = (Scripted::start().await, Workdir::new("kfca-cli").unwrap());
    let ask = async |arguments: Vec<&str>| client(&home, &arguments).run().await.unwrap();
    let whole = || [asking(&service.url, "a"), vec!["-token", "t"]].concat();
    service.gives("new", 3600);
    assert_eq!(ask(whole()).await.code, 0);
    let without_token = ask(asking(&service.url, "a")).await;
    assert_eq!(without_token.code, 64);
    assert!(without_token.stderr.contains("-token is required"), "{without_token:?}");
    assert_eq!(ask(vec!["-token", "t", "-namespace", "n"]).await.code, 64);
    assert_eq!(ask([whole(), vec!["-colour", "red"]].concat()).await.code, 64);
    assert_eq!(ask([whole(), vec!["-timeout", "0"]].concat()).await.code, 64);
    assert_eq!(ask([asking("nowhere", "a"), vec!["-token", "t"]].concat()).await.code, 64);
    for (status, code) in [(404, 1), (400, 1), (403, 1), (429, 75), (503, 75), (500, 75)] {
        service.refuses(status);
        let ran = ask(whole()).await;
        assert_eq!(ran.code, code, "{status}");
        assert!(ran.stdout.is_empty() && ran.stderr.contains(&status.to_string()), "{ran:?}");
    }
    let nobody =
        ask([asking("http://127.0.0.1:1", "a"), vec!["-token", "t", "-timeout", "5"]].concat()).await;
    assert_eq!(nobody.code, 75, "{nobody:?}");
    assert!(!nobody.stderr.contains("panicked"));
}

#[tokio::test]
async fn a_credential_is_kept_for_its_owner_renewed_and_forgotten_when_refused() {
    let (service, home) = (Scripted::start().await, Workdir::new("kfca-cli").unwrap());
    let kept = home.path().join(".cache/portolan/kfca-cli");
    let ask = async |source: &str| {
        let arguments =
            [asking(&service.url, "a"), vec!["-token", source, "-output", "exec-credential"]].concat();
        client(&home, &arguments).run().await.unwrap()
    };
    let token = |ran: &Ran| -> String {
        let credential: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        credential["status"]["token"].as_str().unwrap_or_default().to_owned()
    };
    service.gives("lasts", 3600);
    assert_eq!(token(&ask("source").await), "lasts");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = files(&kept).pop().unwrap();
    assert_eq!((mode(&file), mode(&kept)), (0o600, 0o700));
    let named = file.display().to_string();
    assert!(!named.contains("source") && !fs::read_to_string(&file).unwrap().contains("source"));
    service.refuses(404);
    assert_eq!((token(&ask("source").await), service.requests()), ("lasts".to_owned(), 1), "from the file");
    assert_eq!(ask("another").await.code, 1, "another source token has a file of its own");
    // What has less than a minute left is asked for again; while nobody answers, it is still good.
    service.gives("short", 50);
    assert_eq!(token(&ask("second").await), "short");
    service.refuses(503);
    assert_eq!(token(&ask("second").await), "short");
    service.gives("renewed", 3600);
    assert_eq!(token(&ask("second").await), "renewed");
    let asked = service.requests();
    assert_eq!((token(&ask("second").await), service.requests()), ("renewed".to_owned(), asked));
    // A refusal ends it.
    service.gives("short", 50);
    assert_eq!(token(&ask("third").await), "short");
    let before = files(&kept).len();
    service.refuses(404);
    assert_eq!(ask("third").await.code, 1);
    assert_eq!(files(&kept).len(), before - 1);
}

#[tokio::test]
async fn completions_are_printed_for_a_shell() {
    let home = Workdir::new("kfca-cli").unwrap();
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef kfca-cli"), ("fish", "complete -c kfca-cli")]
    {
        let ran = client(&home, &["--completions", shell]).run().await.unwrap();
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains(word) && ran.stdout.contains("service-account"), "{shell}");
    }
}

#[tokio::test]
async fn kubectl_works_through_the_credential_plugin() {
    let (world, home) = (world().await, Workdir::new("kfca-cli").unwrap());
    let exchange = world.exchange("plugin", &world.config("")).await;
    let source = world.source("plugin").await;
    world.target("plugin", &[("kfca_1", &world.binding("plugin"))]).await;
    let token = home.write_private("token", &source).unwrap();
    let mut kubeconfig: Value = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "b", "user": "u"}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "kfca-cli",
            "args": ["-url", exchange.url(), "-token-file", token, "-namespace", TARGET,
                     "-service-account", "plugin", "-output", "exec-credential"],
        }}}],
    });
    let authority = home.write_private("ca.crt", &world.b.ca_pem()).unwrap();
    let cluster = json!({"server": world.b.server_url(), "certificate-authority": authority});
    kubeconfig["clusters"] = json!([{"name": "b", "cluster": cluster}]);
    let path = home.write_private("plugin.kubeconfig", &kubeconfig.to_string()).unwrap();
    let whoami = "kubectl auth whoami -o jsonpath={.status.userInfo.username}";
    for _ in 0..2 {
        let line = match Line::script(home.path(), &world.b, whoami) {
            Ok(line) => line.env("KUBECONFIG", &path),
            Err(why) => return println!("skipped: {}::kubectl: {why}", module_path!()),
        };
        let ran = line.run().await.unwrap();
        assert_eq!(
            ran.stdout,
            format!("system:serviceaccount:{TARGET}:plugin"),
            "{ran:?} {}",
            exchange.log()
        );
    }
    let exchanged = exchange.audit("plugin").iter().filter(|line| line["decision"] == "exchanged").count();
    assert_eq!(exchanged, 1, "the second call finds the credential of the first");
}
