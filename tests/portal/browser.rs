//! The pages in a browser: what a consumer and an owner do in a day, in the portal for demonstrations.

#[path = "../browser/chromium.rs"]
mod chromium;
mod driver;

use std::fmt::Write as _;

use portolan_testkit::{
    clients::{self, Toolchain},
    workdir::Workdir,
};
use serde_json::{Value, json};

use self::{
    chromium::{ABSENCE, Browser},
    driver::browse,
};
use crate::{
    scene::{Place, Stage},
    site::Site,
};

/// A portal with two people for demonstrations.
async fn demo(stage: &Stage) -> (Workdir, Site) {
    let home = Workdir::new("portal-browser").unwrap();
    let mut people = String::new();
    for name in ["alice", "owner1"] {
        let token = home.write_private(&format!("{name}.token"), &stage.login.token(name)).unwrap();
        writeln!(people, "{name}: {{tokenFile: '{}', email: {name}@example.com}}", token.display()).unwrap();
    }
    let people = home.write_private("people.yaml", &people).unwrap();
    let site = Site::start(&stage.kubeconfig, None, &[&format!("--demo-users={}", people.display())]).await;
    (home, site)
}

/// Asks for a key in the dialog of the product's page.
async fn ask(browser: &Browser) {
    browser.open_as("alice", "/products/day/toys").await;
    browser.click("button", "Request API access").await;
    browser.click("dialog input[type=radio], dialog label", "gold").await;
    browser.click("dialog button[type=submit]", "Submit request").await;
    browser.shows("Pending API owner approval").await;
}

/// Reveals the only key and hides it again.
async fn reveal(browser: &Browser, place: &Place<'_>, key: &str) {
    let value = place.revealed("alice", key).await;
    browser.open_as("alice", "/keys?namespace=day").await;
    browser.click("button", "Reveal API key").await;
    browser.shows(&value).await;
    browser.click("button", "Hide API key").await;
    browser.until(&format!("!document.documentElement.outerHTML.includes({})", json!(value))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_asks_the_owner_approves_and_the_key_is_revealed() {
    let stage = Stage::shared().await;
    let place = stage.toystore("day").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (_home, site) = demo(stage).await;
    let ran = browse("day", &site, async |browser| {
        browser.open_as("alice", "/").await;
        browser.shows("toys").await;
        ask(browser).await;
        let mine = "/api/kuadrant/requests/my?namespace=day";
        let keys = stage.portal.by(&stage.login, "alice").names(mine).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert_eq!(place.phase(&keys[0]).await.as_deref().unwrap_or("Pending"), "Pending");
        browser.open_as("owner1", "/approvals?namespace=day").await;
        browser.click("button", &format!("Approve {}", keys[0])).await;
        browser.click("dialog button[type=submit]", "Approve").await;
        browser.shows("Request approved").await;
        assert_eq!(place.phase(&keys[0]).await.as_deref(), Some("Approved"));
        reveal(browser, &place, &keys[0]).await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_no_barrier() {
    let stage = Stage::shared().await;
    let place = stage.toystore("barriers").await;
    place.publish("owner1", "toys", &json!({"tags": ["sea"], "description": "Toys"})).await;
    place.ask("alice", "toys").await;
    let Some(folder) = clients::build("graphql", Toolchain::Node).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Node.absence());
    };
    let axe = std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap();
    let (_home, site) = demo(stage).await;
    let ran = browse("barriers", &site, async |browser| {
        for (who, path) in [
            ("alice", "/"),
            ("alice", "/products/barriers/toys"),
            ("alice", "/keys"),
            ("owner1", "/products"),
            ("owner1", "/approvals"),
        ] {
            browser.open_as(who, path).await;
            browser.shows("toys").await;
            assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "{path}");
        }
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
