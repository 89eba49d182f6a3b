//! Chromium without a window, driven through chromium-driver. The suites that open pages include this file, each with
//! what its own pages need.

use std::{path::Path, process::Command, time::Duration};

use fantoccini::{
    Client, ClientBuilder,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use portolan_testkit::{eventually, ports::free_port, process::ManagedProcess, workdir::Workdir};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Limit for one test.
const LIMIT: Duration = Duration::from_secs(240);
/// Limit for anything that a page does.
const SOON: Duration = Duration::from_secs(30);
/// The reason why a test is skipped without a browser, and the remedy.
pub const ABSENCE: &str = "there is no Chromium with its driver: apt-get install chromium chromium-driver";

/// The pages of a service.
pub struct Pages<'a> {
    /// Where they are.
    pub origin: &'a str,
    /// Flags of the browser besides the usual ones.
    pub flags: &'a [String],
    /// What the console says of answers that are meant to be refusals.
    pub refusals: &'a [&'static str],
}

/// Runs a test in a browser of its own, which ends with it. False where there is none.
pub async fn browse(name: &str, pages: &Pages<'_>, test: impl AsyncFnOnce(&Browser)) -> bool {
    let Some(browser) = Browser::start(name, pages).await else { return false };
    timeout(LIMIT, test(&browser)).await.expect("the test takes too long");
    browser.is_clean(pages.refusals).await;
    browser.client.close().await.unwrap();
    true
}

/// A browser with one page.
pub struct Browser {
    pub client: Client,
    pub origin: String,
    _driver: ManagedProcess,
    _home: Workdir,
}

impl Browser {
    async fn start(name: &str, pages: &Pages<'_>) -> Option<Self> {
        if Command::new("chromedriver").arg("--version").output().is_err() {
            return None;
        }
        let home = Workdir::new(&format!("browser-{name}")).unwrap();
        let port = free_port().unwrap();
        // Chromium has processes that outlive its driver; none outlives the namespace of both.
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["chromedriver", &format!("--port={port}")]).env("HOME", home.path());
        let driver = ManagedProcess::start("chromedriver", command, &home).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(home.path(), pages.flags));
        let client = eventually("no browser", SOON, async || {
            timeout(SOON, builder.connect(&url)).await?.map(Some).map_err(anyhow::Error::from)
        })
        .await
        .unwrap();
        Some(Self { client, origin: pages.origin.to_owned(), _driver: driver, _home: home })
    }

    /// The value of an expression.
    pub async fn value(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression};"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let look = async || (self.value(expression).await == Value::Bool(true)).then_some(());
        let waited = eventually(expression, SOON, look).await;
        let text = self.value("document.body.innerText").await;
        assert!(waited.is_ok(), "{waited:?}\n{}", text.as_str().unwrap_or_default());
    }

    /// Clicks the first element of a selector whose label or text begins like this, once it can be clicked.
    pub async fn click(&self, selector: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find((one) => !one.disabled && \
             (one.getAttribute('aria-label') ?? one.innerText).trim().startsWith({}))",
            json!(selector),
            json!(text)
        );
        self.until(&format!("{find} !== undefined")).await;
        self.value(&format!("{find}.click()")).await;
    }

    /// No request went to another host, and the console has nothing to complain of but refusals.
    async fn is_clean(&self, refusals: &[&str]) {
        let requests = self.log("performance").await;
        let urls: Vec<_> = requests.iter().filter_map(requested).collect();
        assert!(!urls.is_empty(), "the log has no request");
        for url in urls {
            assert!(url.starts_with(&self.origin), "a request to {url}");
        }
        let log = self.log("browser").await;
        let is_serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        for message in log.iter().filter(is_serious).map(|entry| entry["message"].to_string()) {
            let is_refusal = refusals.iter().any(|begin| message.contains(begin));
            assert!(is_refusal, "the console of the browser says {message}");
        }
    }

    async fn log(&self, kind: &'static str) -> Vec<Value> {
        serde_json::from_value(self.client.issue_cmd(ReadLog(kind)).await.unwrap()).unwrap()
    }
}

/// The URL of a request that a page has sent. The empty tab of the browser loads its own parts.
fn requested(entry: &Value) -> Option<String> {
    let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
    let sent = message["message"]["method"] == "Network.requestWillBeSent";
    let url = message["message"]["params"]["request"]["url"].as_str()?;
    (sent && !url.starts_with("data:") && !url.starts_with("chrome:")).then(|| url.to_owned())
}

fn capabilities(home: &Path, flags: &[String]) -> Capabilities {
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // No name leads out of this machine.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--lang=en-US",
        &profile,
    ];
    let arguments: Vec<_> = arguments.into_iter().chain(flags.iter().map(String::as_str)).collect();
    let all = json!({
        "goog:chromeOptions": {"args": arguments},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    });
    all.as_object().unwrap().clone()
}

/// Reads a log of the browser, which `WebDriver` itself has no command for.
#[derive(Debug)]
struct ReadLog(&'static str);

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}
