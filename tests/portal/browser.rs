//! The pages in a browser, in the portal for demonstrations: what people do in a day, and what pages show.

mod accessible;
mod again;
mod choices;
#[path = "../browser/chromium.rs"]
mod chromium;
mod days;
mod denied;
mod details;
mod driver;
mod examples;
mod hostile;
mod idle;
mod lines;
mod pictures;
mod rows;
mod used;

use std::fmt::Write as _;

use portolan_testkit::workdir::Workdir;
use serde_json::json;

use self::{
    chromium::{ABSENCE, Browser},
    driver::browse,
};
use crate::{
    scene::{PEOPLE, Place, Stage},
    site::Site,
};

/// A portal with everybody for demonstrations.
async fn demo(stage: &Stage, more: &[&str]) -> (Workdir, Site) {
    demo_with(stage, &[], more).await
}

/// The same with others and their tokens, too.
async fn demo_with(stage: &Stage, others: &[(&'static str, String)], more: &[&str]) -> (Workdir, Site) {
    let home = Workdir::new("portal-browser").unwrap();
    let mut people = String::new();
    let known = PEOPLE.iter().map(|(name, _)| (*name, stage.login.token(name)));
    for (name, token) in known.chain(others.iter().cloned()) {
        let token = home.write_private(&format!("{name}.token"), &token).unwrap();
        writeln!(people, "{name}: {{tokenFile: '{}', email: {name}@example.com}}", token.display()).unwrap();
    }
    let people = home.write_private("people.yaml", &people).unwrap();
    let people = format!("--demo-users={}", people.display());
    let flags: Vec<_> = more.iter().copied().chain([people.as_str()]).collect();
    let site = Site::start(&stage.kubeconfig, None, &flags).await;
    (home, site)
}

/// Asks for a key in the dialog of the product's page.
async fn ask(browser: &Browser, product: &str) {
    browser.open_as("alice", &format!("/products/{product}")).await;
    browser.click("button", "Request API access").await;
    browser.click("dialog input[type=radio], dialog label", "gold").await;
    browser.click("dialog button[type=submit]", "Submit request").await;
    browser.shows("Pending API owner approval").await;
}

/// Reveals the only key and hides it again.
async fn reveal(browser: &Browser, place: &Place<'_>, key: &str) {
    let value = place.revealed("alice", key).await;
    browser.open_as("alice", &format!("/keys?namespace={}", place.namespace)).await;
    browser.shows("••••••••••••").await;
    let has = format!("document.documentElement.outerHTML.includes({})", json!(value));
    browser.until(&format!("!{has}")).await;
    browser.click("button", "Reveal API key").await;
    browser.shows(&value).await;
    browser.click("button", "Hide API key").await;
    browser.until(&format!("!{has}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_asks_the_owner_approves_and_the_key_is_revealed() {
    let stage = Stage::shared().await;
    let place = stage.toystore("day").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("day", &site, async |browser| {
        browser.open_as("alice", "/").await;
        browser.shows("toys").await;
        ask(browser, "day/toys").await;
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
