//! Programs that use a key, as pages show them: they run, and send the key where the policy wants it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use portolan_core::api::devportal::APIKey;
use portolan_testkit::{
    eventually,
    toystore::{self, api_keys},
    workdir::Workdir,
};
use serde_json::{Value, json};

use super::{
    chromium::{ABSENCE, Browser},
    demo,
    driver::browse,
};
use crate::{
    outside::{self, Outside},
    scene::{Place, SOON, Stage},
};

const URL: &str = "https://api.toystore.com/api/v1/endpoint";
/// The variable from which a program reads its key.
const KEY: (&str, &str) = ("API_KEY", "ptlk_a&b'c");
/// Stand-ins that say what they are called with, and then do nothing.
const PYTHON: &str = "
import json, sys, types
class Answer: status_code, text = 200, ''
def get(url, timeout, **given):
    print(json.dumps([url, given]))
    return Answer
sys.modules['requests'] = types.SimpleNamespace(get=get)
exec(sys.stdin.read())
";
const NODE: &str = "globalThis.fetch = async (url, given) => {
  console.log(JSON.stringify([String(url), given ?? {}]));
  return { status: 200, text: async () => '' };
};
";

/// Gives the toystore's keys these credentials, and waits until a key says so.
async fn carried(place: &Place<'_>, key: &str, credentials: &Value) {
    let mut methods = api_keys(&json!({"app": "my-api-product"}));
    methods["api-key-users"]["credentials"] = credentials.clone();
    toystore::authentication(&place.stage.client(), &place.namespace, &methods).await.unwrap();
    let told = async || {
        let status = place.api::<APIKey>().get(key).await.unwrap().status?;
        (status.auth_scheme?.credentials == *credentials).then_some(())
    };
    eventually("the key tells how it is sent", SOON, told).await.unwrap();
}

/// The first line that a program says. None where there is nothing to run it with.
fn said(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env(KEY.0, KEY.1).env("GOTOOLCHAIN", "local");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [out, error] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{program}: {error}\n{input}");
    Some(out.lines().next().unwrap_or_default().to_owned())
}

/// The example in a language.
async fn shown(browser: &Browser, language: &str) -> String {
    browser.click("[role=tab]", language).await;
    let code = format!("document.querySelector('[aria-label=\"{language} example\"]')?.textContent");
    browser.until(&format!("({code} ?? '').includes('API_KEY')")).await;
    browser.value(&code).await.as_str().unwrap().to_owned()
}

/// Runs a program in Go against a server on this machine, and gives what that was asked.
async fn asked_by_go(code: &str) -> Option<outside::Asked> {
    let api = Outside::start(|_| outside::json(&json!({}))).await;
    let home = Workdir::new("portal-go").unwrap();
    let code = code.replace("https://api.toystore.com", &api.url);
    let file = home.write_private("main.go", &code).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let ran = tokio::task::spawn_blocking(move || said("go", &["run", &file], "")).await.unwrap();
    ran.map(|_| api.asked().pop().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_put_the_key_where_the_policy_wants_it() {
    let stage = Stage::shared().await;
    let place = stage.toystore("examples").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    place.value(&key).await;
    let (_home, site) = demo(stage, &[]).await;
    let value = KEY.1;
    let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let at = |query: &str| format!("{URL}{query}");
    // The policy, the line for curl, and what Python and Node.js give their libraries.
    let table = [
        (
            json!({"authorizationHeader": {"prefix": "APIKEY"}}),
            "-H 'Authorization: APIKEY '\"$API_KEY\"",
            json!([URL, {"headers": {"Authorization": format!("APIKEY {value}")}}]),
            json!([URL, {"headers": {"Authorization": format!("APIKEY {value}")}}]),
        ),
        (
            json!({"customHeader": {"name": "X-Key"}}),
            "-H 'X-Key: '\"$API_KEY\"",
            json!([URL, {"headers": {"X-Key": value}}]),
            json!([URL, {"headers": {"X-Key": value}}]),
        ),
        (
            json!({"queryString": {"name": "api_key"}}),
            "--data-urlencode api_key=\"$API_KEY\"",
            json!([URL, {"params": {"api_key": value}}]),
            json!([at(&format!("?api_key={encoded}")), {}]),
        ),
        (
            json!({"cookie": {"name": "session"}}),
            "--cookie session=\"$API_KEY\"",
            json!([URL, {"cookies": {"session": value}}]),
            json!([URL, {"headers": {"Cookie": format!("session={value}")}}]),
        ),
    ];
    let mut programs = Vec::new();
    let ran = browse("examples", &site, async |browser| {
        for (credentials, curl, ..) in &table {
            carried(&place, &key, credentials).await;
            browser.open_as("alice", &format!("/keys/examples/{key}")).await;
            browser.shows(curl).await;
            programs.push([
                shown(browser, "Python").await,
                shown(browser, "Node.js").await,
                shown(browser, "Go").await,
            ]);
        }
    });
    if !ran.await {
        return println!("skipped: {}: {ABSENCE}", module_path!());
    }
    for ((credentials, _, in_python, in_node), programs) in table.iter().zip(&programs) {
        they_ask_so(programs, (in_python, in_node), &credentials.to_string()).await;
    }
}

/// Runs the programs of a page with their libraries replaced.
async fn they_ask_so(
    [python, node, go]: &[String; 3],
    (in_python, in_node): (&Value, &Value),
    credentials: &str,
) {
    let parsed = |line: String| serde_json::from_str::<Value>(&line).unwrap();
    let given = said("python3", &["-c", PYTHON], python).map(parsed);
    assert!(given.is_none_or(|given| given == *in_python), "{credentials}: {python}");
    let given = said("node", &["--input-type=module", "-"], &format!("{NODE}{node}")).map(parsed);
    assert!(given.is_none_or(|given| given == *in_node), "{credentials}: {node}");
    let Some(asked) = asked_by_go(go).await else { return };
    let target = in_node[0].as_str().unwrap().replace("https://api.toystore.com", "");
    assert_eq!(asked.target(), target, "{credentials}: {go}");
    for (name, value) in in_node[1]["headers"].as_object().into_iter().flatten() {
        assert_eq!(asked.header(name), value.as_str(), "{credentials}: {go}");
    }
}
