//! The commands of the quick start, host aside, and what the log says where the defaults refuse them; the example in
//! docs/examples.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use portolan_testkit::{
    command::{Line, Ran},
    eventually,
    ports::free_port,
    process::ManagedProcess,
    service::program,
    workdir::Workdir,
};
use serde_json::json;

use crate::support::{AUDIENCE, SOON, TARGET, World, account, http, world};

const EXAMPLE: &str = include_str!("../../docs/examples/service-account.yaml");

const CURL: &str = r#"export JSON='{
  "namespace": "smoke-tests",
  "serviceAccountName": "default"
}'

curl --header "Authorization: Bearer $(kubectl create token default --duration=1h -n default)" \
  "http://localhost:8088/exchangeToken" -X POST \
  -H "Content-Type: application/json" \
  -H "Accept: application/json" \
  -d "${JSON}" | jq"#;

const CLI: &str = r#"kfca-cli \
  -url http://localhost:8088 \
  -token "$(kubectl create token default --duration=1h -n default)" \
  -namespace smoke-tests \
  -service-account default"#;

/// None where a program is missing that the commands call.
async fn run(world: &World, home: &Workdir, url: &str, script: &str) -> Option<Ran> {
    let script = script.replace("http://localhost:8088", url);
    let missing =
        Line::script(home.path(), &world.a, "command -v curl jq kubectl").ok()?.run().await.unwrap();
    if missing.code != 0 {
        return None;
    }
    Some(Line::script(home.path(), &world.a, &script).unwrap().run().await.unwrap())
}

#[expect(clippy::print_stdout, reason = "a test says so when it is skipped, and what it has checked")]
fn skipped() {
    println!("skipped: {}: curl, jq or kubectl is missing: apt-get install curl jq", module_path!());
}

#[tokio::test]
async fn the_documents_lines_work_with_open_audiences_and_not_with_the_defaults() {
    let (world, home) = (world().await, Workdir::new("document").unwrap());
    // The document's own annotation, with the issuer that is there.
    let bound = world.binding("default");
    account(&world.b.client(), TARGET, "default", &[("kfca_1", &bound)]).await;
    let open = world.exchange("open", &world.config("audiences: ['*']\n")).await;
    let Some(ran) = run(world, &home, &open.url(), CURL).await else {
        return skipped();
    };
    let token = |ran: &Ran| {
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        answer["status"]["token"].as_str().unwrap_or_default().to_owned()
    };
    let user = Some(format!("system:serviceaccount:{TARGET}:default"));
    assert_eq!(world.who(&token(&ran)).await, user, "{ran:?} {}", open.log());
    let ran = run(world, &home, &open.url(), CLI).await.unwrap();
    assert_eq!((ran.code, world.who(&token(&ran)).await), (0, user.clone()), "{ran:?}");
    assert!(open.log().contains("audiences \\\"*\\\""), "the open door is warned of");

    let closed = world.exchange("closed", &world.config("")).await;
    let ran = run(world, &home, &closed.url(), CURL).await.unwrap();
    assert!(ran.stdout.contains("no matching binding found"), "{ran:?}");
    assert_eq!(run(world, &home, &closed.url(), CLI).await.unwrap().code, 1);
    let printed = async || {
        let log = closed.log();
        let line =
            log.lines().find_map(|line| Some(line.split_once("kubectl create token ")?.1.to_owned()))?;
        Some(format!("kubectl create token {}", line.split('"').next()?))
    };
    let line = eventually("the line that works", SOON, printed).await.unwrap();
    assert_eq!(line, format!("kubectl create token default --duration=1h -n default --audience={AUDIENCE}"));
    // Whoever follows the advice gets a token.
    let mended = CLI.replace("kubectl create token default --duration=1h -n default", &line);
    let ran = run(world, &home, &closed.url(), &mended).await.unwrap();
    assert_eq!((ran.code, world.who(&token(&ran)).await), (0, user), "{ran:?}");
}

#[tokio::test]
async fn the_example_is_applied_and_every_annotation_of_it_is_a_binding() {
    let (world, home) = (world().await, Workdir::new("example").unwrap());
    let exchange = world.exchange("example", &world.config("")).await;
    // Under a name of its own, because other tests use `default`, with an issuer that can be asked here.
    let example = EXAMPLE
        .replace("name: default", "name: example")
        .replace("https://oidc.example.com", &world.a.server_url());
    home.write_private("example.yaml", &example).unwrap();
    account(&world.b.client(), TARGET, "example", &[]).await;
    let apply =
        format!("kubectl apply --server-side --force-conflicts -f {}/example.yaml", home.path().display());
    let Ok(line) = Line::script(home.path(), &world.b, &apply) else { return skipped() };
    let ran = line.run().await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let applied = Api::<ServiceAccount>::namespaced(world.b.client(), TARGET).get("example").await.unwrap();
    assert_eq!(applied.metadata.annotations.unwrap_or_default().len(), 4);
    let source = world.source("my-sa").await;
    let works = async || (exchange.ask(&source, "example").await.status == 200).then_some(());
    eventually("the example's first binding", SOON, works).await.unwrap();
    assert_eq!(exchange.audit("example").last().unwrap()["binding"], "kfca_1");
    let log = exchange.log();
    let skipped =
        |line: &&str| line.contains("is skipped") && line.contains(r#""service_account":"example""#);
    assert_eq!(log.lines().find(skipped), None);
}

#[tokio::test]
async fn the_binary_under_its_other_name_takes_the_documents_line() {
    let (world, home) = (world().await, Workdir::new("kfca").unwrap());
    account(&world.b.client(), TARGET, "renamed", &[("kfca_1", &world.binding("renamed"))]).await;
    let source = world.source("renamed").await;
    let (kubeconfig, config) = (world.exchange_kubeconfig(), world.config(""));
    let kubeconfig = home.write_private("kubeconfig", kubeconfig).unwrap();
    let config = home.write_private("exchange.yaml", &config).unwrap();
    let (kfca, port) = (home.path().join("kfca"), free_port().unwrap());
    std::os::unix::fs::symlink(program::find("token-exchange").unwrap(), &kfca).unwrap();
    let mut command = std::process::Command::new(kfca);
    command.env_clear().env("KUBECONFIG", kubeconfig).env("CONFIG_PATH", config);
    command.args(["-http-addr", "127.0.0.1", "-http-port", &port.to_string()]);
    // The document's port is the one of the metrics, which give way.
    command.arg(format!("-admin-address=127.0.0.1:{port}"));
    let process = ManagedProcess::start("kfca", command, &home).unwrap();
    let body = json!({"namespace": TARGET, "serviceAccountName": "renamed"}).to_string();
    let headers = format!("content-type: application/json\r\nauthorization: Bearer {source}\r\n");
    let listening = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
    eventually("the port", SOON, listening).await.unwrap();
    let works = async || {
        let answer = http(port, "POST", "/exchangeToken", &headers, body.as_bytes()).await;
        (answer.status == 200).then_some(answer)
    };
    let given =
        eventually("a token", SOON, works).await.unwrap_or_else(|_| panic!("{}", process.log_tail(20)));
    assert_eq!(world.who(given.token()).await, Some(format!("system:serviceaccount:{TARGET}:renamed")));
    let live = http(port, "GET", "/livez", "", b"").await;
    assert_eq!(live.body, json!({"live": true}));
}
